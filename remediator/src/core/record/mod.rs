//! The record of one node, as the core sees it: complaints, the open or last episode, the network track, the order, what
//! the agent says of it, and history. The wire form is `NodeRepair` (`wire::node_repair`).

mod complaint;
mod episode;
mod order;

pub use self::complaint::{Ask, Complaint, Severity};
pub use self::episode::*;
pub use self::order::*;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::taint::Taint;
use super::why::Reason;
use ossci_base::closed_words;

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
    /// Proofs ordered so far.
    pub attempt: u32,
    pub why: Reason,
    #[serde(rename = "nodeUID")]
    pub node_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<Taint>,
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
