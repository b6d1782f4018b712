//! What the controller asks of a node's agent, and what the agent says of it.

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadTest {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// It is ended after so long, and has failed then.
    pub seconds: u32,
}

/// What a proof has to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofTerms {
    pub of: ProofOf,
    /// So many passes in a row prove health.
    pub passes: u32,
    /// So many failures in a row disprove it; 0: keep trying until the deadline.
    pub failures: u32,
    /// Time between two runs, seconds.
    pub gap_seconds: u32,
    /// The driver that is loaded has to be the one that is installed, too.
    #[serde(default)]
    pub driver: bool,
    /// What has to pass once, after the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTest>,
    /// The GPUs that the node has to show; `None`: as many as the exporter expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// Only runs that began after this count.
    pub after: Timestamp,
}

/// Which script an order means: where it lies, and that it is the one that lay there when the order was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    pub config_map: String,
    pub key: String,
    /// SHA-256 of its text, in 64 hexadecimal digits. `None`: nothing lay there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What the controller asks of the node's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub id: String,
    pub kind: OrderKind,
    /// A reboot or reimage order says which boot it belongs to: carried out twice, it ends one boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub issued_at: Timestamp,
    /// The agent starts nothing after this.
    pub deadline: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofTerms>,
    /// What a reimage runs.
    #[serde(skip_serializing_if = "Option::is_none")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    #[serde(rename = "orderID")]
    pub order_id: String,
    /// The boot that the agent was on as it said this: the Node may still tell of the one before.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: AgentState,
    pub at: Timestamp,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log of this boot, where the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The GPUs that the node should show, where the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
}

impl AgentReport {
    /// Neither of a proof nor of a capture.
    pub fn plain(order_id: String, boot_id: String, state: AgentState, at: Timestamp, message: String) -> Self {
        let (proof, verdicts) = (None, Vec::new());
        let (kernel_log, evidence, expected) = (None, None, None);
        Self { order_id, boot_id, state, at, message, proof, verdicts, kernel_log, evidence, expected }
    }
}
