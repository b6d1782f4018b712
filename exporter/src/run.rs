//! One finished run of one check.

use jiff::Timestamp;

use crate::ending::Printed;
use crate::facts::Facts;
use crate::verdict::{Check, Judgement, Verdict};

/// One run of one check, finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub check: Check,
    pub started_at: Timestamp,
    /// From start to verdict, by the monotonic clock.
    pub seconds: f64,
    /// Whether the tool was started.
    pub tool_ran: bool,
    pub judgement: Judgement,
    pub facts: Option<Facts>,
    pub not_understood: Vec<String>,
    /// Output of the tool, for a probe only; not stored.
    pub printed: Option<Printed>,
}

impl Run {
    pub fn verdict(&self) -> Verdict {
        self.judgement.verdict
    }
}
