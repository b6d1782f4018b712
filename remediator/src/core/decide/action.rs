//! The one thing that a decision does to the world.

use crate::core::observation::PodView;
use crate::core::record::{Order, ProvisioningState};
use crate::core::taint::TaintKey;

/// One thing done to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Put a taint on the node and take the one it replaces off, in one write.
    PlaceTaint {
        key: TaintKey,
        replaces: Option<TaintKey>,
    },
    RemoveTaint {
        key: TaintKey,
    },
    /// Ask for the eviction of each.
    Evict(Vec<PodView>),
    IssueOrder(Box<Order>),
    WithdrawOrder {
        id: String,
    },
    SendMail {
        message_id: String,
    },
    /// Ask the node's BMC for the reset that is on record.
    ResetNode {
        id: String,
        boot_id: String,
    },
    /// Ask the site's provisioning service for the reimage that is on record, unless it has it already.
    StartProvisioning {
        id: String,
        boot_id: String,
    },
    /// Ask it how far that is, and nothing else.
    LookAtProvisioning {
        id: String,
        state: ProvisioningState,
    },
    /// Take a place in the pool's budget for this episode.
    TakePlace,
    /// Give it back.
    GivePlaceBack,
}
