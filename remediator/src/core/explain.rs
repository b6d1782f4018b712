//! Why a node is where it is: what its record and its Node say, with the text of each reason. Pure;
//! `ossci-remediator explain` reads both.

use jiff::Timestamp;
use serde::Serialize;

use super::health::Condition;
use super::observation::NodeView;
use super::policy::POOL;
use super::record::{Complaint, Record};
use super::why::{Reason, Why};
use super::why_text::{self, WhyText};
use super::words::{clock, first_line, span, when};
use ossci_base::words::ClosedWord;

/// What is known of a node; at least one of Node and record is there.
#[derive(Debug)]
pub struct About<'a> {
    pub name: &'a str,
    pub node: Option<&'a NodeView>,
    /// Our condition of the Node, which also stands for a node without a record.
    pub condition: Option<&'a Condition>,
    pub record: Option<&'a Record>,
    pub now: Timestamp,
}

/// The answer; as JSON with these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub node: String,
    /// Its pool label; absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What stands on the Node: `not Ready`, `cordoned`, our taints, a hold.
    pub marks: Vec<String>,
    /// The repair and the network, whichever is open; what the condition says if neither is.
    pub states: Vec<State>,
    pub alerts: Vec<String>,
    /// The steps of the open or last repair, oldest first.
    pub steps: Vec<String>,
    /// Earlier repairs, oldest first.
    pub earlier: Vec<String>,
    /// A repair or a slow network is open, or the node is not well.
    pub open: bool,
}

/// One thing that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `reboot: Draining, attempt 1`.
    pub what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub why: String,
    pub message: String,
    pub means: &'static str,
    pub ends: &'static str,
    /// Empty: there is nothing to do.
    pub person: String,
}

/// Characters of an alert's own text.
const TEXT: usize = 120;

pub fn explain(about: &About<'_>) -> Explanation {
    let mut states = Vec::new();
    let episode = about.record.and_then(|record| record.repair.episode.as_ref());
    if let Some(episode) = episode.filter(|episode| !episode.phase.is_over()) {
        let what = format!("{}: {}, attempt {}", episode.rung, episode.phase, episode.attempt);
        states.push(state(about.name, what, &episode.why, Some(episode.since), episode.until));
    }
    let network = about.record.and_then(|record| record.repair.network.as_ref());
    if let Some(track) = network.filter(|track| !track.phase.is_over()) {
        states.push(state(about.name, format!("network: {}", track.phase), &track.why, Some(track.since), track.until));
    }
    let open = !states.is_empty() || about.condition.is_some_and(|condition| condition.status == "False");
    if let (true, Some(condition)) = (states.is_empty(), about.condition)
        && let Some(why) = Why::parse(&condition.reason)
    {
        let reason = Reason::new(why, condition.message.clone());
        let what = if open { "no repair runs, and the node is not well" } else { "no repair runs" };
        states.push(state(about.name, what.to_owned(), &reason, None, None));
    }
    let complaints = about.record.iter().flat_map(|record| &record.complaints);
    Explanation {
        node: about.name.to_owned(),
        pool: about.node.and_then(|node| node.labels.get(POOL).cloned()),
        marks: marks(about.node),
        states,
        alerts: complaints.map(|complaint| alert(complaint, about.now)).collect(),
        steps: episode.map(steps).unwrap_or_default(),
        earlier: about.record.iter().flat_map(|record| &record.repair.history).map(past).collect(),
        open,
    }
}

fn state(node: &str, what: String, reason: &Reason, since: Option<Timestamp>, until: Option<Timestamp>) -> State {
    let WhyText { means, ends, person } = why_text::of(reason.why);
    State {
        what,
        since,
        until,
        why: reason.why.to_string(),
        message: reason.message.clone(),
        means,
        ends,
        person: person.replace("NODE", node),
    }
}

fn marks(node: Option<&NodeView>) -> Vec<String> {
    let Some(node) = node else { return vec!["there is no Node of this name".to_owned()] };
    let mut all = Vec::new();
    all.extend((!node.ready).then(|| "not Ready".to_owned()));
    all.extend(node.cordoned.then(|| "cordoned".to_owned()));
    all.extend(node.taints.iter().map(|key| format!("taint {key}")));
    all.extend(node.hold.iter().map(|reason| format!("on hold: {}", first_line(reason, TEXT))));
    all
}

fn alert(complaint: &Complaint, now: Timestamp) -> String {
    let name = complaint.labels.get("alertname").unwrap_or(&complaint.check);
    let state = if complaint.firing { "fires" } else { "has resolved" };
    let text = first_line(&complaint.summary, TEXT);
    let ago = span(complaint.since, now);
    format!("{name}: {text} (asks for {}, {state}, began {ago} ago)", complaint.ask)
}

fn steps(episode: &super::record::Episode) -> Vec<String> {
    let begin = episode.started_at;
    let line = |step: &super::record::Step| {
        let outcome = &step.outcome;
        format!("{} {}: {} ({})", clock(step.at, begin), step.rung, first_line(&outcome.message, TEXT), outcome.why)
    };
    std::iter::once(format!("{} began", when(begin))).chain(episode.steps.iter().map(line)).collect()
}

fn past(episode: &super::record::PastEpisode) -> String {
    let took = span(episode.started_at, episode.ended_at);
    let message = first_line(&episode.why.message, TEXT);
    format!("{} {}: {} after {took}; {message}", when(episode.started_at), episode.rung, episode.outcome)
}

/// Returns the answer as a person reads it. `history`: with the earlier repairs.
pub fn text(explanation: &Explanation, history: bool) -> String {
    let mut text = String::new();
    let mut row = |title: &str, line: &str| {
        text.push_str(format!("{title:<8}{line}").trim_end());
        text.push('\n');
    };
    let pool = explanation.pool.as_ref().map_or("in no pool".to_owned(), |pool| format!("pool {pool}"));
    row("node", &std::iter::once(pool).chain(explanation.marks.iter().cloned()).fold(explanation.node.clone(), join));
    if explanation.states.is_empty() {
        row("state", "nothing is recorded: the controller has not looked at it yet, or does not manage it");
    }
    for state in &explanation.states {
        let times = [("since", state.since), ("until", state.until)];
        let times = times.iter().filter_map(|(word, at)| Some(format!("{word} {}", when((*at)?))));
        row("state", &times.fold(state.what.clone(), join));
        row("why", &format!("{}: {}", state.why, state.message));
        row("", state.means);
        row("ends", state.ends);
        if !state.person.is_empty() {
            row("you", &state.person);
        }
    }
    let lists = [("alerts", &explanation.alerts), ("steps", &explanation.steps)];
    let earlier = history.then_some(("earlier", &explanation.earlier));
    for (title, lines) in lists.into_iter().chain(earlier) {
        for (index, line) in lines.iter().enumerate() {
            row(if index == 0 { title } else { "" }, line);
        }
    }
    if !history && !explanation.earlier.is_empty() {
        row("earlier", &format!("{} repairs: --history", explanation.earlier.len()));
    }
    text
}

fn join(known: String, more: String) -> String {
    format!("{known}, {more}")
}

/// Returns the known names that are most like this one, at most three.
pub fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let distance = |other: &str| {
        let same = name.chars().zip(other.chars()).take_while(|(one, two)| one == two).count();
        name.chars().count().max(other.chars().count()) - same
    };
    let mut all: Vec<&str> = known.collect();
    all.sort_by_key(|other| (distance(other), *other));
    all.truncate(3);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    use crate::core::record::{Episode, Rung, Step};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    fn node() -> NodeView {
        NodeView {
            name: "n1".into(),
            uid: "uid".into(),
            boot_id: "boot".into(),
            ready: true,
            taints: BTreeSet::new(),
            other_taints: BTreeSet::new(),
            hold: None,
            system_uuid: None,
            adopted: None,
            said: None,
            verify: None,
            cordoned: false,
            labels: BTreeMap::from([(POOL.to_owned(), "gpu".to_owned())]),
            addresses: Vec::new(),
        }
    }

    fn record() -> Record {
        let mut episode = Episode::begin(2, Rung::Reboot, at(0), Reason::new(Why::DrainBlocked, "pod a/b may not go"));
        episode.until = Some(at(600));
        episode.steps = vec![Step::plain(at(0), Rung::Reboot, Reason::new(Why::Complaint, "rocm-smi failed"))];
        let mut record = Record::default();
        record.repair.episode = Some(episode);
        record
    }

    #[test]
    fn an_open_repair_says_why_what_ends_it_and_what_a_person_can_do() {
        let node = NodeView { hold: Some("ask Ann".into()), ..node() };
        let record = record();
        let about = About { name: "n1", node: Some(&node), condition: None, record: Some(&record), now: at(60) };
        let found = explain(&about);
        assert!(found.open);
        let told = text(&found, false);
        for part in [
            "on hold: ask Ann",
            "reboot: Waiting, attempt 1, since 2026-11-18 11:06:40 UTC, until 2026-11-18 11:16:40 UTC",
            "DrainBlocked: pod a/b may not go",
            "ends    It allows it",
            "you     Give the workload another replica",
            "11:06:40 reboot: rocm-smi failed (Complaint)",
        ] {
            assert!(told.contains(part), "{part}:\n{told}");
        }
    }

    #[test]
    fn a_node_without_a_repair_says_what_its_condition_says() {
        let node = node();
        let condition =
            Condition { status: "False".into(), reason: "ObserveOnly".into(), message: "would reboot".into() };
        let about = About { name: "n1", node: Some(&node), condition: Some(&condition), record: None, now: at(0) };
        let found = explain(&about);
        assert!(found.open && text(&found, true).contains("ObserveOnly: would reboot"), "{found:?}");
        let nothing = explain(&About { condition: None, ..about });
        assert!(!nothing.open && text(&nothing, false).contains("nothing is recorded"));
    }

    #[test]
    fn the_nearest_names_come_first() {
        let known = ["gpu-10", "gpu-3", "infra-1", "gpu-30"];
        assert_eq!(near("gpu-33", known.into_iter())[0], "gpu-3");
        assert_eq!(near("gpu-33", known.into_iter()).len(), 3);
    }
}
