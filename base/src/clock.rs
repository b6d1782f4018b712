//! The only clock of both programs. Wall time is for what people and other programs read, monotonic time for waiting and
//! measuring; never one for the other.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the clock")]

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The time of day, in whole microseconds as the API server stores it. It may jump.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// The time from now until `then`; zero when `then` is past.
pub fn until(then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now())).unwrap_or_default()
}

/// A point on the monotonic clock, which never jumps.
pub fn monotonic() -> Instant {
    Instant::now()
}
