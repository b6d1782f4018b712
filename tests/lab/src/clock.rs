//! The lab's only access to the clock.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall clock, for recorded times.
#[expect(clippy::disallowed_methods, reason = "this is the module that reads the clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Time since a moment on the monotonic clock, for deadlines and printed durations.
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

    /// The elapsed time as text, such as "46.4 s".
    pub fn read(&self) -> String {
        format!("{:.1} s", self.elapsed().as_secs_f64())
    }
}
