//! `NodeRepair`: the record of one node in the API server. Each node that ever had a complaint has
//! one object, with the node's name.
//!
//! Only the controller writes `spec.order`, and only the node's agent writes `status.agent`. The
//! replica that received the alert writes `status.complaints`; the controller writes the rest of
//! `status`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime as Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::record::{AgentReport, Complaint, Episode, NetworkTrack, Order, PastEpisode, Record, Repair};

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
    /// The controller's order for the node's agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRepairStatus {
    /// Alerts that named this node, as last received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<Complaint>,
    /// The open or last episode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<Episode>,
    /// The open or last network track.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkTrack>,
    /// The agent's report on the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentReport>,
    /// The last finished episodes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<PastEpisode>,
    /// The condition `Understood`, once the record was in doubt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A condition in the usual form of Kubernetes.
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

impl NodeRepair {
    /// Returns the record that the core decides on.
    pub fn record(&self) -> Record {
        let status = self.status.clone().unwrap_or_default();
        Record {
            complaints: status.complaints,
            repair: Repair { episode: status.episode, network: status.network, history: status.history },
            order: self.spec.order.clone(),
            agent: status.agent,
        }
    }
}

/// Returns the controller's part of the status alone, from which a guarded write is computed.
pub fn controllers_part(repair: &Repair) -> NodeRepairStatus {
    let Repair { episode, network, history } = repair.clone();
    NodeRepairStatus { episode, network, history, ..NodeRepairStatus::default() }
}
