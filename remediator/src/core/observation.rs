//! What one reconcile observed of a node and of what surrounds it: the input of `decide` beside the record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::budget::Seat;
use super::record::{ProvisioningState, ResetState};
use super::taint::TaintKey;
use super::why::Reason;

/// A node as the API server shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    pub name: String,
    pub uid: String,
    /// `status.nodeInfo.bootID`.
    pub boot_id: String,
    /// The condition Ready is True.
    pub ready: bool,
    /// Those of our four taints that are on it, whoever put them there.
    pub taints: BTreeSet<TaintKey>,
    /// The text of annotation `ossci.amd.com/hold`.
    pub hold: Option<String>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    pub labels: BTreeMap<String, String>,
    /// Keys of the taints that are not ours.
    pub other_taints: BTreeSet<String>,
    /// Addresses with their type, for the mail.
    pub addresses: Vec<(String, String)>,
}

/// A pod that has to leave before the node goes down, `namespace/name`. Pods of DaemonSets, mirror pods and finished
/// pods are not among them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodView {
    pub namespace: String,
    pub name: String,
    /// How long it may take to say goodbye once it was asked to go.
    pub grace: Duration,
}

impl std::fmt::Display for PodView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What was seen of the world this turn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// `None`: the API server said that there is no such node.
    pub node: Option<NodeView>,
    /// Pods that have to leave; read only while the episode is draining, or waits for jobs.
    pub pods: Vec<PodView>,
    /// What refused the last eviction that was asked for: a disruption budget, in the API server's words.
    pub refused: Option<String>,
    /// The mail that the server accepted in this turn.
    pub accepted_mail: Option<String>,
    /// What came of the reset that was asked for in this turn.
    pub reset: Option<ResetAnswer>,
    /// What the provisioning service said in this turn.
    pub provisioned: Option<ProvisioningAnswer>,
    /// The site says how this node's BMC is reached.
    pub bmc: bool,
    /// Not Ready, and its kubelet has not renewed its Lease for long; looked at only while a reboot is under way.
    pub dead: bool,
    /// So many nodes of the pool are not Ready that it is not the nodes' fault.
    pub many_down: bool,
    /// Where the episode stands in its pool's budget; `None`: not known yet, so nothing disruptive starts.
    pub seat: Option<Seat>,
    /// What of the site or of the other nodes keeps anything disruptive from starting on this one.
    pub halt: Option<Reason>,
    /// So many nodes of the pool carry our taints that no further one gets one.
    pub taints_full: bool,
    /// So many nodes of the pool have a slow network that it is the network's fault.
    pub many_slow: bool,
    /// Fingerprints of complaints that an active silence matches.
    pub silenced: BTreeSet<String>,
}

/// What the BMC said to a reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetAnswer {
    /// Of the reset on record.
    pub id: String,
    pub state: ResetState,
    pub message: String,
}

/// What the site's provisioning service says of a reimage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningAnswer {
    /// Of the reimage on record.
    pub id: String,
    /// The recorded state where nothing new is known.
    pub state: ProvisioningState,
    pub message: String,
}
