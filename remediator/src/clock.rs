//! The only clock.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the clock")]

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The time of day, in whole microseconds as the API server keeps it.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// How long it is until then; nothing when that is over.
pub fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now())).unwrap_or_default()
}

/// A time that never jumps, for waiting and measuring.
pub fn monotonic() -> Instant {
    Instant::now()
}
