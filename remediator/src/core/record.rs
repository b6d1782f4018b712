//! The record of one node, as the core sees it: complaints, the open or last episode, the network track, the order, what
//! the agent says of it, and history. The wire form is `NodeRepair` (`wire::node_repair`).

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::taint::{Taint, TaintKey};
use super::why::{Reason, Why};
use super::word::ClosedWord;
use crate::closed_words;

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

closed_words! {
    /// What an alert asks for, in its label `remediation`.
    pub enum Ask ("remediation") { Reboot = "reboot", Reimage = "reimage", Manual = "manual", SlowNetwork = "slow-network" }
}

impl Ask {
    /// The rung that is asked for; `None` when it is the network's track.
    pub fn rung(self) -> Option<Rung> {
        match self {
            Self::Reboot => Some(Rung::Reboot),
            Self::Reimage => Some(Rung::Reimage),
            Self::Manual => Some(Rung::Manual),
            Self::SlowNetwork => None,
        }
    }
}

/// One alert of one node, as it was last told to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Alertmanager's fingerprint of the alert's labels.
    pub fingerprint: String,
    pub ask: Ask,
    pub check: String,
    /// When the alert began to fire (Prometheus's clock).
    pub since: Timestamp,
    /// When it was last told to us (our clock).
    pub seen: Timestamp,
    pub firing: bool,
    pub summary: String,
    /// The alert's labels, for silences.
    pub labels: BTreeMap<String, String>,
}

closed_words! {
    /// How urgent an alert is, in its label `severity`; least first.
    pub enum Severity ("severity") { Info = "info", Warning = "warning", Critical = "critical" }
}

impl Complaint {
    /// A word of a site's own, or none, is as urgent as a warning.
    fn severity(&self) -> Severity {
        self.labels.get("severity").and_then(|word| Severity::parse(word)).unwrap_or(Severity::Warning)
    }
}

/// A closed account of something that was tried, for the mail and for history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub at: Timestamp,
    pub rung: Rung,
    /// What came of it, one sentence.
    pub outcome: Reason,
    /// What the checks said, where the step is a proof or a capture.
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log, where the step is a capture.
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of it.
    pub evidence: Option<String>,
}

/// One result of a check, as the exporter's `/probe` gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub check: String,
    /// `passed`, `failed` or `unknown`.
    pub verdict: String,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Our own Message-ID: the same mail sent twice after a crash is one mail in the reader's thread.
    pub message_id: String,
    /// When the server accepted it.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    pub id: String,
    pub at: Timestamp,
    /// The boot that it is to end.
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub until: Option<Timestamp>,
    pub why: Reason,
    pub node_uid: String,
    /// The boot to be ended while one is; the boot to be proven after that.
    pub boot_id: String,
    pub taint: Option<Taint>,
    /// New boots that we did not order, seen while the node was to be stable.
    pub unexpected_boots: u32,
    pub steps: Vec<Step>,
    pub mails: Vec<Mail>,
    pub resets: Vec<Reset>,
    /// The last reimage by the site's provisioning service. `None`: a script reimages.
    pub provisioning: Option<Provisioning>,
    /// The GPUs that the node was to show when the repair began to destroy things; its own memory may not survive that.
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

    /// A person began it, by putting a taint on the node.
    pub fn by_person(&self) -> bool {
        self.steps.first().is_some_and(|step| step.outcome.why == Why::TaintedByPerson)
    }
}

/// A rung that was carried out to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    pub rung: Rung,
    pub at: Timestamp,
    /// The node was healthy afterwards.
    pub passed: bool,
}

/// An episode that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastEpisode {
    pub number: u32,
    pub started_at: Timestamp,
    pub ended_at: Timestamp,
    pub rung: Rung,
    pub outcome: Phase,
    pub why: Reason,
    pub attempts: Vec<Attempt>,
}

closed_words! {
    /// Where the network track is.
    pub enum NetworkPhase ("network phase") {
        Slow = "Slow", Proving = "Proving",
        Recovered = "Recovered", Released = "Released", NodeGone = "NodeGone",
    }
}

impl NetworkPhase {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Recovered | Self::Released | Self::NodeGone)
    }
}

/// The network's own small track: a node can be slow and broken at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkTrack {
    /// Counts from 1 on each node.
    pub number: u32,
    pub phase: NetworkPhase,
    pub started_at: Timestamp,
    pub since: Timestamp,
    pub until: Option<Timestamp>,
    /// Proofs ordered so far.
    pub attempt: u32,
    pub why: Reason,
    pub node_uid: String,
    pub taint: Option<Taint>,
}

closed_words! {
    /// What an order asks of the agent.
    pub enum OrderKind ("order") {
        Prove = "prove",
        /// What a reboot or a reimage would destroy is written down first.
        Capture = "capture",
        Reboot = "reboot", Reimage = "reimage",
    }
}

impl OrderKind {
    /// It ends a boot or changes what is installed.
    pub fn is_disruptive(self) -> bool {
        matches!(self, Self::Reboot | Self::Reimage)
    }
}

closed_words! {
    /// Which checks a proof runs.
    pub enum ProofOf ("proof") { Gpu = "gpu", Network = "network" }
}

/// A load test of the site's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadTest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It is ended after so long, and has failed then.
    pub seconds: u32,
}

/// The GPUs of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    pub gpus: u32,
    /// Bus addresses, `domain:bus:device.function`, as far as the tools name them.
    pub pci: Vec<String>,
}

/// What a proof has to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofTerms {
    pub of: ProofOf,
    /// So many passes in a row prove health.
    pub passes: u32,
    /// So many failures in a row disprove it; 0: keep trying until the deadline.
    pub failures: u32,
    /// Time between two runs, seconds.
    pub gap_seconds: u32,
    /// The driver that is loaded has to be the one that is installed, too.
    pub driver: bool,
    /// What has to pass once, after the checks.
    pub load_test: Option<LoadTest>,
    /// The GPUs that the node has to show; `None`: as many as the exporter expects.
    pub expected: Option<Inventory>,
    /// Only runs that began after this count.
    pub after: Timestamp,
}

/// Which script an order means: where it lies, and that it is the one that lay there when the order was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub config_map: String,
    pub key: String,
    /// SHA-256 of its text, in 64 hexadecimal digits. `None`: nothing lay there.
    pub sha256: Option<String>,
}

/// What the controller asks of the node's agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub id: String,
    pub kind: OrderKind,
    /// A reboot or reimage order says which boot it belongs to: carried out twice, it ends one boot.
    pub boot_id: String,
    pub issued_at: Timestamp,
    /// The agent starts nothing after this.
    pub deadline: Timestamp,
    pub proof: Option<ProofTerms>,
    /// What a reimage runs.
    pub script: Option<Script>,
}

impl Order {
    /// What no other order of this node ever has: an id comes again when the record was deleted in between, the time does not.
    pub fn key(&self) -> String {
        format!("{}-{}", self.id, self.issued_at.as_second())
    }
}

closed_words! {
    /// How far the agent is with an order.
    pub enum AgentState ("agent state") {
        /// The point of no return.
        Running = "Running",
        Done = "Done", Failed = "Failed", Refused = "Refused",
        /// A reimage that was found running on another boot, or by another agent process, without a result.
        Interrupted = "Interrupted",
    }
}

impl AgentState {
    pub fn is_over(self) -> bool {
        self != Self::Running
    }
}

closed_words! {
    /// What a proof showed. Unknown is not failed.
    pub enum Proof ("proof result") { Passed = "passed", Failed = "failed", Unknown = "unknown" }
}

/// What the agent says of the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentReport {
    pub order_id: String,
    /// The boot that the agent was on as it said this: the Node may still tell of the one before.
    pub boot_id: String,
    pub state: AgentState,
    pub at: Timestamp,
    pub message: String,
    pub proof: Option<Proof>,
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log of this boot, where the order was a capture.
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of it.
    pub evidence: Option<String>,
    /// The GPUs that the node should show, where the order was a capture.
    pub expected: Option<Inventory>,
}

/// The part of the record that the controller alone writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    pub episode: Option<Episode>,
    pub network: Option<NetworkTrack>,
    /// The last finished episodes, oldest first.
    pub history: Vec<PastEpisode>,
}

/// Everything that is recorded of one node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub complaints: Vec<Complaint>,
    pub repair: Repair,
    pub order: Option<Order>,
    pub agent: Option<AgentReport>,
}

impl Record {
    /// What was told of the GPUs in this episode, or still fires.
    pub fn behind(&self, episode: &Episode) -> impl Iterator<Item = &Complaint> {
        let since = episode.started_at;
        self.complaints
            .iter()
            .filter(move |complaint| complaint.ask.rung().is_some() && (complaint.firing || complaint.seen >= since))
    }

    /// Nothing fires, nothing is open, nothing is asked of the agent.
    pub fn is_at_rest(&self) -> bool {
        let Repair { episode, network, .. } = &self.repair;
        episode.as_ref().is_none_or(|episode| episode.phase.is_over())
            && network.as_ref().is_none_or(|track| track.phase.is_over())
            && self.order.is_none()
            && self.complaints.iter().all(|complaint| !complaint.firing)
    }

    /// How urgent the episode is: as its most urgent alert; what a person began is critical.
    pub fn severity(&self, episode: &Episode) -> Severity {
        if episode.by_person() {
            return Severity::Critical;
        }
        self.behind(episode).map(Complaint::severity).max().unwrap_or(Severity::Warning)
    }

    /// The agent's report on the order `id`, when it is about that one.
    pub fn report_on(&self, id: &str) -> Option<&AgentReport> {
        self.agent.as_ref().filter(|report| report.order_id == id)
    }
}
