//! The time that decisions use: the API server's, advanced by a monotonic clock. Setting the wall
//! clock while the controller runs changes nothing. Nothing disruptive starts when the wall clock
//! disagrees with the API server at the start, or when the API server's time jumps.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Two clocks that differ by more than this disagree.
const SKEW: Duration = Duration::from_secs(30);
/// The API server's `Date` has whole seconds and arrives late.
const PRECISION: Duration = Duration::from_secs(3);

/// A time, and the monotonic instant at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptTime {
    anchor: Timestamp,
    at: Instant,
    skewed: bool,
}

/// Three clocks read at the same moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The API server's `Date`.
    pub api: Timestamp,
    pub wall: Timestamp,
    pub at: Instant,
}

impl KeptTime {
    /// Starts from the API server's time, or from the wall clock where it agrees: it is more
    /// precise.
    pub fn begin(reading: Reading) -> Self {
        let anchor = if apart(reading.api, reading.wall) <= PRECISION { reading.wall } else { reading.api };
        Self { anchor, at: reading.at, skewed: apart(reading.api, reading.wall) > SKEW }
    }

    pub fn now(&self, at: Instant) -> Timestamp {
        self.anchor.saturating_add(at.saturating_duration_since(self.at)).unwrap_or(self.anchor)
    }

    /// Whether the clocks disagreed at the last comparison.
    pub fn skewed(&self) -> bool {
        self.skewed
    }

    /// Compares the clocks again. If the API server and the wall clock agree with each other but
    /// not with us, the process was suspended: their time is taken. A wall clock set while we run
    /// is ignored; one that was wrong before has to be right again.
    pub fn compare(self, reading: Reading) -> Self {
        if apart(reading.api, self.now(reading.at)) <= SKEW {
            return Self { skewed: self.skewed && apart(reading.api, reading.wall) > SKEW, ..self };
        }
        if apart(reading.api, reading.wall) <= SKEW {
            return Self::begin(reading);
        }
        Self { skewed: true, ..self }
    }
}

fn apart(a: Timestamp, b: Timestamp) -> Duration {
    a.duration_since(b).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn reading(api: i64, wall: i64, at_: Instant) -> Reading {
        Reading { api: at(api), wall: at(wall), at: at_ }
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_no_deadline() {
        let t = start();
        let later = t + Duration::from_secs(60);
        for wall in [1060 + 3600, 1060 - 3600] {
            let kept = KeptTime::begin(reading(1000, 1000, t)).compare(reading(1060, wall, later));
            assert_eq!((kept.now(later), kept.skewed()), (at(1060), false));
        }
    }

    #[test]
    fn a_wall_clock_wrong_at_the_start_blocks_until_it_is_set() {
        let t = start();
        let kept = KeptTime::begin(reading(1000, 4600, t));
        assert!(kept.skewed());
        assert_eq!(kept.now(t), at(1000));
        let later = t + Duration::from_secs(60);
        let still_wrong = kept.compare(reading(1060, 4660, later));
        assert!(still_wrong.skewed());
        assert!(!still_wrong.compare(reading(1060, 1060, later)).skewed());
    }

    #[test]
    fn a_jump_of_the_api_servers_time_is_not_followed() {
        let t = start();
        let later = t + Duration::from_secs(60);
        let kept = KeptTime::begin(reading(1000, 1000, t)).compare(reading(4660, 1060, later));
        assert!(kept.skewed());
        assert_eq!(kept.now(later), at(1060));
        assert!(!kept.compare(reading(1060, 1060, later)).skewed());
    }

    #[test]
    fn after_a_suspend_the_other_clocks_are_right() {
        let t = start();
        let kept = KeptTime::begin(reading(1000, 1000, t)).compare(reading(9000, 9001, t));
        assert_eq!((kept.now(t), kept.skewed()), (at(9001), false));
    }
}
