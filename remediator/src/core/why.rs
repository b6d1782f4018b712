//! Why a node is where it is: one closed list, for acting as well as for doing nothing.
//!
//! The word is the log field, the metric label, the Event reason, the printer column and the mail's text.

use ossci_base::closed_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

closed_words! {
    /// The reason of a decision.
    pub enum Why ("why") {
        // Nothing is started
        /// The record makes no sense, or cannot be read: it and its node are left alone until a person mends it.
        NotUnderstood = "NotUnderstood",
        /// No complaint is open and no repair runs.
        Healthy = "Healthy",
        /// The pool's mode is `observe`: what would be done is recorded, nothing is changed.
        ObserveOnly = "ObserveOnly",
        /// No pool of the policy selects this node.
        NotManaged = "NotManaged",
        /// A person said hands off: annotation `ossci.amd.com/hold`.
        OnHold = "OnHold",
        /// The node is cordoned: it may be tainted, it is not drained, rebooted or reimaged.
        Cordoned = "Cordoned",
        /// The node carries a label or a taint that the policy lists as a mark of maintenance.
        UnderMaintenance = "UnderMaintenance",
        /// A person stopped everything disruptive.
        Paused = "Paused",
        /// The alert is silenced: it starts nothing, and nothing goes on because of it.
        Silenced = "Silenced",
        /// No Alertmanager answers, so nobody knows what is silenced.
        AlertsUnknown = "AlertsUnknown",
        /// Our clock and the API server's disagree: no deadline can be trusted.
        ClockSkew = "ClockSkew",
        /// The pool's maintenance window is closed.
        WindowClosed = "WindowClosed",
        /// Too many nodes of the pool asked for a repair within minutes.
        StormBrake = "StormBrake",
        /// The last attempts of this rung in the pool all failed: their proof, or the reimage itself.
        RungNotWorking = "RungNotWorking",
        /// As much of the pool as may be carries our taints.
        TaintLimit = "TaintLimit",
        /// So many nodes are slow that it is not the nodes' fault.
        ManySlow = "ManySlow",
        /// The pool's mode stops at the taint.
        ModeTaintOnly = "ModeTaintOnly",
        /// A person took the taint off less than the quiet time ago.
        ReleasedByHand = "ReleasedByHand",
        /// The alert began before the last proof, which says more about the node than it does.
        OlderThanProof = "OlderThanProof",
        /// The complaints went away while nothing had been done.
        ComplaintResolved = "ComplaintResolved",

        // A rung starts
        /// An alert asked for this rung.
        Complaint = "Complaint",
        /// An alert asked for a lower rung, and earlier repairs say that it will not do.
        Relapse = "Relapse",
        /// A person tainted the node.
        TaintedByPerson = "TaintedByPerson",

        // Waiting for the world
        /// The pool's budget of nodes under repair is used up, or other nodes come first.
        WaitingForBudget = "WaitingForBudget",
        /// The complaint is old: the node is checked once more before anything disruptive.
        CheckingFirst = "CheckingFirst",
        /// That check did not pass, or nobody answered: the repair goes on.
        StillFailing = "StillFailing",
        PlacingTaint = "PlacingTaint",
        RemovingTaint = "RemovingTaint",
        /// What a reboot would destroy is being written down.
        CaptureOrdered = "CaptureOrdered",
        /// It was written down.
        Captured = "Captured",
        /// It was not, in time: the repair went on without it.
        NotCaptured = "NotCaptured",
        EvictingPods = "EvictingPods",
        /// Pods may end by themselves before the node is taken.
        WaitingForJobs = "WaitingForJobs",
        /// A disruption budget does not let a pod go.
        DrainBlocked = "DrainBlocked",
        NothingToEvict = "NothingToEvict",
        /// Pods were still there at the drain deadline; the repair went on.
        DrainDeadlinePassed = "DrainDeadlinePassed",
        RebootOrdered = "RebootOrdered",
        /// The node is dead: its BMC is asked to reset it.
        BmcReset = "BmcReset",
        /// So many nodes are not Ready at once that no BMC resets one.
        ManyDown = "ManyDown",
        ReimageOrdered = "ReimageOrdered",
        ReimageInterrupted = "ReimageInterrupted",
        /// The script of a reimage came to its end; the next boot takes it up.
        Reimaged = "Reimaged",
        /// A new boot id was seen.
        NewBoot = "NewBoot",
        /// The node rebooted again while it was to be stable.
        UnexpectedReboot = "UnexpectedReboot",
        /// The Node object was deleted and created again.
        NodeRecreated = "NodeRecreated",
        NotReady = "NotReady",
        ProofOrdered = "ProofOrdered",
        /// The repair of the GPUs has the node's one order; the network's turn comes after it.
        RepairHasTheOrder = "RepairHasTheOrder",
        WithdrawingOrder = "WithdrawingOrder",

        // What came of it
        ProofPassed = "ProofPassed",
        ProofFailed = "ProofFailed",
        ReimageFailed = "ReimageFailed",
        /// The pool's mode does not allow the rung that comes next.
        ModeStopsHere = "ModeStopsHere",
        /// No new boot id by the deadline.
        DidNotComeBack = "DidNotComeBack",
        /// The node is Ready, but its agent takes no order.
        AgentSilent = "AgentSilent",
        /// A new boot, but nobody could say whether it is healthy. This is not a failed proof.
        CannotProve = "CannotProve",
        /// The agent refused the order.
        OrderRefused = "OrderRefused",
        NetworkRecovered = "NetworkRecovered",
        NodeGone = "NodeGone",

        // The mail
        MailPending = "MailPending",
        MailAccepted = "MailAccepted",
    }
}

/// A reason and its one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    #[serde(rename = "reason")]
    pub why: Why,
    /// One sentence; it holds no time that runs, so that it changes only when the reason does.
    pub message: String,
}

impl Reason {
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into() }
    }
}
