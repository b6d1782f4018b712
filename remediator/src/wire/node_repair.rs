//! `NodeRepair`: the record of one node in the API server, one object for each node that ever complained, named like it.
//!
//! `spec.order` is written by the controller alone, `status.agent` by that node's agent alone, `status.complaints` by
//! whoever received the alert, the rest of `status` by the controller.

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

impl NodeRepair {
    /// What the core decides on.
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

/// The controller's part of the status, by itself: what a guarded write of it is computed from.
pub fn controllers_part(repair: &Repair) -> NodeRepairStatus {
    let Repair { episode, network, history } = repair.clone();
    NodeRepairStatus { episode, network, history, ..NodeRepairStatus::default() }
}
