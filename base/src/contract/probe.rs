//! The JSON that `/probe` answers with on the exporter's unix socket.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inventory::Inventory;

/// The GPUs that the node should show, and those that the runs saw.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventories {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Inventory>,
}

impl Inventories {
    fn is_empty(&self) -> bool {
        self.expected.is_none() && self.seen.is_none()
    }
}

/// The answer of a probe that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// The boot on which the checks ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Of a GPU probe; a probe of the network has none.
    #[serde(default, skip_serializing_if = "Inventories::is_empty")]
    pub inventory: Inventories,
    pub results: Vec<ProbeResult>,
}

/// One run of one check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    pub check: String,
    /// `passed`, `failed` or `unknown`.
    pub verdict: String,
    /// Null for a pass.
    pub reason: Option<String>,
    #[serde(default)]
    pub detail: String,
    pub started_at: Timestamp,
    #[serde(default)]
    pub seconds: f64,
    /// Only where the question asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<ProbeDebug>,
}

/// What the tool printed, and what was not understood in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeDebug {
    pub not_understood: Vec<String>,
    /// Negative for a signal; null where nothing ran to its end.
    pub exit_status: Option<i32>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
}
