//! One repair of a node: its state, and what was tried.

use std::ops::Not;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Card, Inventory, Mail, Software};
use crate::core::taint::{Taint, TaintKey};
use crate::core::why::{Reason, Why};
use ossci_base::closed_words;
use ossci_base::words::ClosedWord;

closed_words! {
    /// A rung of the ladder, lowest first.
    pub enum Rung ("rung") { Reboot = "reboot", Reimage = "reimage", Manual = "manual" }
}

impl Rung {
    /// Returns the taint of a node on this rung.
    pub fn taint(self) -> TaintKey {
        match self {
            Self::Reboot => TaintKey::RepairReboot,
            Self::Reimage => TaintKey::RepairReimage,
            Self::Manual => TaintKey::RepairManual,
        }
    }

    /// Returns the rung of a taint; `None` for the network taint.
    pub fn of_taint(key: TaintKey) -> Option<Self> {
        Self::ALL.iter().copied().find(|rung| rung.taint() == key)
    }
}

closed_words! {
    /// The phase of an episode. Participles while something runs, adjectives at rest.
    pub enum Phase ("phase") {
        Waiting = "Waiting", Capturing = "Capturing", Draining = "Draining", Reimaging = "Reimaging", Rebooting = "Rebooting",
        Stabilising = "Stabilising", Proving = "Proving", Escalating = "Escalating", Escalated = "Escalated",
        Healed = "Healed", Recovered = "Recovered", Released = "Released", NodeGone = "NodeGone",
    }
}

impl Phase {
    /// Whether the episode has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Healed | Self::Recovered | Self::Released | Self::NodeGone)
    }
}

/// One thing that was tried, for the mail and for history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub at: Timestamp,
    pub rung: Rung,
    /// The outcome, in one sentence.
    pub outcome: Reason,
    /// The boot on which the Node was then.
    #[serde(rename = "bootID", default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The verdicts of the checks, if the step is a proof or a capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel log, if the step is a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap in our namespace with the rest of the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

impl Step {
    /// Returns a step with an outcome and nothing else.
    pub fn plain(at: Timestamp, rung: Rung, outcome: Reason) -> Self {
        Self { at, rung, outcome, boot_id: None, verdicts: Vec::new(), kernel_log: None, evidence: None }
    }
}

/// The verdict of one check, as the exporter's `/probe` returned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub check: String,
    /// `passed`, `failed` or `unknown`.
    pub verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub detail: String,
    pub started_at: Timestamp,
}

impl Verdict {
    /// Returns the verdict of a check that the agent itself runs. `said`: verdict and reason.
    pub fn of(check: &str, said: (&str, Option<&str>), detail: String, started_at: Timestamp) -> Self {
        let (verdict, reason) = (said.0.to_owned(), said.1.map(str::to_owned));
        Self { check: check.to_owned(), verdict, reason, detail, started_at }
    }
}

closed_words! {
    /// The state of a reset by the BMC.
    pub enum ResetState ("reset state") {
        /// Recorded, and not known to be sent.
        Pending = "Pending",
        Sent = "Sent",
        /// Certainly not sent, or refused.
        Failed = "Failed",
        /// It may have been sent, and counts as sent.
        Unknown = "Unknown",
    }
}

/// One reset by the node's BMC, recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    pub id: String,
    pub at: Timestamp,
    /// The boot that the reset has to end.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: ResetState,
}

closed_words! {
    /// The state of a reimage by the site's provisioning service.
    pub enum ProvisioningState ("provisioning state") {
        /// The request was certainly not sent.
        Pending = "Pending",
        /// The request may have been sent, so it is never called back.
        Asked = "Asked",
        /// The service is carrying it out.
        Running = "Running",
        /// The service reports that the node boots its new system.
        Done = "Done",
        Failed = "Failed",
    }
}

/// A reimage by the site's provisioning service, recorded before the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// The id that the service stores. No other reimage of this node has it.
    pub id: String,
    /// The service that it is meant for: the first digits of a hash of its address.
    pub service: String,
    pub state: ProvisioningState,
}

impl Provisioning {
    /// Whether the service has the request, or may have it.
    pub fn is_out(&self) -> bool {
        self.state != ProvisioningState::Pending
    }
}

/// One repair of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    /// Counts from 1 on each node.
    pub number: u32,
    pub started_at: Timestamp,
    pub rung: Rung,
    pub phase: Phase,
    /// Counts from 1 in each rung.
    pub attempt: u32,
    /// When the phase began.
    pub since: Timestamp,
    /// The phase's deadline, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub why: Reason,
    /// The node's pool when the episode began. The node belongs to it until the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    /// The boot to be ended; after the reboot, the boot to be proven.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
    /// New boots without an order, seen while the node had to be stable.
    #[serde(default)]
    pub unexpected_boots: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Mail>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Reset>,
    /// The slowest boot that we ordered, from the order to the new boot ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowest_boot_seconds: Option<u32>,
    /// The last reimage by the site's provisioning service. `None`: a script reimages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
    /// The GPUs that the node should show, recorded before the first destructive step: the node may
    /// not remember them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// What names these GPUs: the node may not remember one that is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
    /// The versions that were in use before the first destructive step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<Software>,
}

impl Episode {
    /// Returns an episode that begins now, waiting on its rung. The caller sets the node's identity
    /// and the first step.
    pub fn begin(number: u32, rung: Rung, now: Timestamp, why: Reason) -> Self {
        Self {
            number,
            started_at: now,
            rung,
            phase: Phase::Waiting,
            attempt: 1,
            since: now,
            until: None,
            why,
            pool: None,
            node_uid: String::new(),
            boot_id: String::new(),
            taint: None,
            unexpected_boots: 0,
            steps: Vec::new(),
            mails: Vec::new(),
            resets: Vec::new(),
            slowest_boot_seconds: None,
            provisioning: None,
            expected: None,
            cards: Vec::new(),
            software: None,
        }
    }

    /// Returns the rungs that were ordered, and whether the node was healthy afterwards. Whatever
    /// ends an ordered boot without a passed proof is a failed attempt.
    ///
    /// A proof without a reboot that we ordered (an old complaint, a Node created again) says
    /// nothing about a rung.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> {
        self.attempts_and_whys().map(|(attempt, _)| attempt)
    }

    /// Returns the same with what the outcome was: `ProofPassed`, or what failed.
    pub fn attempts_and_whys(&self) -> impl Iterator<Item = (Attempt, Why)> {
        let rebooted = |rung| self.steps.iter().any(|step| step.rung == rung && step.outcome.why == Why::NewBoot);
        self.steps.iter().filter_map(move |step| {
            let why = step.outcome.why;
            let passed = match why {
                Why::ProofPassed if rebooted(step.rung) => true,
                Why::ProofFailed | Why::CannotProve if rebooted(step.rung) => false,
                Why::ReimageFailed
                | Why::DidNotComeBack
                | Why::AgentSilent
                | Why::OrderRefused
                | Why::RebootInhibited => false,
                _ => return None,
            };
            Some((Attempt { rung: step.rung, at: step.at, passed }, why))
        })
    }

    /// Returns the id of the phase's order. It depends only on recorded values, so a lost order is
    /// issued again under the same id.
    pub fn order_id(&self) -> Option<String> {
        let rung_order = format!("{}-{}-{}", self.number, self.rung, self.attempt);
        match self.phase {
            Phase::Waiting if self.why.why == Why::CheckingFirst => Some(format!("{rung_order}-check")),
            Phase::Draining if self.why.why == Why::CheckingFirst => Some(format!("{rung_order}-recheck")),
            Phase::Capturing => Some(format!("{rung_order}-capture")),
            Phase::Reimaging => Some(rung_order),
            Phase::Rebooting if self.rung == Rung::Reboot => Some(rung_order),
            Phase::Rebooting => Some(format!("{rung_order}-reboot")),
            Phase::Proving => Some(format!("{rung_order}-prove-{}", self.unexpected_boots + 1)),
            _ => None,
        }
    }

    /// Whether the node is under disruptive repair, so that it needs a budget slot.
    pub fn is_disruptive(&self) -> bool {
        let phases = [Phase::Capturing, Phase::Draining, Phase::Reimaging, Phase::Rebooting, Phase::Stabilising];
        (phases.contains(&self.phase) || self.phase == Phase::Proving) && self.rung != Rung::Manual
    }

    /// Whether a proof failed after one of its rungs.
    pub fn has_failed_proof(&self) -> bool {
        self.steps.iter().any(|step| step.outcome.why == Why::ProofFailed)
    }

    /// Whether the script has finished and only the reboot is left, because a mark held it.
    pub fn is_reimaged(&self) -> bool {
        let whys = self.steps.iter().filter(|step| step.rung == Rung::Reimage).map(|step| step.outcome.why);
        whys.rev().find(|why| matches!(why, Why::Reimaged | Why::NewBoot)) == Some(Why::Reimaged)
    }

    /// Whether its alert asked for a person at once, so that nothing was tried, not even before.
    pub fn asks_a_person_at_once(&self) -> bool {
        let first = self.steps.first().map(|step| (step.rung, step.outcome.why));
        matches!(first, Some((Rung::Manual, Why::Complaint | Why::ChecksDisagree)))
    }

    /// Whether its alert asked for a person at once, and a mail is due or was sent.
    pub fn is_mailed_at_once(&self) -> bool {
        self.asks_a_person_at_once() && !self.mails.is_empty()
    }

    /// Whether a person began it by tainting the node.
    pub fn begun_by_person(&self) -> bool {
        self.steps.first().is_some_and(|step| step.outcome.why == Why::TaintedByPerson)
    }

    /// Whether a person asked for a rung of it by tainting the node.
    pub fn by_person(&self) -> bool {
        self.steps.iter().any(|step| step.outcome.why == Why::TaintedByPerson)
    }
}

/// A rung that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub rung: Rung,
    pub at: Timestamp,
    /// The node was healthy afterwards.
    pub passed: bool,
}

/// A finished episode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastEpisode {
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub rung: Rung,
    pub outcome: Phase,
    pub why: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowest_boot_seconds: Option<u32>,
    /// A person began it.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub by_person: bool,
    /// Its alert asked for a person at once, and a mail was due.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub mailed: bool,
}
