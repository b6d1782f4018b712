//! The four taints. They are the interface for people: `kubectl taint` starts a rung, removing a
//! taint releases the node.

use std::collections::BTreeSet;

use ossci_base::closed_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

closed_words! {
    /// One of our taints; its effect is always `NoSchedule`.
    pub enum TaintKey ("taint") {
        RepairReboot = "repair-reboot",
        RepairReimage = "repair-reimage",
        RepairManual = "repair-manual",
        SlowNetwork = "slow-network",
    }
}

impl TaintKey {
    /// Whether the taint marks a repair. The exporter pauses its periodic checks while a node
    /// carries one.
    pub fn is_repair(self) -> bool {
        self != Self::SlowNetwork
    }

    /// Returns those of `taints` that this one replaces: the repair taints of lower rungs. On a
    /// node with several, the highest counts.
    pub fn replaces(self, taints: &BTreeSet<Self>) -> BTreeSet<Self> {
        taints.iter().copied().filter(|key| self.is_repair() && *key < self).collect()
    }
}

closed_words! {
    /// The state of a taint on its way onto the node or off it. Each way has three steps, so that
    /// the state after a crash is clear: intent recorded, node changed, confirmation recorded.
    pub enum TaintState ("taint state") {
        /// The intent to place it is recorded.
        Placing = "placing",
        /// It was seen on the node. If it is missing later, a person released the node.
        Confirmed = "confirmed",
        /// The intent to remove it is recorded.
        Removing = "removing",
    }
}

/// The taint of a repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: TaintKey,
    pub state: TaintState,
    /// The confirmed taint of the previous rung, removed in the write that places this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TaintKey>,
}

impl Taint {
    /// Returns the intent to place `key`.
    pub fn placing(key: TaintKey) -> Self {
        Self { key, state: TaintState::Placing, replaces: None }
    }
}
