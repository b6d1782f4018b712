//! The lab's only clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock, for what is written down.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Time that passed since a moment, on the monotonic clock: for deadlines and for the times that are printed.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "this is the module that reads the clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    /// "46.4 s", for people.
    pub fn read(&self) -> String {
        format!("{:.1} s", self.elapsed().as_secs_f64())
    }
}
