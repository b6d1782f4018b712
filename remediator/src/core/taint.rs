//! The four taints. They are the contract with people: `kubectl taint` starts a rung, taking one off releases the node.

use ossci_base::closed_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

closed_words! {
    /// A taint of ours; its effect is always `NoSchedule`.
    pub enum TaintKey ("taint") {
        RepairReboot = "repair-reboot",
        RepairReimage = "repair-reimage",
        RepairManual = "repair-manual",
        SlowNetwork = "slow-network",
    }
}

impl TaintKey {
    /// Whether the taint says that a repair has the node (the exporter's periodic checks pause then).
    pub fn is_repair(self) -> bool {
        self != Self::SlowNetwork
    }
}

closed_words! {
    /// How far a taint has come on its way onto the node or off it. Each way has three steps, so that a crash between
    /// any two of them is seen for what it is: intent recorded, node changed, confirmation recorded.
    pub enum TaintState ("taint state") {
        /// The intent to place it is recorded.
        Placing = "placing",
        /// It was seen on the node. From here on its absence is a person's release.
        Confirmed = "confirmed",
        /// The intent to remove it is recorded.
        Removing = "removing",
    }
}

/// The taint that a repair has on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: TaintKey,
    pub state: TaintState,
    /// The confirmed taint of the rung before, which goes in the same write that brings this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TaintKey>,
}

impl Taint {
    /// The intent to place `key`.
    pub fn placing(key: TaintKey) -> Self {
        Self { key, state: TaintState::Placing, replaces: None }
    }
}
