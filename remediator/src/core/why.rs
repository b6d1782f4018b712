//! The closed list of reasons for the state of a node, for acting as well as for doing nothing.
//!
//! Each word is the log field, the metric label, the Event reason, the printer column and the
//! mail's text.

use ossci_base::closed_words;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

closed_words! {
    /// The reason of a decision.
    pub enum Why ("why") {
        // Nothing is started
        /// The record is inconsistent or cannot be read: it and its node are left alone until a
        /// person fixes it.
        NotUnderstood = "NotUnderstood",
        /// No complaint is open and no repair runs.
        Healthy = "Healthy",
        /// The pool's mode is `observe`: what would be done is recorded, nothing is changed.
        ObserveOnly = "ObserveOnly",
        /// No pool of the policy selects this node.
        NotManaged = "NotManaged",
        /// A person put the node on hold: annotation `ossci.amd.com/hold`.
        OnHold = "OnHold",
        /// The node is cordoned: it may be tainted, it is not drained, rebooted or reimaged.
        Cordoned = "Cordoned",
        /// The node carries a label or a taint that the policy lists as a mark of maintenance.
        UnderMaintenance = "UnderMaintenance",
        /// A person paused everything disruptive.
        Paused = "Paused",
        /// The alert is silenced: it starts nothing, and continues nothing.
        Silenced = "Silenced",
        /// No Alertmanager answers, so it is unknown which alerts are silenced.
        AlertsUnknown = "AlertsUnknown",
        /// The clocks of the controller and the API server disagree, so no deadline can be trusted.
        ClockSkew = "ClockSkew",
        /// Alerts of several clusters arrive, and the policy does not say which one is ours.
        SeveralClusters = "SeveralClusters",
        /// The pool's maintenance window is closed.
        WindowClosed = "WindowClosed",
        /// Too many nodes of the pool asked for a repair within minutes.
        StormBrake = "StormBrake",
        ManyNeedPerson = "ManyNeedPerson",
        /// The last attempts of this rung in the pool failed: their proof, or the reimage itself.
        RungNotWorking = "RungNotWorking",
        /// The pool has reached its limit of tainted nodes.
        TaintLimit = "TaintLimit",
        /// Alertmanager does not list the alert as active, so it places no taint.
        Unconfirmed = "Unconfirmed",
        /// Too many nodes are slow: the network is at fault, not the nodes.
        ManySlow = "ManySlow",
        /// The pool's mode stops at the taint.
        ModeTaintOnly = "ModeTaintOnly",
        /// A person removed the taint, and the quiet time has not passed.
        ReleasedByHand = "ReleasedByHand",
        /// The alert began before the last proof, which is newer.
        OlderThanProof = "OlderThanProof",
        /// The complaints were resolved before anything was done.
        ComplaintResolved = "ComplaintResolved",

        // A rung starts
        /// An alert asked for this rung.
        Complaint = "Complaint",
        /// An alert asked for a lower rung, but earlier repairs of the node call for a higher one.
        Relapse = "Relapse",
        /// An alert asked for a lower rung, but during the last alerts every check passed.
        ChecksDisagree = "ChecksDisagree",
        /// A person tainted the node.
        TaintedByPerson = "TaintedByPerson",

        // Waiting
        /// The pool has no free budget slot, or other nodes come first.
        WaitingForBudget = "WaitingForBudget",
        /// The node is checked once more before anything disruptive.
        CheckingFirst = "CheckingFirst",
        /// That check failed: the repair continues.
        StillFailing = "StillFailing",
        PlacingTaint = "PlacingTaint",
        RemovingTaint = "RemovingTaint",
        /// The evidence that a reboot would destroy is being captured.
        CaptureOrdered = "CaptureOrdered",
        /// The evidence was captured.
        Captured = "Captured",
        /// The evidence was not captured in time: the repair continued without it.
        NotCaptured = "NotCaptured",
        EvictingPods = "EvictingPods",
        /// Pods may finish by themselves before the repair.
        WaitingForJobs = "WaitingForJobs",
        /// Pods that an eviction would lose run on the node, and the pool keeps them.
        PodsKept = "PodsKept",
        /// A PodDisruptionBudget blocks an eviction.
        DrainBlocked = "DrainBlocked",
        NothingToEvict = "NothingToEvict",
        /// Pods were still there at the drain deadline; the repair continued.
        DrainDeadlinePassed = "DrainDeadlinePassed",
        RebootOrdered = "RebootOrdered",
        /// Another program's inhibitor lock on the node holds off the reboot.
        RebootInhibited = "RebootInhibited",
        /// The node is dead: its BMC is asked to reset it.
        BmcReset = "BmcReset",
        /// Too many nodes are not Ready, so no BMC resets one.
        ManyDown = "ManyDown",
        ReimageOrdered = "ReimageOrdered",
        ReimageInterrupted = "ReimageInterrupted",
        /// The reimage script changed nothing, and asks for another try: a lock, a mirror.
        ReimagePostponed = "ReimagePostponed",
        /// The reimage finished; it takes effect with the next boot.
        Reimaged = "Reimaged",
        /// A new boot ID was seen.
        NewBoot = "NewBoot",
        /// The node rebooted without an order.
        UnexpectedReboot = "UnexpectedReboot",
        /// The Node object was deleted and created again.
        NodeRecreated = "NodeRecreated",
        NotReady = "NotReady",
        ProofOrdered = "ProofOrdered", VerifyRequested = "VerifyRequested",
        /// The GPU repair has the node's only order; the network is proven after it.
        RepairHasTheOrder = "RepairHasTheOrder",
        WithdrawingOrder = "WithdrawingOrder",

        // Outcomes
        ProofPassed = "ProofPassed",
        ProofFailed = "ProofFailed",
        ReimageFailed = "ReimageFailed",
        /// The pool's mode does not allow the next rung.
        ModeStopsHere = "ModeStopsHere",
        /// No new boot ID by the deadline.
        DidNotComeBack = "DidNotComeBack",
        /// The node is Ready, but its agent takes no order.
        AgentSilent = "AgentSilent",
        /// The node is on a new boot, but its health is unknown. This is not a failed proof.
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

/// A reason, with one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    #[serde(rename = "reason")]
    pub why: Why,
    /// One sentence without elapsed times, so that it changes only when the reason does.
    pub message: String,
}

impl Reason {
    pub fn new(why: Why, message: impl Into<String>) -> Self {
        Self { why, message: message.into() }
    }
}
