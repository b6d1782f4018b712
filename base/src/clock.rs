//! The only clock of both programs. Wall time is for values that people and other programs read,
//! monotonic time for waiting and measuring. Never use one for the other.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the clock")]

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Returns the time of day in whole microseconds, as the API server stores it. It can jump.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// Returns the time from now until `then`; zero if `then` is past.
pub fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now())).unwrap_or_default()
}

/// Returns a point on the monotonic clock, which never jumps.
pub fn monotonic() -> Instant {
    Instant::now()
}
