//! The time that decisions use: the API server's, advanced by the monotonic clock between two
//! readings. Sends no request.

use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use crate::core::kept_time::{KeptTime, Reading};
use ossci_base::clock;

#[derive(Debug)]
pub struct ApiTime(RwLock<KeptTime>);

impl ApiTime {
    pub fn begin(reading: Reading) -> Self {
        Self(RwLock::new(KeptTime::begin(reading)))
    }

    /// Returns the time now, in whole microseconds.
    pub fn now(&self) -> Timestamp {
        let now = self.kept().now(clock::monotonic());
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// Whether the clocks disagreed at the last comparison.
    pub fn skewed(&self) -> bool {
        self.kept().skewed()
    }

    pub fn kept(&self) -> KeptTime {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, kept: KeptTime) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = kept;
    }
}
