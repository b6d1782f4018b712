//! Cached silences of Alertmanager, and the time of the last answer. Sends no request.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};
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
struct Heard {
    /// When any replica last answered.
    at: Option<Instant>,
    silences: Vec<Silence>,
}

/// The cached silences.
#[derive(Debug, Default)]
pub struct Alerts(RwLock<Heard>);

impl Alerts {
    /// Returns the fingerprints of the complaints that a cached silence matches.
    pub fn silenced(&self, board: &[Complaint]) -> BTreeSet<String> {
        self.read(|heard| silence::silenced(board, &heard.silences))
    }

    /// Whether no replica has answered for `MISSED` poll intervals.
    pub fn unknown(&self, replicas: &Replicas) -> bool {
        self.age().is_none_or(|age| age > replicas.every * MISSED)
    }

    /// Stores an answer; returns whether it is the first one or the silences in force changed.
    pub fn heard(&self, silences: Vec<Silence>) -> bool {
        let mut heard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ids = |silences: &[Silence]| silences.iter().map(|silence| silence.id.clone()).collect::<BTreeSet<_>>();
        // Editing a silence gives it another ID, so comparing IDs is enough.
        let changed = heard.at.is_none() || ids(&heard.silences) != ids(&silences);
        *heard = Heard { at: Some(clock::monotonic()), silences };
        changed
    }

    fn age(&self) -> Option<Duration> {
        self.read(|heard| heard.at.map(|at| clock::monotonic().saturating_duration_since(at)))
    }

    fn read<T>(&self, ask: impl FnOnce(&Heard) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}
