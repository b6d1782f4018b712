//! JSON response of `/probe` on the exporter's Unix socket.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inventory::{Card, Inventory};

/// The checks that a GPU probe runs, one of the first two: values of the label `check`.
pub const GPU_CHECKS: [&str; 3] = ["rocm-smi", "amd-smi", "rocminfo"];

/// The GPUs that the node should show, those that the runs found, and those that nothing can find.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventories {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Inventory>,
    /// Addresses of GPUs that another driver than `amdgpu` has, most often for a virtual machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lent: Vec<String>,
    /// What names the GPUs that the node has or had, a missing one too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
}

impl Inventories {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Response of a probe that ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeAnswer {
    /// ID of the boot on which the checks ran.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    /// Set for a GPU probe only.
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
    /// Set only if the request has `debug=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debug: Option<ProbeDebug>,
}

/// Output of a tool, and the parts of it that could not be parsed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProbeDebug {
    pub not_understood: Vec<String>,
    /// Negative for a signal; null if no process exited.
    pub exit_status: Option<i32>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
}
