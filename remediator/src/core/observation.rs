//! What one reconcile observed of a node and its surroundings: the input of `decide` besides the
//! record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::budget::Seat;
use super::outbox::Answer;
use super::record::{ProvisioningState, ResetState};
use super::said::Said;
use super::taint::TaintKey;
use super::why::Reason;

/// A node as the API server returned it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeView {
    pub name: String,
    pub uid: String,
    /// `status.nodeInfo.bootID`.
    pub boot_id: String,
    /// Whether the condition Ready is True.
    pub ready: bool,
    /// Our taints that are on the node, no matter who placed them.
    pub taints: BTreeSet<TaintKey>,
    /// The text of annotation `ossci.amd.com/hold`.
    pub hold: Option<String>,
    /// Who changed something by hand with our commands, and why.
    pub said: Option<Said>,
    /// A person asks for a proof of a node that needed one.
    pub verify: Option<Said>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    pub labels: BTreeMap<String, String>,
    /// The UUID that the machine's firmware reports, by its kubelet.
    pub system_uuid: Option<String>,
    /// The pool label that the controller put on it, once.
    pub adopted: Option<String>,
    /// Keys of the taints that are not ours.
    pub other_taints: BTreeSet<String>,
    /// Addresses with their type, for the mail.
    pub addresses: Vec<(String, String)>,
}

impl NodeView {
    /// Returns ` (ann@example.com: card replaced)` if a person said so about this deed within the
    /// last 10 min, else nothing.
    pub fn by_whom(&self, deed: &str, now: Timestamp) -> String {
        let said = self.said.as_ref().filter(|said| said.explains(deed, now));
        said.map(|said| format!(" ({})", said.text)).unwrap_or_default()
    }
}

/// A pod that has to leave before the node goes down. Pods of DaemonSets, mirror pods and finished
/// pods are not included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodView {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// The pod's grace period: how long it may take to stop after the eviction.
    pub grace: Duration,
    /// It ends by itself: a Job's, or one that is not restarted.
    pub ends: bool,
    /// No controller starts it again elsewhere.
    pub bare: bool,
    /// It has data in an `emptyDir`, which is deleted with the pod.
    pub local_data: bool,
}

impl std::fmt::Display for PodView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What one reconcile observed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// `None`: the API server has no such node.
    pub node: Option<NodeView>,
    /// Pods that have to leave; read only while the episode drains or waits for jobs.
    pub pods: Vec<PodView>,
    /// The answers to the last evictions that were not accepted, by pod (`namespace/name`).
    pub refused: BTreeMap<String, String>,
    /// What the outbox knows of the mail that this reconcile asked for.
    pub mail: Option<MailAnswer>,
    /// The outcome of the reset that was requested in this reconcile.
    pub reset: Option<ResetAnswer>,
    /// The answer of the provisioning service in this reconcile.
    pub provisioned: Option<ProvisioningAnswer>,
    /// Whether the policy names this node's BMC.
    pub bmc: bool,
    /// Not Ready, and its kubelet has not renewed its Lease for long; read only while a reboot is
    /// in progress.
    pub dead: bool,
    /// Enough nodes of the pool are not Ready to assume a common cause.
    pub many_down: bool,
    /// The slowest boot of the pool that we ordered, by the records that are kept.
    pub slowest_boot: Option<Duration>,
    /// The state of the episode in its pool's budget; `None`: not known yet, so nothing disruptive
    /// starts.
    pub seat: Option<Seat>,
    /// The reason of the site or of the other nodes that keeps anything disruptive from starting.
    pub halt: Option<Reason>,
    /// The pool has reached its limit of tainted nodes.
    pub taints_full: bool,
    /// One mail tells of all nodes of the pool that need a person in this storm: whether a mail
    /// server has accepted it. `None`: there is no storm, and each has its own mail.
    pub shared_mail: Option<bool>,
    /// Enough nodes of the pool have a slow network to blame the network.
    pub many_slow: bool,
    /// Fingerprints of complaints that an active silence matches, or that are inhibited.
    pub silenced: BTreeSet<String>,
    /// Fingerprints of the alerts that fire by Alertmanager's last answer and are neither silenced
    /// nor inhibited; `None`: no Alertmanager is configured.
    pub active: Option<BTreeSet<String>>,
}

/// What the outbox knows of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAnswer {
    pub message_id: String,
    pub answer: Answer,
}

/// The outcome of a reset by the BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetAnswer {
    /// The id of the recorded reset.
    pub id: String,
    pub state: ResetState,
    pub message: String,
}

/// The answer of the site's provisioning service about a reimage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningAnswer {
    /// The id of the recorded reimage.
    pub id: String,
    /// The recorded state if nothing new is known.
    pub state: ProvisioningState,
    pub message: String,
}
