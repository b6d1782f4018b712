//! How many resets leave this process, whatever decides them: the last thing between a mistake and a data centre.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many nodes that are dead within so long are no longer faults of single nodes. What is decided before this holds more
/// closely (one reset in a boot deadline, two in an episode, none while many nodes of the pool are down), and its memory is
/// the record; this one forgets with the process, and nothing can talk it out of the number.
const RESETS: usize = 10;
const WITHIN: Duration = Duration::from_secs(600);

/// When the last resets began.
#[derive(Debug, Default)]
pub struct Pace(Mutex<VecDeque<Instant>>);

impl Pace {
    /// Whether one more may begin now; it counts then.
    ///
    /// # Errors
    /// Why not, in words.
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
    fn so_many_resets_and_no_more_within_the_time() {
        let (pace, now) = (Pace::default(), ossci_base::clock::monotonic());
        for _ in 0..RESETS {
            pace.begin(now).unwrap();
        }
        assert_eq!(pace.begin(now).unwrap_err(), "10 nodes were reset by their BMCs within 10 min");
        assert!(pace.begin(now + WITHIN - Duration::from_secs(1)).is_err());
        pace.begin(now + WITHIN).unwrap();
    }
}
