//! Physical GPUs of a node, as learned, expected or seen.

use serde::{Deserialize, Serialize};

/// The GPUs of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    pub gpus: u32,
    /// Bus addresses, `domain:bus:device.function`, as far as the tools name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<String>,
}
