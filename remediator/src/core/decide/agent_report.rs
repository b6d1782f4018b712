//! The agent's report on the order that a phase stands for.

use super::moment::Moment;
use crate::core::record::{AgentReport, Episode, NetworkTrack};

/// What the agent says of the order that the episode's phase stands for.
pub(super) fn report<'a>(moment: Moment<'a>, episode: &Episode) -> Option<&'a AgentReport> {
    episode.order_id().and_then(|id| moment.record.report_on(&id))
}

/// The same, once there is no more to come.
pub(super) fn last_word<'a>(moment: Moment<'a>, episode: &Episode) -> Option<&'a AgentReport> {
    report(moment, episode).filter(|report| report.state.is_over())
}

/// The id of the network proof that is under way.
pub(super) fn network_order_id(track: &NetworkTrack) -> String {
    format!("n{}-prove-{}", track.number, track.attempt)
}
