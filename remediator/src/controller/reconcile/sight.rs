//! What one reconcile holds of a node: its record, the Node, and what was read beside them for this
//! decision.

use kube::ResourceExt;

use crate::core::observation::{MailAnswer, PodView, ProvisioningAnswer, ResetAnswer};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

/// A node and its record.
#[derive(Clone)]
pub struct Sight {
    pub repair: NodeRepair,
    /// `None`: the API server reported that there is no such Node.
    pub node: Option<SlimNode>,
    /// Pods that have to leave the node. Empty until `has.pods`.
    pub pods: Vec<PodView>,
    /// The kubelet has not renewed its Lease for the policy's `deadSeconds`, or `dumpSeconds`.
    /// `false` until `has.kubelet`.
    pub kubelet_silent: bool,
    pub has: Needs,
}

impl Sight {
    /// The name of the node and of its record.
    pub fn name(&self) -> String {
        self.repair.name_any()
    }
}

/// What a decision may not be carried out without. `record` and `node` mean: read in this
/// reconcile, or the answer to our own write. Otherwise the watch's cache will do, because the
/// guarded write fails when the cache was stale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    pub record: bool,
    pub node: bool,
    pub pods: bool,
    pub kubelet: bool,
    /// New taints are decided one at a time: each counts against the next.
    pub taint_lock: bool,
    /// Alertmanager was asked in this reconcile, before the last read.
    pub alerts: bool,
    /// Alertmanager was asked in this reconcile, whether it answered or not.
    pub confirmation: bool,
}

impl Needs {
    /// What of this `held` does not have; `None` when nothing is missing.
    pub fn missing(self, held: Self) -> Option<Self> {
        let missing = Self {
            record: self.record && !held.record,
            node: self.node && !held.node,
            pods: self.pods && !held.pods,
            kubelet: self.kubelet && !held.kubelet,
            taint_lock: self.taint_lock && !held.taint_lock,
            alerts: self.alerts && !held.alerts,
            confirmation: self.confirmation && !held.confirmation,
        };
        (missing != Self::default()).then_some(missing)
    }
}

impl std::ops::BitOr for Needs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            record: self.record || other.record,
            node: self.node || other.node,
            pods: self.pods || other.pods,
            kubelet: self.kubelet || other.kubelet,
            taint_lock: self.taint_lock || other.taint_lock,
            alerts: self.alerts || other.alerts,
            confirmation: self.confirmation || other.confirmation,
        }
    }
}

/// The answers to what this reconcile asked of other services.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    pub mail: Option<MailAnswer>,
    pub reset: Option<ResetAnswer>,
    pub provisioned: Option<ProvisioningAnswer>,
}
