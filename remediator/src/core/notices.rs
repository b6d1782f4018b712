//! The notices about a whole pool that only a person can resolve. Each is sent as one mail when it
//! begins.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::brakes::Storm;
use super::record::Rung;
use super::why::Why;

/// The state of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStanding {
    pub nodes: u32,
    pub tainted: u32,
    /// Budget slots, and how many of them are in use.
    pub places: u32,
    pub taken: u32,
    /// Since when the node that has waited longest has waited for a budget slot.
    pub waits_since: Option<Timestamp>,
    pub storm: Storm,
    /// Rungs stopped because their last attempts all failed.
    pub stopped: Vec<Rung>,
    /// The nodes of a storm of alerts that ask for a person; empty: there is none.
    pub need_person: Vec<String>,
    /// A node was refused a taint, because as many carry one as may.
    pub taints_full: bool,
}

/// How long a pool may have no budget slot before a mail is sent.
const STARVED: Duration = Duration::from_secs(3600);

/// How many nodes a notice names.
const NAMED: usize = 100;

/// One notice about a pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Notice {
    /// Stays the same while the notice applies: `storm-brake.gpu`. It is part of an annotation's
    /// name and of a Message-ID.
    pub key: String,
    pub why: Why,
    pub subject: String,
    pub text: String,
}

/// Begins the key of the notice that stands for the mails of many nodes.
pub const MANY_NEED_PERSON: &str = "many-need-person";

/// Returns the key of the notice that stands for the mails of many nodes.
pub fn many_need_person(pool: &str) -> String {
    format!("{MANY_NEED_PERSON}.{pool}")
}

/// Returns the notices that apply to a pool now.
pub fn standing(pool: &str, of: &PoolStanding, now: Timestamp) -> Vec<Notice> {
    let notice = |word: &str, why, subject: String, text: String| Notice {
        key: format!("{word}.{pool}"),
        why,
        subject: format!("pool {pool}: {subject}"),
        text,
    };
    let resume =
        "kubectl -n ossci annotate --overwrite configmap ossci-budget ossci.amd.com/resumed-at=$(date -u +%FT%TZ)";
    let mut all = Vec::new();
    if let Storm::Braking(until) = of.storm {
        let text = format!(
            "Too many nodes asked for a repair within minutes. They are tainted up to the limit. Nothing is drained, \
             rebooted or reimaged before {until:.0}; after that, one node at a time until the first is healed. Look \
             for what they have in common: a power or network fault, a new driver, a broken check. To resume repairs \
             now:\n  {resume}"
        );
        all.push(notice("storm-brake", Why::StormBrake, "too many nodes ask for a repair at once".to_owned(), text));
    }
    if !of.need_person.is_empty() {
        let (few, many) = (&of.need_person[..of.need_person.len().min(NAMED)], of.need_person.len());
        let and_more = if many > NAMED { format!(" and {} more", many - NAMED) } else { String::new() };
        let text = format!(
            "Alerts ask for a person on {many} nodes of this pool within minutes, so a common cause is likely: a \
             broken check, a rule of the site, a new driver, power. This mail stands for all of them, and for those \
             that follow while it goes on; only the first had mails of their own.\n  {}{and_more}\nAll nodes that \
             need a person, with the reason:\n  kubectl get noderepairs",
            few.join(", ")
        );
        let subject = "many nodes need a person at once".to_owned();
        all.push(notice(MANY_NEED_PERSON, Why::ManyNeedPerson, subject, text));
    }
    for rung in &of.stopped {
        let text = format!(
            "The last attempts to {rung} a node of this pool all failed, so this rung is stopped for the pool. The \
             nodes probably share a cause that this rung cannot fix. When you have fixed it:\n  {resume}"
        );
        all.push(notice(&format!("rung-stopped-{rung}"), Why::RungNotWorking, format!("{rung} heals no node"), text));
    }
    if of.taints_full {
        let text = format!(
            "{} of {} nodes carry our taints. No further taint is placed: nodes with new complaints stay in service, \
             with the reason TaintLimit in their NodeRepair.",
            of.tainted, of.nodes
        );
        all.push(notice("taint-limit", Why::TaintLimit, "the limit of tainted nodes is reached".to_owned(), text));
    }
    let long_since =
        |since: Timestamp| now.duration_since(since) > SignedDuration::try_from(STARVED).unwrap_or_default();
    if of.places == 0 && of.waits_since.is_some_and(long_since) {
        let text = "Nodes have waited for a repair for over an hour, but the pool has no budget slot: too many of its \
                    nodes are down for other reasons (not Ready, or cordoned). Bring nodes back, or raise \
                    budget.downPercent in the policy."
            .to_owned();
        all.push(notice(
            "budget-starved",
            Why::WaitingForBudget,
            "no repair was allowed for over an hour".to_owned(),
            text,
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calm() -> PoolStanding {
        PoolStanding {
            nodes: 10,
            tainted: 0,
            places: 1,
            taken: 0,
            waits_since: None,
            storm: Storm::Calm,
            stopped: vec![],
            need_person: vec![],
            taints_full: false,
        }
    }

    fn keys(of: &PoolStanding, now: i64) -> Vec<String> {
        let now = Timestamp::from_second(now).unwrap();
        standing("gpu", of, now).into_iter().map(|notice| notice.key).collect()
    }

    #[test]
    fn a_calm_pool_has_no_notices() {
        assert!(keys(&calm(), 0).is_empty());
    }

    #[test]
    fn each_brake_has_its_own_notice() {
        let of = PoolStanding {
            storm: Storm::Braking(Timestamp::UNIX_EPOCH),
            stopped: vec![Rung::Reimage],
            need_person: vec!["n1".to_owned()],
            taints_full: true,
            ..calm()
        };
        assert_eq!(
            keys(&of, 0),
            ["storm-brake.gpu", "many-need-person.gpu", "rung-stopped-reimage.gpu", "taint-limit.gpu"]
        );
    }

    #[test]
    fn a_pool_without_budget_slots_is_reported_after_an_hour() {
        let of = PoolStanding { places: 0, waits_since: Some(Timestamp::UNIX_EPOCH), ..calm() };
        assert!(keys(&of, 3600).is_empty());
        assert_eq!(keys(&of, 3601), ["budget-starved.gpu"]);
        assert!(keys(&PoolStanding { places: 1, ..of }, 9999).is_empty(), "waiting for a slot in use is normal");
    }
}
