//! The complaints about a node: alerts, and the repair that each asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Rung;
use ossci_base::closed_words;
use ossci_base::contract::probe::GPU_CHECKS;
use ossci_base::words::ClosedWord;

closed_words! {
    /// What an alert asks for, in its label `remediation`.
    pub enum Ask ("remediation") { Reboot = "reboot", Reimage = "reimage", Manual = "manual", SlowNetwork = "slow-network" }
}

impl Ask {
    /// Returns the rung that is asked for; `None` for the network track.
    pub fn rung(self) -> Option<Rung> {
        match self {
            Self::Reboot => Some(Rung::Reboot),
            Self::Reimage => Some(Rung::Reimage),
            Self::Manual => Some(Rung::Manual),
            Self::SlowNetwork => None,
        }
    }
}

/// One alert of one node, as last received.
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
    /// When it was last received (the controller's clock).
    pub seen: Timestamp,
    pub firing: bool,
    pub summary: String,
    /// The alert's labels, for silences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Some labels are left out, because they are too many or too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labels_cut: bool,
    /// The graph of the alert's expression in its Prometheus.
    #[serde(rename = "generatorURL", default, skip_serializing_if = "Option::is_none")]
    pub generator_url: Option<String>,
    /// The address of the Alertmanager that sent it, for people.
    #[serde(rename = "externalURL", default, skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// What to do about the alert: its annotation `runbook_url`.
    #[serde(rename = "runbookURL", default, skip_serializing_if = "Option::is_none")]
    pub runbook_url: Option<String>,
}

closed_words! {
    /// How urgent an alert is, in its label `severity`; least first.
    pub enum Severity ("severity") { Info = "info", Warning = "warning", Critical = "critical" }
}

impl Complaint {
    /// Whether a proof runs the check that the alert reports.
    pub fn is_of_our_checks(&self) -> bool {
        GPU_CHECKS.contains(&self.check.as_str())
    }

    /// Returns the urgency. A missing or unknown `severity` counts as a warning.
    pub(super) fn severity(&self) -> Severity {
        self.labels.get("severity").and_then(|word| Severity::parse(word)).unwrap_or(Severity::Warning)
    }
}
