//! The silences that Alertmanager's replicas reported last, and when any of them last answered.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::controller::services::alertmanager::Replicas;
use crate::core::record::Complaint;
use crate::core::silence;
use crate::core::silence::Silence;
use ossci_base::clock;

/// So many polls without any answer, and nobody knows any more what is silenced.
const MISSED: u32 = 3;
/// What all replicas together said last.
#[derive(Debug, Default)]
struct Heard {
    /// When any replica last answered.
    at: Option<Instant>,
    silences: Vec<Silence>,
}

#[derive(Debug, Default)]
pub struct Alerts(RwLock<Heard>);

impl Alerts {
    /// Fingerprints of the complaints that are silenced, as far as was heard.
    pub fn silenced(&self, board: &[Complaint]) -> BTreeSet<String> {
        self.read(|heard| silence::silenced(board, &heard.silences))
    }

    /// Whether nobody answered for so long that nothing is known.
    pub fn unknown(&self, replicas: &Replicas) -> bool {
        self.age().is_none_or(|age| age > replicas.every * MISSED)
    }

    /// Takes note of an answer; whether other silences are in force now.
    pub fn heard(&self, silences: Vec<Silence>) -> bool {
        let mut heard = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let ids = |silences: &[Silence]| silences.iter().map(|silence| silence.id.clone()).collect::<BTreeSet<_>>();
        // A silence that is edited gets another id.
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
