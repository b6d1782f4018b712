//! The only clock.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the clock")]

use std::time::Instant;

use jiff::Timestamp;

/// The time of day, in whole microseconds as the API server keeps it.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A time that never jumps, for waiting and measuring.
pub fn monotonic() -> Instant {
    Instant::now()
}
