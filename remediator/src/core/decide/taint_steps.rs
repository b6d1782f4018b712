//! The steps of a taint, the same for a repair and for a slow network: intent recorded, seen on the
//! node, removal recorded, gone from the node.

use super::moment::{Moment, Opinion};
use crate::core::observation::NodeView;
use crate::core::taint::{Taint, TaintState};
use crate::core::why::{Reason, Why};

/// How a track loses its taint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TaintEnd {
    /// A person removed it.
    Released,
    /// The controller removed it after the node was proven healthy.
    Removed,
}

/// A part of the record that carries a taint: the episode, or the network track.
pub(super) trait Tainted: Sized {
    fn why(&self) -> &Reason;
    fn with_taint(&self, taint: Option<Taint>) -> Self;
    /// Ends the track, whose taint is gone.
    fn end(self, moment: Moment, how: TaintEnd) -> Opinion<Self>;
}

/// Advances the state of the taint; `None` when it is confirmed and on the node. If a confirmed
/// taint is missing, a person released the node.
pub(super) fn advance<T: Tainted>(moment: Moment, track: &T, node: &NodeView, taint: Taint) -> Option<Opinion<T>> {
    let present = node.taints.contains(&taint.key);
    let replaced_is_gone = taint.replaces.is_some_and(|old| !node.taints.contains(&old));
    let stays = |why, what| {
        let why = Reason::new(why, format!("{what} the taint {}", taint.key));
        Some(Opinion { next: None, why, look_again: None })
    };
    match taint.state {
        // The lower taints go in the same write. One that stayed would later look like a person's.
        TaintState::Placing if present && taint.key.replaces(&node.taints).is_empty() => {
            let confirmed = Taint { state: TaintState::Confirmed, replaces: None, ..taint };
            let next = Some(track.with_taint(Some(confirmed)));
            Some(Opinion { next, why: track.why().clone(), look_again: None })
        }
        TaintState::Placing if replaced_is_gone && !present => {
            Some(track.with_taint(None).end(moment, TaintEnd::Released))
        }
        TaintState::Placing => stays(Why::PlacingTaint, "placing"),
        TaintState::Confirmed if present => None,
        TaintState::Confirmed => Some(track.with_taint(None).end(moment, TaintEnd::Released)),
        TaintState::Removing if present => stays(Why::RemovingTaint, "removing"),
        TaintState::Removing => Some(track.with_taint(None).end(moment, TaintEnd::Removed)),
    }
}

/// The reason of a release, by kubectl or by any other client.
pub(super) fn released(moment: Moment) -> Reason {
    let whom = moment.seen.node.as_ref().map(|node| node.by_whom("release", moment.now)).unwrap_or_default();
    Reason::new(Why::ReleasedByHand, format!("a person removed our taint from the node{whom}"))
}
