//! The reset of a dead node by its BMC. Redfish knows no boot ID, so an attempt is recorded before
//! it is made, and one of unknown outcome counts as made. Only a new boot ID is proof.

use std::time::Duration;

use jiff::Timestamp;

use super::moment::{Moment, Opinion};
use super::objections::hands_off;
use super::transitions::{climb_to, noting, stays, stays_because};
use crate::core::observation::NodeView;
use crate::core::record::{Episode, Reset, ResetState, Rung};
use crate::core::why::{Reason, Why};

/// Limit of resets in one episode that may have been sent.
const RESETS: usize = 2;
/// Limit of all requests in one episode. A BMC that is restarted or moved answers some minutes
/// later; one with another password locks the account after a few wrong ones.
const REQUESTS: usize = 5;
/// Delay before asking a BMC again that refused or was not reached. All requests take longer than
/// the window in which one controller's resets are limited.
const ASK_AGAIN: Duration = Duration::from_secs(180);
/// How often to check whether a node has become dead, or its pool well.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Records the outcome of the pending reset, if there is one.
pub(super) fn answered(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let pending = episode.resets.last().filter(|reset| reset.state == ResetState::Pending)?;
    let Some(answer) = moment.seen.reset.as_ref().filter(|answer| answer.id == pending.id) else {
        return Some(stays(episode, None));
    };
    let why = Reason::new(Why::BmcReset, answer.message.clone());
    let mut next = noting(moment, episode, why.clone(), &[]);
    if let Some(reset) = next.resets.last_mut() {
        reset.state = answer.state;
    }
    if answer.state == ResetState::Failed {
        next.until = Some(moment.after(ASK_AGAIN));
    }
    next.why = why.clone();
    Some(Opinion { next: Some(next), why, look_again: None })
}

/// Asks for a reset or gives up. No new boot came in time, or the node died before its agent took
/// the order.
pub(super) fn reset(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let gives_up = |because: &str| {
        let text = format!("no new boot ID was seen by the deadline of the reboot{because}");
        climb_to(moment, episode, Rung::Manual, Reason::new(Why::DidNotComeBack, text))
    };
    if node.ready {
        return gives_up("");
    }
    if !moment.seen.bmc {
        return gives_up(", and the policy names no BMC to reset it");
    }
    let sent = episode.resets.iter().filter(|reset| reset.state != ResetState::Failed).count();
    if sent >= RESETS || episode.resets.len() >= REQUESTS {
        return gives_up(if sent == 0 { ", and its BMC accepted no reset" } else { ", nor after resets by its BMC" });
    }
    let waits = |why: Reason| Opinion { look_again: Some(LOOK_AGAIN), ..stays_because(moment, episode, why) };
    // What keeps the BMC from resetting the node keeps no person from hearing of it.
    let longest = moment.boot_time() + moment.dump_time();
    let for_long =
        episode.until.is_none_or(|until| moment.now >= until.saturating_add(longest).unwrap_or(Timestamp::MAX));
    if let Some(why) = hands_off(moment, episode, node) {
        if for_long {
            return gives_up(&format!(", and its BMC does not reset it: {}", why.message));
        }
        return waits(why);
    }
    if !moment.seen.dead {
        if for_long {
            return gives_up(", and its kubelet still renews its Lease, so its BMC does not reset it");
        }
        let text = "no new boot yet; its BMC resets it when its kubelet has not renewed its Lease for long enough";
        return waits(Reason::new(Why::NotReady, text));
    }
    if moment.seen.many_down {
        if for_long {
            return gives_up(", and too many nodes of the pool are down for its BMC to reset it");
        }
        let text = "too many nodes of the pool are not Ready, so a common cause is likely: no reset by its BMC";
        return waits(Reason::new(Why::ManyDown, text));
    }
    let id = format!("{}-{}-{}-reset-{}", episode.number, episode.rung, episode.attempt, episode.resets.len() + 1);
    let why = Reason::new(Why::BmcReset, format!("the node is dead; asking its BMC to end boot {}", episode.boot_id));
    let mut next = noting(moment, episode, why.clone(), &[]);
    next.resets.push(Reset { id, at: moment.now, boot_id: episode.boot_id.clone(), state: ResetState::Pending });
    next.until = Some(moment.after(moment.boot_time()));
    next.why = why.clone();
    Opinion { next: Some(next), why, look_again: None }
}
