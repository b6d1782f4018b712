//! The order that the controller gives a node's agent, and the agent's report on it.

use jiff::Timestamp;
pub use ossci_base::contract::inventory::Inventory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verdict;
use ossci_base::closed_words;

closed_words! {
    /// What an order asks of the agent.
    pub enum OrderKind ("order") {
        Prove = "prove",
        /// Capture the evidence that a reboot or a reimage would destroy.
        Capture = "capture",
        Reboot = "reboot", Reimage = "reimage",
    }
}

impl OrderKind {
    /// Whether it ends a boot or changes the installed system.
    pub fn is_disruptive(self) -> bool {
        matches!(self, Self::Reboot | Self::Reimage)
    }
}

closed_words! {
    /// Which checks a proof runs.
    pub enum ProofOf ("proof") { Gpu = "gpu", Network = "network" }
}

/// A load test provided by the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadTest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Time limit in seconds; when it expires, the test is stopped and has failed.
    pub seconds: u32,
}

/// What a proof has to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofTerms {
    pub of: ProofOf,
    /// Number of passes in a row that prove health.
    pub passes: u32,
    /// Number of failures in a row that disprove it; 0: keep trying until the deadline.
    pub failures: u32,
    /// Time between two runs, seconds.
    pub gap_seconds: u32,
    /// The loaded driver has to be the installed one, too.
    #[serde(default)]
    pub driver: bool,
    /// A load test that has to pass once, after the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTest>,
    /// The GPUs that the node has to show; `None`: the number that the exporter expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// Only runs that began after this count.
    pub after: Timestamp,
}

/// The script of a reimage order: where it is stored, and its hash when the order was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    pub config_map: String,
    pub key: String,
    /// SHA-256 of the script, 64 hexadecimal digits. `None`: the script did not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// An order for the node's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub id: String,
    pub kind: OrderKind,
    /// The boot that a reboot or reimage order is for. An order carried out twice thus ends one
    /// boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub issued_at: Timestamp,
    /// The agent starts nothing after this.
    pub deadline: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofTerms>,
    /// The script of a reimage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

impl Order {
    /// Returns a key that no other order of this node has. The id may repeat after the record was
    /// deleted; the time does not.
    pub fn key(&self) -> String {
        format!("{}-{}", self.id, self.issued_at.as_second())
    }
}

closed_words! {
    /// The agent's progress with an order.
    pub enum AgentState ("agent state") {
        /// The agent has begun; the order cannot be withdrawn any more.
        Running = "Running",
        Done = "Done", Failed = "Failed", Refused = "Refused",
        /// A reimage without a result that ran on another boot, or in another agent process.
        Interrupted = "Interrupted",
    }
}

impl AgentState {
    pub fn is_over(self) -> bool {
        self != Self::Running
    }
}

closed_words! {
    /// The result of a proof. Unknown is not failed.
    pub enum Proof ("proof result") { Passed = "passed", Failed = "failed", Unknown = "unknown" }
}

/// The agent's report on an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    #[serde(rename = "orderID")]
    pub order_id: String,
    /// The boot that the agent was on when it reported; the Node may still show an older one.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: AgentState,
    pub at: Timestamp,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of this boot's kernel log, if the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap in our namespace with the rest of the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The GPUs that the node should show, if the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
}

impl AgentReport {
    /// Returns a report without the fields of a proof or a capture.
    pub fn plain(order_id: String, boot_id: String, state: AgentState, at: Timestamp, message: String) -> Self {
        let (proof, verdicts) = (None, Vec::new());
        let (kernel_log, evidence, expected) = (None, None, None);
        Self { order_id, boot_id, state, at, message, proof, verdicts, kernel_log, evidence, expected }
    }
}
