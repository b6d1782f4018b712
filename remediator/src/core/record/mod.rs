//! The record of one node: complaints, the open or last episode, the network track, the order, the
//! agent's report, and history. Its Kubernetes object is `NodeRepair` (`wire::node_repair`).

mod complaint;
mod episode;
mod mail;
mod order;

pub use self::complaint::{Ask, Complaint, Severity};
pub use self::episode::*;
pub use self::mail::{Mail, MailKind};
pub use self::order::*;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::taint::Taint;
use super::why::Reason;
use ossci_base::closed_words;

closed_words! {
    /// The phase of the network track.
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

/// The network track, separate from the GPU repair: a node can be slow and broken at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkTrack {
    /// Counts from 1 on each node.
    pub number: u32,
    pub phase: NetworkPhase,
    pub started_at: Timestamp,
    pub since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Number of proofs ordered so far.
    pub attempt: u32,
    pub why: Reason,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
    /// When the tracks of the last hour began, this one too, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub begun: Vec<Timestamp>,
}

impl NetworkTrack {
    /// Whether the network was slow again and again: three times within an hour.
    pub fn flaps(&self) -> bool {
        const TIMES: usize = 3;
        self.begun.len() >= TIMES
    }
}

/// The part of the record that only the controller writes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    pub episode: Option<Episode>,
    pub network: Option<NetworkTrack>,
    /// The last finished episodes, oldest first.
    pub history: Vec<PastEpisode>,
}

/// The whole record of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    pub complaints: Vec<Complaint>,
    pub repair: Repair,
    pub order: Option<Order>,
    pub agent: Option<AgentReport>,
}

impl Record {
    /// Returns the GPU complaints that were received in this episode, or still fire.
    pub fn behind(&self, episode: &Episode) -> impl Iterator<Item = &Complaint> {
        let since = episode.started_at;
        self.complaints
            .iter()
            .filter(move |complaint| complaint.ask.rung().is_some() && (complaint.firing || complaint.seen >= since))
    }

    /// Whether nothing fires, no repair is open and no order is issued.
    pub fn is_at_rest(&self) -> bool {
        let Repair { episode, network, .. } = &self.repair;
        episode.as_ref().is_none_or(|episode| episode.phase.is_over())
            && network.as_ref().is_none_or(|track| track.phase.is_over())
            && self.order.is_none()
            && self.complaints.iter().all(|complaint| !complaint.firing)
    }

    /// Returns the urgency of the episode: that of its most urgent alert; critical if a person
    /// began it.
    pub fn severity(&self, episode: &Episode) -> Severity {
        if episode.by_person() {
            return Severity::Critical;
        }
        self.behind(episode).map(Complaint::severity).max().unwrap_or(Severity::Warning)
    }

    /// Returns the agent's report, if it is on the order `id`.
    pub fn report_on(&self, id: &str) -> Option<&AgentReport> {
        self.agent.as_ref().filter(|report| report.order_id == id)
    }
}
