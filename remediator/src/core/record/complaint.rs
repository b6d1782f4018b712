//! What was told of a node: alerts, and what each asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Rung;
use ossci_base::closed_words;
use ossci_base::words::ClosedWord;

closed_words! {
    /// What an alert asks for, in its label `remediation`.
    pub enum Ask ("remediation") { Reboot = "reboot", Reimage = "reimage", Manual = "manual", SlowNetwork = "slow-network" }
}

impl Ask {
    /// The rung that is asked for; `None` when it is the network's track.
    pub fn rung(self) -> Option<Rung> {
        match self {
            Self::Reboot => Some(Rung::Reboot),
            Self::Reimage => Some(Rung::Reimage),
            Self::Manual => Some(Rung::Manual),
            Self::SlowNetwork => None,
        }
    }
}

/// One alert of one node, as it was last told to us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    /// Alertmanager's fingerprint of the alert's labels.
    pub fingerprint: String,
    #[serde(rename = "remediation")]
    pub ask: Ask,
    pub check: String,
    /// When the alert began to fire (Prometheus's clock).
    pub since: Timestamp,
    /// When it was last told to us (our clock).
    pub seen: Timestamp,
    pub firing: bool,
    pub summary: String,
    /// The alert's labels, for silences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

closed_words! {
    /// How urgent an alert is, in its label `severity`; least first.
    pub enum Severity ("severity") { Info = "info", Warning = "warning", Critical = "critical" }
}

impl Complaint {
    /// A word of a site's own, or none, is as urgent as a warning.
    pub(super) fn severity(&self) -> Severity {
        self.labels.get("severity").and_then(|word| Severity::parse(word)).unwrap_or(Severity::Warning)
    }
}
