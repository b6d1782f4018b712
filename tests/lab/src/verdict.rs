//! The invariants of every story, asserted on the chronicle and on the machines' own lists of
//! boots. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::audit::{Chronicle, LADDER, NodeStory, PhaseChange, TaintChange};
use crate::node_dir::BootEnd;

/// A boot that the lab itself ended, as a power failure would.
pub const POWER: &str = "power";

/// Violations in the history of one node; empty if there are none.
pub fn violations(name: &str, story: &NodeStory, boots: &[BootEnd]) -> Vec<String> {
    let mut wrong: Vec<String> = story.foreign.iter().map(|what| format!("never-foreign: {name}: {what}")).collect();
    let mut ended = BTreeSet::new();
    let mut used = BTreeSet::new();
    for boot in boots {
        if !ended.insert(&boot.boot_id) {
            wrong.push(format!("never-two: {name}: boot {} was ended twice", boot.boot_id));
        }
        if boot.by == POWER {
            continue;
        }
        if !used.insert(&boot.by) {
            wrong.push(format!("never-two: {name}: order {} ended two boots", boot.by));
        }
        match story.orders.iter().find(|order| order.id == boot.by) {
            None => wrong.push(format!(
                "never-two: {name}: boot {} was ended by {}, which was never ordered",
                boot.boot_id, boot.by
            )),
            Some(order) if order.kind == "prove" => {
                wrong.push(format!("never-two: {name}: the proof {} ended a boot", order.id))
            }
            Some(order) if order.boot_id != boot.boot_id => {
                wrong.push(format!(
                    "never-two: {name}: order {} was to end boot {}, and ended {}",
                    order.id, order.boot_id, boot.boot_id
                ));
            }
            Some(_) => {}
        }
    }
    let called_back = story.called_back.iter();
    wrong.extend(called_back.map(|order| format!("never-two: {name}: {order} was begun after it was called back")));
    let without = story.without_evidence.iter();
    wrong.extend(without.map(|order| format!("never-lost: {name}: {order} left no evidence in the cluster")));
    wrong.extend(story.taints.iter().filter_map(step_wrong).map(|what| format!("ladder: {name}: {what}")));
    wrong
}

/// The phases in which a repair keeps its node out of service.
const DISRUPTIVE: [&str; 5] = ["Draining", "Reimaging", "Rebooting", "Stabilising", "Proving"];

/// Violations of the budget: more nodes of a pool than `percent` (at least one) were under
/// disruptive repair at the same time.
pub fn crowds(chronicle: &Chronicle, pool: &[&str], percent: usize) -> Vec<String> {
    let at_most = (pool.len() * percent / 100).max(1);
    let mut changes: Vec<_> = chronicle
        .nodes()
        .filter(|(name, _)| pool.contains(name))
        .flat_map(|(name, story)| story.phases.iter().map(move |change| (change.at, name, change)))
        .collect();
    changes.sort_by_key(|(at, ..)| *at);
    let mut under: BTreeMap<&str, &str> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (at, name, change) in changes {
        // A repair that moves to the next rung holds its budget slot; one that waits again on the
        // same rung has released it.
        let moving = change.phase == "Waiting" && under.get(name).is_some_and(|rung| *rung != change.rung);
        if change.rung != "manual" && (moving || DISRUPTIVE.contains(&change.phase.as_str())) {
            under.insert(name, &change.rung);
        } else {
            under.remove(name);
        }
        if under.len() > at_most {
            wrong.push(format!(
                "never-over: at {at} {} nodes are under repair, the budget is {at_most}: {under:?}",
                under.len()
            ));
        }
    }
    wrong
}

/// The error of a taint change. Valid are: one rung at a time, upwards, each step in one write. A
/// person may add a second taint.
fn step_wrong(change: &TaintChange) -> Option<String> {
    let rung = |taints: &BTreeSet<String>| LADDER.iter().rposition(|rung| taints.contains(*rung));
    let count = LADDER.iter().filter(|rung| change.after.contains(**rung)).count();
    if count > 1 && change.ours {
        return Some(format!("{count} rungs at once: {:?}", change.after));
    }
    match (rung(&change.before), rung(&change.after)) {
        (Some(before), Some(after)) if after < before => {
            Some(format!("from {} down to {}", LADDER[before], LADDER[after]))
        }
        // Skipping a rung is valid if nothing could be proven: the node goes directly to a person.
        _ => None,
    }
}

/// The history of one node as text without times: the content of a golden file.
pub fn told(name: &str, story: &NodeStory, boots: &[BootEnd], mails: &[String]) -> String {
    let taints = story.taints.iter().map(taint_words).collect::<Vec<_>>().join(" ");
    let mut phases = String::new();
    let mut rung = "";
    for change in &story.phases {
        if change.rung != rung {
            let separator = if rung.is_empty() { "" } else { "; " };
            phases.push_str(&format!("{separator}{}:", change.rung));
            rung = &change.rung;
        }
        phases.push_str(&format!(" {}", phase_words(change)));
    }
    let network = story.network.iter().map(phase_words).collect::<Vec<_>>().join(" ");
    // Whether an alert resolves before the end of a drain, so that the node is checked again, is a
    // matter of seconds.
    let orders = story.orders.iter().filter(|order| !order.id.ends_with("-recheck"));
    let orders = orders.map(|order| format!("{}({})", untimed(&order.id), order.kind));
    let orders = orders.collect::<Vec<_>>().join(" ");
    let boots = boots.iter().map(|boot| format!("by {}", untimed(&boot.by))).collect::<Vec<_>>().join(", ");
    let mut text = format!("{name}\n");
    for (what, words) in [
        ("taints", taints),
        ("phases", phases),
        ("network", network),
        ("orders", orders),
        ("boots ended", boots),
        ("mails", mails.join("; ")),
    ] {
        if !words.is_empty() {
            text.push_str(&format!("  {what}: {words}\n"));
        }
    }
    text
}

/// A phase, followed in brackets by the reasons that blocked the repair: `Waiting(OnHold)`.
fn phase_words(change: &PhaseChange) -> String {
    match change.holds.as_slice() {
        [] => change.phase.clone(),
        holds => format!("{}({})", change.phase, holds.join(" ")),
    }
}

/// Removes the reasons in brackets. A killed controller need not have recorded each.
pub fn without_holds(told: &str) -> String {
    let lines = told.lines().map(|line| {
        if !line.starts_with("  phases: ") && !line.starts_with("  network: ") {
            return format!("{line}\n");
        }
        let mut parts = line.split('(');
        let first = parts.next().unwrap_or_default().to_owned();
        let rest = parts.map(|part| part.split_once(')').map_or("", |(_, rest)| rest));
        format!("{}\n", rest.fold(first, |line, rest| line + rest))
    });
    lines.collect()
}

/// An order's ID without the time at the end of a provisioning service's ID.
fn untimed(id: &str) -> &str {
    let is_time = |end: &str| end.len() > 9 && end.bytes().all(|byte| byte.is_ascii_digit());
    id.rsplit_once('-').filter(|(_, end)| is_time(end)).map_or(id, |(id, _)| id)
}

/// `+repair-reboot`, `-repair-reboot`, or `repair-reboot>repair-reimage` for a change in one write.
fn taint_words(change: &TaintChange) -> String {
    let removed: Vec<&String> = change.before.difference(&change.after).collect();
    let added: Vec<&String> = change.after.difference(&change.before).collect();
    match (removed.as_slice(), added.as_slice()) {
        ([from], [to]) => format!("{from}>{to}"),
        _ => {
            let minus = removed.iter().map(|key| format!("-{key}"));
            minus.chain(added.iter().map(|key| format!("+{key}"))).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::audit::OrderSeen;
    use crate::audit::Write;

    fn change(before: &[&str], after: &[&str]) -> TaintChange {
        let set = |keys: &[&str]| keys.iter().map(|key| key.to_string()).collect();
        TaintChange { at: Timestamp::UNIX_EPOCH, ours: true, before: set(before), after: set(after) }
    }

    fn boot(boot_id: &str, by: &str) -> BootEnd {
        BootEnd { at: Timestamp::UNIX_EPOCH, boot_id: boot_id.into(), by: by.into() }
    }

    #[test]
    fn each_violated_invariant_is_named() {
        let order =
            |id: &str, kind: &str, boot: &str| OrderSeen { id: id.into(), kind: kind.into(), boot_id: boot.into() };
        let orders = vec![order("1-reboot-1", "reboot", "a"), order("1-prove-1", "prove", "b")];
        let check = |taints: Vec<TaintChange>, boots: &[BootEnd]| {
            let mut story = NodeStory::default();
            (story.taints, story.orders) = (taints, orders.clone());
            violations("gpu1", &story, boots).join("\n")
        };
        for (taints, boots, expected) in [
            (vec![], vec![boot("a", "1-reboot-1"), boot("b", POWER)], ""),
            (vec![], vec![boot("a", "1-reboot-1"), boot("a", POWER)], "ended twice"),
            (vec![], vec![boot("a", "1-reboot-1"), boot("b", "1-reboot-1")], "ended two boots"),
            (vec![], vec![boot("a", "9-reboot-9")], "never ordered"),
            (vec![], vec![boot("c", "1-reboot-1")], "was to end boot a"),
            (vec![], vec![boot("b", "1-prove-1")], "the proof"),
            (vec![change(&["repair-reboot"], &["repair-reimage"])], vec![], ""),
            (vec![change(&[], &["repair-reboot", "repair-reimage"])], vec![], "2 rungs at once"),
            (vec![change(&["repair-manual"], &["repair-reboot"])], vec![], "down to repair-reboot"),
            (vec![change(&["repair-reboot"], &["repair-manual"])], vec![], ""),
        ] {
            let found = check(taints, &boots);
            assert!(
                if expected.is_empty() { found.is_empty() } else { found.contains(expected) },
                "{expected:?}: {found}"
            );
        }
    }

    #[test]
    fn holds_follow_their_phase_and_can_be_removed() {
        let change = |phase: &str, holds: &[&str]| PhaseChange {
            at: Timestamp::UNIX_EPOCH,
            rung: "reboot".into(),
            phase: phase.into(),
            holds: holds.iter().map(|hold| hold.to_string()).collect(),
        };
        let phases = vec![change("Waiting", &["ObserveOnly", "OnHold"]), change("Capturing", &[])];
        let mut story = NodeStory::default();
        story.phases = phases;
        let text = told("n", &story, &[], &["(a mail)".to_owned()]);
        assert_eq!(text, "n\n  phases: reboot: Waiting(ObserveOnly OnHold) Capturing\n  mails: (a mail)\n");
        assert_eq!(without_holds(&text), "n\n  phases: reboot: Waiting Capturing\n  mails: (a mail)\n");
    }

    #[test]
    fn a_change_of_rung_in_one_write_is_one_word() {
        assert_eq!(taint_words(&change(&["repair-reboot"], &["repair-reimage"])), "repair-reboot>repair-reimage");
        assert_eq!(taint_words(&change(&[], &["slow-network"])), "+slow-network");
    }

    #[test]
    fn two_repairs_exceed_the_budget_of_a_small_pool() {
        let write = |version: u64, name: &str, phase: &str| Write {
            at: Timestamp::from_second(i64::try_from(version).unwrap()).unwrap(),
            user: "system:serviceaccount:ossci:ossci-remediator".into(),
            resource: "noderepairs".into(),
            name: name.into(),
            resource_version: version,
            object: serde_json::json!({ "status": { "episode": { "rung": "reboot", "phase": phase } } }),
        };
        let check = |writes: &[Write]| crowds(&Chronicle::of(writes), &["a", "b"], 10).len();
        let one =
            [write(1, "a", "Draining"), write(2, "b", "Waiting"), write(3, "a", "Healed"), write(4, "b", "Draining")];
        assert_eq!(check(&one), 0);
        let two = [write(1, "a", "Draining"), write(2, "b", "Rebooting"), write(3, "a", "Healed")];
        assert_eq!(check(&two), 1);
    }
}
