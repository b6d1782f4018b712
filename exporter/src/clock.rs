//! The only clock. Wall time for what people and other programs read, monotonic time for what is measured; never one for the other.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the clock")]

use jiff::Timestamp;
use std::time::{Duration, Instant};

/// The time of day. It may jump.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// A point on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Moment(Instant);

impl Moment {
    pub fn now() -> Moment {
        Moment(Instant::now())
    }

    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}
