//! What Alertmanager last answered: its silences, and which alerts are active. Sends no request.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::controller::services::alertmanager::Replicas;
use crate::core::record::Complaint;
use crate::core::silence;
use crate::core::silence::Silence;
use ossci_base::clock;

/// After this number of poll intervals without any answer, the silences count as unknown.
const MISSED: u32 = 3;

/// The union of the replicas' last answers.
#[derive(Debug, Default)]
pub struct Heard {
    pub silences: Vec<Silence>,
    /// Fingerprints of the alerts that are neither silenced nor inhibited in any answer.
    pub active: BTreeSet<String>,
    /// Fingerprints of the alerts that are silenced or inhibited.
    pub suppressed: BTreeSet<String>,
}

/// The last answers, and when any replica gave them; and what was seen in alerts.
#[derive(Debug, Default)]
pub struct Alerts {
    last: RwLock<(Option<Instant>, Heard)>,
    /// Values of the label `cluster`; two are as many as matter.
    clusters: Mutex<BTreeSet<String>>,
}

impl Alerts {
    /// Notes the cluster that a complaint comes from.
    pub fn saw_cluster(&self, complaint: &Complaint) {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cluster) = complaint.labels.get("cluster").filter(|_| clusters.len() < 2) {
            clusters.insert(cluster.clone());
        }
    }

    /// Whether complaints of more than one cluster were seen.
    pub fn of_several_clusters(&self) -> bool {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner).len() > 1
    }

    /// Returns the fingerprints of the complaints that a cached silence matches, or that are
    /// silenced or inhibited by the last answer.
    pub fn silenced(&self, board: &[Complaint]) -> BTreeSet<String> {
        self.read(|(_, heard)| {
            let mut silenced = silence::silenced(board, &heard.silences);
            let suppressed = board.iter().filter(|complaint| heard.suppressed.contains(&complaint.fingerprint));
            silenced.extend(suppressed.map(|complaint| complaint.fingerprint.clone()));
            silenced
        })
    }

    /// Returns which complaints of the board are active by the last answer; none when it is too
    /// old.
    pub fn active(&self, replicas: &Replicas, board: &[Complaint]) -> BTreeSet<String> {
        if self.unknown(replicas) {
            return BTreeSet::new();
        }
        let fingerprints = board.iter().map(|complaint| &complaint.fingerprint);
        self.read(|(_, heard)| {
            fingerprints.filter(|fingerprint| heard.active.contains(*fingerprint)).cloned().collect()
        })
    }

    /// Whether no replica has answered for `MISSED` poll intervals.
    pub fn unknown(&self, replicas: &Replicas) -> bool {
        self.age().is_none_or(|age| age > replicas.every * MISSED)
    }

    /// Stores an answer; returns whether it is the first one, or what is silenced or inhibited
    /// changed.
    pub fn heard(&self, answer: Heard) -> bool {
        let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
        let ids = |heard: &Heard| heard.silences.iter().map(|silence| silence.id.clone()).collect::<BTreeSet<_>>();
        // Editing a silence gives it another ID, so comparing IDs is enough.
        let (at, heard) = &*last;
        let changed = at.is_none() || ids(heard) != ids(&answer) || heard.suppressed != answer.suppressed;
        *last = (Some(clock::monotonic()), answer);
        changed
    }

    fn age(&self) -> Option<Duration> {
        self.read(|(at, _)| at.map(|at| clock::monotonic().saturating_duration_since(at)))
    }

    fn read<T>(&self, ask: impl FnOnce(&(Option<Instant>, Heard)) -> T) -> T {
        ask(&self.last.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::record::Ask;

    #[test]
    fn alerts_of_two_clusters_are_noticed() {
        let alerts = Alerts::default();
        let of = |cluster: &str| Complaint {
            fingerprint: "f".into(),
            ask: Ask::Reboot,
            check: "rocm-smi".into(),
            since: Timestamp::UNIX_EPOCH,
            seen: Timestamp::UNIX_EPOCH,
            firing: true,
            summary: String::new(),
            labels: [("cluster".to_owned(), cluster.to_owned())].into(),
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        };
        for (cluster, several) in [("a", false), ("a", false), ("b", true), ("a", true)] {
            alerts.saw_cluster(&of(cluster));
            assert_eq!(alerts.of_several_clusters(), several, "{cluster}");
        }
    }
}
