//! The time by which everything is decided: the API server's, kept between two readings by the monotonic clock.

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

    pub fn now(&self) -> Timestamp {
        let now = self.kept().now(clock::monotonic());
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

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
