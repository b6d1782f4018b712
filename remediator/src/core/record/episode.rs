//! One climb of the ladder: where it is, and what was tried.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Inventory;
use crate::core::taint::{Taint, TaintKey};
use crate::core::why::{Reason, Why};
use ossci_base::closed_words;
use ossci_base::words::ClosedWord;

closed_words! {
    /// A rung of the ladder, lowest first.
    pub enum Rung ("rung") { Reboot = "reboot", Reimage = "reimage", Manual = "manual" }
}

impl Rung {
    /// The taint that a node on this rung carries.
    pub fn taint(self) -> TaintKey {
        match self {
            Self::Reboot => TaintKey::RepairReboot,
            Self::Reimage => TaintKey::RepairReimage,
            Self::Manual => TaintKey::RepairManual,
        }
    }

    /// The rung that a taint stands for; `None` for the network's.
    pub fn of_taint(key: TaintKey) -> Option<Self> {
        Self::ALL.iter().copied().find(|rung| rung.taint() == key)
    }
}

closed_words! {
    /// Where an episode is. Participles while time runs, adjectives at rest.
    pub enum Phase ("phase") {
        Waiting = "Waiting", Capturing = "Capturing", Draining = "Draining", Reimaging = "Reimaging", Rebooting = "Rebooting",
        Stabilising = "Stabilising", Proving = "Proving", Escalating = "Escalating", Escalated = "Escalated",
        Healed = "Healed", Recovered = "Recovered", Released = "Released", NodeGone = "NodeGone",
    }
}

impl Phase {
    /// An episode in this phase is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Healed | Self::Recovered | Self::Released | Self::NodeGone)
    }
}

/// A closed account of something that was tried, for the mail and for history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub at: Timestamp,
    pub rung: Rung,
    /// What came of it, one sentence.
    pub outcome: Reason,
    /// What the checks said, where the step is a proof or a capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log, where the step is a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// One result of a check, as the exporter's `/probe` gave it.
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
    /// What a check of the agent's own says.
    pub fn of(check: &str, said: (&str, Option<&str>), detail: String, started_at: Timestamp) -> Self {
        let (verdict, reason) = (said.0.to_owned(), said.1.map(str::to_owned));
        Self { check: check.to_owned(), verdict, reason, detail, started_at }
    }
}

/// A mail that a transition calls for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// Our own Message-ID: the same mail sent twice after a crash is one mail in the reader's thread.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// When the server accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
}

closed_words! {
    /// How far a reset by the BMC is.
    pub enum ResetState ("reset state") {
        /// On record, and not known to be sent.
        Pending = "Pending",
        Sent = "Sent",
        /// Certainly not sent, or refused.
        Failed = "Failed",
        /// It may have been sent: it counts as sent.
        Unknown = "Unknown",
    }
}

/// One reset by the node's BMC, on record before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    pub id: String,
    pub at: Timestamp,
    /// The boot that it is to end.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: ResetState,
}

closed_words! {
    /// How far a reimage is that the site's provisioning service carries out.
    pub enum ProvisioningState ("provisioning state") {
        /// It was certainly not asked for.
        Pending = "Pending",
        /// It is being asked for, or may have been: it is never called back.
        Asked = "Asked",
        /// The service has it under way.
        Running = "Running",
        /// The service says that the node boots its new system.
        Done = "Done",
        Failed = "Failed",
    }
}

/// A reimage by the site's provisioning service, on record before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// The service's name for it, which no other reimage of this node ever has.
    pub id: String,
    /// Which service it is meant for: the beginning of a hash of its address.
    pub service: String,
    pub state: ProvisioningState,
}

impl Provisioning {
    /// The service has it, or may have: the node is in its hands.
    pub fn is_out(&self) -> bool {
        self.state != ProvisioningState::Pending
    }
}

/// One climb of the ladder.
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
    /// The phase's deadline, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub why: Reason,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    /// The boot to be ended while one is; the boot to be proven after that.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
    /// New boots that we did not order, seen while the node was to be stable.
    #[serde(default)]
    pub unexpected_boots: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Mail>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Reset>,
    /// The last reimage by the site's provisioning service. `None`: a script reimages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
    /// The GPUs that the node was to show when the repair began to destroy things; its own memory may not survive that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
}

impl Episode {
    /// The rungs that were carried out to their end, and whether the node was healthy then. A proof without a boot that we
    /// ordered (an old complaint, a Node created again) says nothing about a rung.
    pub fn attempts(&self) -> impl Iterator<Item = Attempt> {
        let rebooted = |rung| self.steps.iter().any(|step| step.rung == rung && step.outcome.why == Why::NewBoot);
        self.steps.iter().filter_map(move |step| {
            let passed = match step.outcome.why {
                Why::ProofPassed if rebooted(step.rung) => true,
                Why::ProofFailed if rebooted(step.rung) => false,
                Why::ReimageFailed => false,
                _ => return None,
            };
            Some(Attempt { rung: step.rung, at: step.at, passed })
        })
    }

    /// The id of the order that the phase stands for. It is made of recorded things only, so an order that was lost is issued
    /// again under the same id.
    pub fn order_id(&self) -> Option<String> {
        let rung_order = format!("{}-{}-{}", self.number, self.rung, self.attempt);
        match self.phase {
            Phase::Waiting if self.why.why == Why::CheckingFirst => Some(format!("{rung_order}-check")),
            Phase::Capturing => Some(format!("{rung_order}-capture")),
            Phase::Reimaging => Some(rung_order),
            Phase::Rebooting if self.rung == Rung::Reboot => Some(rung_order),
            Phase::Rebooting => Some(format!("{rung_order}-reboot")),
            Phase::Proving => Some(format!("{rung_order}-prove-{}", self.unexpected_boots + 1)),
            _ => None,
        }
    }

    /// A person began it, by putting a taint on the node.
    pub fn by_person(&self) -> bool {
        self.steps.first().is_some_and(|step| step.outcome.why == Why::TaintedByPerson)
    }
}

/// A rung that was carried out to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub rung: Rung,
    pub at: Timestamp,
    /// The node was healthy afterwards.
    pub passed: bool,
}

/// An episode that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastEpisode {
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub rung: Rung,
    pub outcome: Phase,
    pub why: Reason,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}
