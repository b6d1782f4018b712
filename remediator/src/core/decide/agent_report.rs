//! The agent's report on the order of a phase.

use super::moment::Moment;
use crate::core::record::{AgentReport, Episode, NetworkTrack};

/// Returns the agent's report on the order of the episode's phase.
pub(super) fn report<'a>(moment: Moment<'a>, episode: &Episode) -> Option<&'a AgentReport> {
    episode.order_id().and_then(|id| moment.record.report_on(&id))
}

/// Returns the same report once the agent has finished the order.
pub(super) fn last_word<'a>(moment: Moment<'a>, episode: &Episode) -> Option<&'a AgentReport> {
    report(moment, episode).filter(|report| report.state.is_over())
}

/// Returns the id of the current network proof.
pub(super) fn network_order_id(track: &NetworkTrack) -> String {
    format!("n{}-prove-{}", track.number, track.attempt)
}
