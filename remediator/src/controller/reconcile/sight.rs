//! One node and its record as a reconcile holds them, and which of the two are fresh.

use crate::core::observation::{ProvisioningAnswer, ResetAnswer};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

/// A node and its record.
pub struct Sight {
    pub repair: NodeRepair,
    /// `None`: the API server said that there is no such node.
    pub node: Option<SlimNode>,
    /// Which of the two were read in this turn, or are the answer to our last write. The watches told the others.
    pub fresh: Fresh,
}

/// Which of a node and its record are no older than the turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fresh {
    pub record: bool,
    pub node: bool,
}

impl Fresh {
    pub fn covers(self, other: Self) -> bool {
        (self.record || !other.record) && (self.node || !other.node)
    }
}

impl std::ops::BitOr for Fresh {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self { record: self.record || other.record, node: self.node || other.node }
    }
}

/// What the world answered to what this turn asked of it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub accepted_mail: Option<String>,
    pub reset: Option<ResetAnswer>,
    pub provisioned: Option<ProvisioningAnswer>,
}
