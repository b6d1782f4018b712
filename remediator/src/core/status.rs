//! The state of the fleet in one answer: what `ossci-remediator status` and the controller's page
//! `/fleet` show. Pure; the leading controller computes it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::brakes::Storm;
use super::notices::PoolStanding;
use super::record::Phase;
use super::why::Why;
use super::words::{span, when};
use ossci_base::words::ClosedWord;

/// The answer; as JSON with these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    pub at: Timestamp,
    /// Why a person has paused everything disruptive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<String>,
    /// By name.
    pub pools: Vec<Pool>,
    /// The nodes that are not well, by name.
    pub nodes: Vec<NodeState>,
    pub mail: Mails,
    /// Records that cannot be read or contradict themselves.
    pub records_not_understood: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    pub name: String,
    pub nodes: u32,
    /// Nodes with a taint of ours.
    pub tainted: u32,
    /// Budget slots, and how many of them are in use.
    pub slots: u32,
    pub slots_in_use: u32,
    /// The brakes that are engaged, one sentence each.
    pub brakes: Vec<String>,
}

/// What is open on a node: a repair, a slow network, or a condition that says that it is not well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeState {
    pub node: String,
    /// Empty: it is in no pool.
    pub pool: String,
    /// A rung, or `slow-network`; empty: only the condition says so.
    pub rung: String,
    /// Of the repair or of the network; empty without a rung.
    pub phase: String,
    pub why: Why,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The deadline of the phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mails {
    /// The policy says how mails are sent.
    pub configured: bool,
    /// Mails that are due and that no server has accepted.
    pub unaccepted: usize,
    /// Since when the oldest of them has been due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Timestamp>,
}

impl Pool {
    pub fn of(name: &str, standing: &PoolStanding) -> Self {
        let mut brakes = Vec::new();
        match standing.storm {
            Storm::Calm => {}
            Storm::Braking(until) => {
                brakes.push(format!("storm: nothing disruptive starts before {}", when(until)));
            }
            Storm::Probation => brakes.push("after a storm: one node at a time until the first is healed".to_owned()),
        }
        let stopped = standing.stopped.iter();
        brakes.extend(stopped.map(|rung| format!("{rung} is stopped: its last attempts all failed")));
        brakes.extend(standing.taints_full.then(|| "taint limit: no further node is tainted".to_owned()));
        Self {
            name: name.to_owned(),
            nodes: standing.nodes,
            tainted: standing.tainted,
            slots: standing.places,
            slots_in_use: standing.taken,
            brakes,
        }
    }
}

impl NodeState {
    /// Whether nothing more is tried on it.
    pub fn needs_person(&self) -> bool {
        [Phase::Escalating, Phase::Escalated].iter().any(|phase| phase.as_str() == self.phase)
    }
}

impl Fleet {
    /// Whether nothing has to be looked at.
    pub fn is_well(&self) -> bool {
        self.nodes.is_empty()
            && self.paused.is_none()
            && self.pools.iter().all(|pool| pool.brakes.is_empty())
            && self.mail.unaccepted == 0
            && self.records_not_understood == 0
    }

    /// Returns the answer as a person reads it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut warn = |line: String| {
            let _ = writeln!(text, "! {line}");
        };
        if let Some(reason) = &self.paused {
            warn(format!("paused by a person, nothing disruptive starts: {reason}"));
        }
        for pool in &self.pools {
            pool.brakes.iter().for_each(|brake| warn(format!("pool {}: {brake}", pool.name)));
        }
        let many = self.nodes.iter().filter(|node| node.needs_person()).count();
        if many > 0 {
            warn(format!("{many} nodes need a person"));
        }
        match (self.mail.unaccepted, self.mail.oldest) {
            (0, _) => {}
            (many, Some(since)) => warn(format!("{many} mails not accepted, for {}", span(since, self.at))),
            (many, None) => warn(format!("{many} mails not accepted")),
        }
        if !self.mail.configured {
            warn("no mail is configured: no person hears of a node that needs one".to_owned());
        }
        if self.records_not_understood > 0 {
            warn(format!("{} records are not understood; their nodes are left alone", self.records_not_understood));
        }
        let ended = if text.is_empty() { "" } else { "\n" };
        text.push_str(ended);
        let mut pools = vec![["POOL", "NODES", "NOT WELL", "TAINTED", "SLOTS IN USE"].map(str::to_owned).to_vec()];
        for pool in &self.pools {
            let unwell = self.nodes.iter().filter(|node| node.pool == pool.name);
            let unwell = unwell.map(|node| &node.node).collect::<std::collections::BTreeSet<_>>().len();
            let slots = format!("{} of {}", pool.slots_in_use, pool.slots);
            let row = [pool.name.clone(), pool.nodes.to_string(), unwell.to_string(), pool.tainted.to_string(), slots];
            pools.push(row.to_vec());
        }
        text.push_str(&table(&pools));
        text.push('\n');
        if self.nodes.is_empty() {
            text.push_str("every node is well\n");
            return text;
        }
        let mut nodes = vec![["NODE", "POOL", "RUNG", "PHASE", "WHY", "SINCE", "UNTIL"].map(str::to_owned).to_vec()];
        let mut sorted: Vec<&NodeState> = self.nodes.iter().collect();
        sorted.sort_by_key(|node| (!node.needs_person(), node.since));
        for state in sorted {
            let NodeState { node, pool, rung, phase, why, since, until } = state;
            let since = since.map(|since| format!("{} ago", span(since, self.at))).unwrap_or_default();
            let until = until.map(|until| left(self.at, until)).unwrap_or_default();
            nodes.push(vec![node.clone(), pool.clone(), rung.clone(), phase.clone(), why.to_string(), since, until]);
        }
        text + &table(&nodes)
    }
}

/// Returns `in 4 min 10 s`, or `3 s ago`.
fn left(now: Timestamp, until: Timestamp) -> String {
    if until < now { format!("{} ago", span(until, now)) } else { format!("in {}", span(now, until)) }
}

/// Returns rows as aligned columns, like kubectl's.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Rung;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    fn standing() -> PoolStanding {
        PoolStanding {
            nodes: 500,
            tainted: 2,
            places: 50,
            taken: 1,
            waits_since: None,
            storm: Storm::Calm,
            stopped: Vec::new(),
            need_person: Vec::new(),
            taints_full: false,
        }
    }

    fn node(name: &str, rung: &str, phase: &str, why: Why) -> NodeState {
        NodeState {
            node: name.to_owned(),
            pool: "gpu".to_owned(),
            rung: rung.to_owned(),
            phase: phase.to_owned(),
            why,
            since: Some(at(0)),
            until: None,
        }
    }

    fn fleet(standing: &PoolStanding, nodes: Vec<NodeState>) -> Fleet {
        Fleet {
            at: at(600),
            paused: None,
            pools: vec![Pool::of("gpu", standing)],
            nodes,
            mail: Mails { configured: true, unaccepted: 0, oldest: None },
            records_not_understood: 0,
        }
    }

    #[test]
    fn a_fleet_that_is_well_says_so() {
        let well = fleet(&standing(), Vec::new());
        assert!(well.is_well());
        let printed = "POOL   NODES   NOT WELL   TAINTED   SLOTS IN USE\ngpu    500     0          2         1 of 50\n\nevery node is well\n";
        assert_eq!(well.text(), printed);
    }

    #[test]
    fn what_needs_a_person_comes_first() {
        let rebooting = NodeState { until: Some(at(900)), ..node("gpu-1", "reboot", "Rebooting", Why::RebootOrdered) };
        let nodes = vec![rebooting, node("gpu-9", "manual", "Escalated", Why::MailAccepted)];
        let stopped = PoolStanding { stopped: vec![Rung::Reimage], storm: Storm::Braking(at(700)), ..standing() };
        let mut fleet = fleet(&stopped, nodes);
        fleet.paused = Some("power works".to_owned());
        fleet.mail = Mails { configured: true, unaccepted: 2, oldest: Some(at(0)) };
        assert!(!fleet.is_well());
        let printed = fleet.text();
        let lines: Vec<&str> = printed.lines().collect();
        for line in [
            "! paused by a person, nothing disruptive starts: power works",
            "! pool gpu: storm: nothing disruptive starts before 2026-11-18 11:18:20 UTC",
            "! pool gpu: reimage is stopped: its last attempts all failed",
            "! 1 nodes need a person",
            "! 2 mails not accepted, for 10 min 0 s",
            "gpu    500     2          2         1 of 50",
            "gpu-1   gpu    reboot   Rebooting   RebootOrdered   10 min 0 s ago   in 5 min 0 s",
        ] {
            assert!(lines.contains(&line), "{line}\n{printed}");
        }
        let place = |name: &str| lines.iter().position(|line| line.starts_with(name));
        assert!(place("gpu-9") < place("gpu-1"), "{printed}");
    }

    #[test]
    fn the_answer_survives_its_json() {
        let fleet = fleet(&standing(), vec![node("gpu-1", "", "", Why::NotManaged)]);
        let json = serde_json::to_string(&fleet).unwrap();
        assert_eq!(serde_json::from_str::<Fleet>(&json).unwrap(), fleet);
    }
}
