//! What happens next to one node, and why. Pure and total: the same record, view, time and policy give the same decision.
//!
//! A decision either changes the record or acts on what is recorded, never both: so every act has its intent on record
//! before it, and after a crash the same function reads the same record and goes on.

mod act;
mod climb;
mod entry;
mod network;
mod out_of_band;
mod phases;
mod provisioning;
#[cfg(test)]
mod table;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::budget::Seat;
use super::complaints::LastEnd;
use super::health;
use super::policy::Policy;
use super::record::{Complaint, Order, ProvisioningState, Record, Repair, ResetState};
use super::sense;
use super::taint::TaintKey;
use super::why::{Reason, Why};

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

/// What to record or to do next, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The controller's part of the record as it should be. Where it differs from the record, it is written first.
    pub next: Repair,
    /// Only when the record stays as it is.
    pub action: Option<Action>,
    pub why: Reason,
    /// When time alone will change the decision.
    pub look_again: Option<Duration>,
}

/// What one track makes of the moment: its own part of the record is changed in `Repair` by the caller.
struct Opinion<T> {
    next: Option<T>,
    why: Reason,
    look_again: Option<Duration>,
}

/// Everything that a decision is made of.
#[derive(Clone, Copy)]
struct Moment<'a> {
    record: &'a Record,
    seen: &'a Observation,
    now: Timestamp,
    policy: &'a Policy,
}

impl Moment<'_> {
    /// The complaints that nobody silenced.
    fn board(&self) -> Vec<Complaint> {
        let complaints = self.record.complaints.iter();
        complaints.filter(|complaint| !self.seen.silenced.contains(&complaint.fingerprint)).cloned().collect()
    }

    /// A time from now, for deadlines; far times saturate.
    fn after(&self, wait: Duration) -> Timestamp {
        self.now.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// The end of an episode, with the grace that follows it.
    fn last_end(&self, ended_at: Option<Timestamp>) -> Option<LastEnd> {
        let grace = self.policy.times.complaint_grace;
        ended_at.map(|at| LastEnd { at, grace_ends: at.saturating_add(grace).unwrap_or(at) })
    }

    /// How long until `time`; zero when it is past.
    fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.now)).unwrap_or(Duration::ZERO)
    }
}

/// How many finished episodes stay in the record.
pub const HISTORY: usize = 20;

/// Decides what happens next to a node.
pub fn decide(record: &Record, seen: &Observation, now: Timestamp, policy: &Policy) -> Decision {
    if let Some(text) = sense::nonsense(record) {
        let why = Reason::new(Why::NotUnderstood, text);
        return Decision { next: record.repair.clone(), action: None, why, look_again: None };
    }
    let moment = Moment { record, seen, now, policy };
    let repair = climb::advance(moment);
    let network = network::advance(moment);
    let look_again = [repair.look_again, network.look_again].into_iter().flatten().min();

    let mut next = record.repair.clone();
    if let Some(episode) = repair.next {
        if episode.phase.is_over() {
            next.history.push(climb::account(&episode, now));
            let surplus = next.history.len().saturating_sub(HISTORY);
            next.history.drain(..surplus);
        }
        next.episode = Some(episode);
        return Decision { next, action: None, why: repair.why, look_again };
    }
    if let Some(track) = network.next {
        next.network = Some(track);
        return Decision { next, action: None, why: network.why, look_again };
    }
    let repairing = record.repair.episode.as_ref().is_some_and(|episode| !episode.phase.is_over());
    let slow = record.repair.network.as_ref().is_some_and(|track| !track.phase.is_over());
    // A slow node that is left alone says why, where its GPUs give no reason of their own.
    let left_alone = health::is_well(&repair.why) && !health::is_well(&network.why);
    let why = if !repairing && (slow || left_alone) { network.why } else { repair.why };
    Decision { next, action: act::wanted(moment), why, look_again }
}
