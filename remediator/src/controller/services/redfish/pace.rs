//! The limit of BMC resets per process, whatever decides them: the last protection of a data centre
//! against a mistake.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More dead nodes than this within [`WITHIN`] are not faults of single nodes. The decisions before
/// this are stricter (one reset per boot deadline, two per episode, none while many nodes of the
/// pool are down), and remember by the record. This limit is lost with the process, but no decision
/// can exceed it.
const RESETS: usize = 10;
const WITHIN: Duration = Duration::from_secs(600);

/// When the last resets began.
#[derive(Debug, Default)]
pub struct Pace(Mutex<VecDeque<Instant>>);

impl Pace {
    /// Counts one more reset, if it may begin now.
    ///
    /// # Errors
    /// The reason why it may not begin.
    pub fn begin(&self, now: Instant) -> Result<(), String> {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|at| now.saturating_duration_since(*at) < WITHIN);
        if begun.len() >= RESETS {
            return Err(format!("{RESETS} nodes were reset by their BMCs within {} min", WITHIN.as_secs() / 60));
        }
        begun.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_ten_resets_begin_within_ten_minutes() {
        let (pace, now) = (Pace::default(), ossci_base::clock::monotonic());
        for _ in 0..RESETS {
            pace.begin(now).unwrap();
        }
        assert_eq!(pace.begin(now).unwrap_err(), "10 nodes were reset by their BMCs within 10 min");
        assert!(pace.begin(now + WITHIN - Duration::from_secs(1)).is_err());
        pace.begin(now + WITHIN).unwrap();
    }
}
