//! `NodeRepair`: the record of one node in the API server, one object for each node that ever complained, named like it.
//!
//! `spec.order` is written by the controller alone, `status.agent` by that node's agent alone, `status.complaints` by
//! whoever received the alert, the rest of `status` by the controller.

mod twins;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime as Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::word::Word;
use crate::core::record as core;
use crate::core::record::{
    AgentState, Ask, NetworkPhase, OrderKind, Phase, Proof, ProofOf, ProvisioningState, ResetState, Rung,
};
use crate::core::taint::{TaintKey, TaintState};
use crate::core::why::Why;

#[derive(CustomResource, Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ossci.amd.com",
    version = "v1alpha1",
    kind = "NodeRepair",
    shortname = "nrep",
    status = "NodeRepairStatus",
    derive = "PartialEq",
    derive = "Default",
    printcolumn = r#"{"name":"Rung","type":"string","jsonPath":".status.episode.rung"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.episode.phase"}"#,
    printcolumn = r#"{"name":"Attempt","type":"integer","jsonPath":".status.episode.attempt"}"#,
    printcolumn = r#"{"name":"Why","type":"string","jsonPath":".status.episode.why.reason"}"#,
    printcolumn = r#"{"name":"Until","type":"string","jsonPath":".status.episode.until"}"#,
    printcolumn = r#"{"name":"Network","type":"string","jsonPath":".status.network.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct NodeRepairSpec {
    /// What the controller asks of the node's agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRepairStatus {
    /// Alerts that named this node, as they were last told to us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<Complaint>,
    /// The open or last climb of the ladder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<Episode>,
    /// The open or last slowness of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkTrack>,
    /// What the agent says of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
    /// The last finished episodes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEpisode>,
    /// `Understood`, once it was in doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// As Kubernetes writes conditions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub type_: String,
    pub status: String,
    pub reason: String,
    pub message: String,
    pub last_transition_time: Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub id: String,
    pub kind: Word<OrderKind>,
    /// The boot that the order belongs to; a reboot ends this one and no other.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub issued_at: Time,
    /// The agent starts nothing after this.
    pub deadline: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofTerms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// The script of a reimage: a ConfigMap of our namespace and a key in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    pub config_map: String,
    pub key: String,
    /// SHA-256 of the script when the order was written, as `sha256sum` prints it: no other is run. Absent: there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// A load test of the site's own, run on the node's host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadTest {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// It is ended after so long, and has failed then.
    pub seconds: u32,
}

/// The GPUs of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    pub gpus: u32,
    /// Bus addresses, as far as the tools name them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<String>,
}

/// What a proof has to show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofTerms {
    pub of: Word<ProofOf>,
    /// So many passes in a row prove health.
    pub passes: u32,
    /// So many failures in a row disprove it; 0: keep trying until the deadline.
    pub failures: u32,
    pub gap_seconds: u32,
    /// The driver that is loaded has to be the one that is installed, too.
    #[serde(default)]
    pub driver: bool,
    /// What has to pass once, after the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTest>,
    /// The GPUs that the node has to show. Absent: as many as the exporter expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// Only runs that began after this count.
    pub after: Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Complaint {
    pub fingerprint: String,
    pub remediation: Word<Ask>,
    pub check: String,
    pub since: Time,
    pub seen: Time,
    pub firing: bool,
    pub summary: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    pub reason: Word<Why>,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taint {
    pub key: Word<TaintKey>,
    pub state: Word<TaintState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Word<TaintKey>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub check: String,
    pub verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub detail: String,
    pub started_at: Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub at: Time,
    pub rung: Word<Rung>,
    pub outcome: Reason,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log, where the step is a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of what was captured: gzip under the key `evidence.txt.gz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    #[serde(rename = "messageID")]
    pub message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    pub id: String,
    pub at: Time,
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: Word<ResetState>,
}

/// A reimage by the site's provisioning service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Provisioning {
    /// The service's name for it.
    pub id: String,
    /// Which service it is meant for: the beginning of a hash of its address.
    pub service: String,
    pub state: Word<ProvisioningState>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Episode {
    pub number: u32,
    pub started_at: Time,
    pub rung: Word<Rung>,
    pub phase: Word<Phase>,
    pub attempt: u32,
    pub since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    pub why: Reason,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    #[serde(rename = "bootID")]
    pub boot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
    #[serde(default)]
    pub unexpected_boots: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mails: Vec<Mail>,
    /// Resets by the node's BMC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<Reset>,
    /// The last reimage by the site's provisioning service. Absent: a script reimages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,
    /// The GPUs that the node was to show when it was captured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastEpisode {
    pub number: u32,
    pub started_at: Time,
    pub ended_at: Time,
    pub rung: Word<Rung>,
    pub outcome: Word<Phase>,
    pub why: Reason,
    /// The rungs that were carried out to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    pub rung: Word<Rung>,
    pub at: Time,
    /// The node was healthy afterwards.
    pub passed: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkTrack {
    pub number: u32,
    pub phase: Word<NetworkPhase>,
    pub started_at: Time,
    pub since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    pub attempt: u32,
    pub why: Reason,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    #[serde(rename = "orderID")]
    pub order_id: String,
    /// The boot that the agent was on as it said this.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: Word<AgentState>,
    pub at: Time,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Word<Proof>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log of this boot, where the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap of our namespace that holds the rest of what was captured: gzip under the key `evidence.txt.gz`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The GPUs that the node should show, where the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
}

impl NodeRepair {
    /// What the core decides on.
    pub fn record(&self) -> core::Record {
        let status = self.status.clone().unwrap_or_default();
        core::Record {
            complaints: status.complaints.iter().map(Into::into).collect(),
            repair: core::Repair {
                episode: status.episode.as_ref().map(Into::into),
                network: status.network.as_ref().map(Into::into),
                history: status.history.iter().map(Into::into).collect(),
            },
            order: self.spec.order.as_ref().map(Into::into),
            agent: status.agent.as_ref().map(Into::into),
        }
    }
}

/// The controller's part of the status, by itself: what a guarded write of it is computed from.
pub fn controllers_part(repair: &core::Repair) -> NodeRepairStatus {
    NodeRepairStatus {
        episode: repair.episode.as_ref().map(Into::into),
        network: repair.network.as_ref().map(Into::into),
        history: repair.history.iter().map(Into::into).collect(),
        ..NodeRepairStatus::default()
    }
}
