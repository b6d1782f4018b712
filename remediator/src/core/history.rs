//! What happened to nodes, in order: what `ossci-remediator history` shows. Pure.

use jiff::Timestamp;
use serde::Serialize;

use super::record::{NetworkPhase, Record};
use super::status::table;
use super::words::{first_line, when};
use ossci_base::words::ClosedWord;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Happened {
    pub at: Timestamp,
    pub node: String,
    /// A rung, or `slow-network`.
    pub rung: String,
    /// The reason, or the outcome of a repair.
    pub what: String,
    pub message: String,
}

/// Characters of a message.
const MESSAGE: usize = 160;

/// Returns what the record of a node knows, oldest first. The steps of earlier repairs are not
/// stored: of them there is the begin, each rung that was carried out, and the end.
pub fn of(node: &str, record: &Record) -> Vec<Happened> {
    let mut all = Vec::new();
    let mut add = |at, rung: &str, what: &str, message: &str| {
        let (node, rung, what) = (node.to_owned(), rung.to_owned(), what.to_owned());
        all.push(Happened { at, node, rung, what, message: first_line(message, MESSAGE) });
    };
    let episode = record.repair.episode.as_ref();
    let shown = |number| episode.is_some_and(|episode| episode.number == number);
    for past in record.repair.history.iter().filter(|past| !shown(past.number)) {
        let whom = if past.by_person { "a person asked for it" } else { "an alert asked for it" };
        add(past.started_at, past.attempts.first().map_or(past.rung, |first| first.rung).as_str(), "Began", whom);
        for attempt in &past.attempts {
            let (what, message) = match attempt.passed {
                true => ("Passed", "the checks passed after this rung"),
                false => ("Failed", "the node was not healthy after this rung"),
            };
            add(attempt.at, attempt.rung.as_str(), what, message);
        }
        add(past.ended_at, past.rung.as_str(), past.outcome.as_str(), &past.why.message);
    }
    if let Some(episode) = episode {
        for step in &episode.steps {
            add(step.at, step.rung.as_str(), step.outcome.why.as_str(), &step.outcome.message);
        }
        add(episode.since, episode.rung.as_str(), episode.phase.as_str(), &episode.why.message);
    }
    if let Some(track) = &record.repair.network {
        for begun in &track.begun {
            add(*begun, "slow-network", NetworkPhase::Slow.as_str(), "the network was slow");
        }
        add(track.since, "slow-network", track.phase.as_str(), &track.why.message);
    }
    all.sort();
    all.dedup();
    all
}

/// Returns the answer as a person reads it.
pub fn text(all: &[Happened]) -> String {
    if all.is_empty() {
        return "nothing happened\n".to_owned();
    }
    let mut rows = vec![["TIME", "NODE", "RUNG", "WHAT", "MESSAGE"].map(str::to_owned).to_vec()];
    for Happened { at, node, rung, what, message } in all {
        rows.push(vec![when(*at), node.clone(), rung.clone(), what.clone(), message.clone()]);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{Attempt, Episode, PastEpisode, Phase, Rung, Step};
    use crate::core::why::{Reason, Why};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + seconds).unwrap()
    }

    #[test]
    fn earlier_repairs_and_the_open_one_are_one_story() {
        let past = |number, begun| PastEpisode {
            number,
            started_at: at(begun),
            ended_at: at(begun + 500),
            rung: Rung::Reboot,
            outcome: Phase::Healed,
            why: Reason::new(Why::ProofPassed, "three passes"),
            pool: None,
            attempts: vec![Attempt { rung: Rung::Reboot, at: at(begun + 400), passed: true }],
            slowest_boot_seconds: None,
            by_person: false,
            mailed: false,
        };
        let mut record = Record::default();
        // The last one stands in both places until the next begins.
        record.repair.history = vec![past(1, 0), past(2, 1_000)];
        let mut episode = Episode::begin(2, Rung::Reboot, at(1_000), Reason::new(Why::ProofPassed, "three passes"));
        episode.steps = vec![Step::plain(at(1_000), Rung::Reboot, Reason::new(Why::Complaint, "rocm-smi failed"))];
        episode.phase = Phase::Healed;
        episode.since = at(1_500);
        record.repair.episode = Some(episode);
        let all = of("n1", &record);
        let whats: Vec<&str> = all.iter().map(|happened| happened.what.as_str()).collect();
        assert_eq!(whats, ["Began", "Passed", "Healed", "Complaint", "Healed"]);
        let printed = text(&all);
        assert!(printed.contains("2026-11-18 11:23:20 UTC   n1     reboot   Complaint   rocm-smi failed"), "{printed}");
        assert_eq!(text(&[]), "nothing happened\n");
    }
}
