//! The action that a decision asks for.

use std::collections::BTreeSet;

use crate::core::observation::PodView;
use crate::core::record::{Mail, Order, ProvisioningState};
use crate::core::taint::TaintKey;

/// One change to the cluster, or one request to a service outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Place a taint, if it is not there, and remove the lower ones that it replaces, in one write.
    PlaceTaint {
        key: TaintKey,
        replaces: BTreeSet<TaintKey>,
    },
    RemoveTaint {
        key: TaintKey,
    },
    /// Request the eviction of each pod.
    Evict(Vec<PodView>),
    IssueOrder(Box<Order>),
    WithdrawOrder {
        id: String,
    },
    /// Put a recorded mail into the outbox, or ask what became of it.
    SendMail(Mail),
    /// Ask the node's BMC for the recorded reset.
    ResetNode {
        id: String,
        boot_id: String,
    },
    /// Ask the site's provisioning service for the recorded reimage, unless it has it already.
    StartProvisioning {
        id: String,
        boot_id: String,
    },
    /// Only ask the service for the state of the reimage.
    LookAtProvisioning {
        id: String,
        state: ProvisioningState,
    },
    /// Take a budget slot of the pool for this episode.
    TakePlace,
    /// Release the budget slot.
    GivePlaceBack,
}
