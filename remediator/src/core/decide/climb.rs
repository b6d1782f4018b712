//! The next step of an open episode. The conditions of all phases come first: the Node exists, is
//! the same one, and carries our taint. Then the phase decides.

use super::moment::{Moment, Opinion};
use super::taint_steps::{self, TaintEnd, Tainted};
use super::transitions::{climb_to, noting, stabilising, stays_because, to};
use super::{entry, phases, provisioning};
use crate::core::complaints;
use crate::core::observation::NodeView;
use crate::core::record::{Episode, Phase, Provisioning, Rung};
use crate::core::taint::Taint;
use crate::core::why::{Reason, Why};

/// Returns the next step of the GPU repair.
pub(super) fn advance(moment: Moment) -> Opinion<Episode> {
    match &moment.record.repair.episode {
        Some(episode) if !episode.phase.is_over() => open(moment, episode),
        _ => entry::open(moment),
    }
}

fn open(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let Some(node) = &moment.seen.node else {
        return provisioning::without_node(moment, episode).unwrap_or_else(|| deleted(moment, episode));
    };
    if node.uid != episode.node_uid {
        return recreated(moment, episode, node);
    }
    if let Some(taint) = episode.taint
        && let Some(opinion) = taint_steps::advance(moment, episode, node, taint)
    {
        return opinion;
    }
    if let Some(opinion) = raised(moment, episode, node) {
        return opinion;
    }
    if let Some(opinion) = carried_out(moment, episode, node) {
        return opinion;
    }
    phases::advance(moment, episode, node)
}

/// The Node was deleted. After an order it may be the order's own work: some sites delete the Node
/// of a machine that goes down. It is waited for, so that it is proven; if it does not come back,
/// that is a failed attempt.
fn deleted(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let why = Reason::new(Why::NodeGone, "the Node object was deleted");
    if !is_ordered(episode) {
        return to(moment, episode, Phase::NodeGone, why);
    }
    let boots = moment.boot_ends(episode.since);
    let ends = boots.max(episode.until.unwrap_or(boots));
    if moment.now >= ends {
        let text = "the Node object was deleted after the order, and not created again by the deadline";
        let noted = noting(moment, episode, Reason::new(Why::DidNotComeBack, text), &[]);
        return to(moment, &noted, Phase::NodeGone, why);
    }
    let text = format!("the Node object was deleted after the order; it may be created again before {ends:.0}");
    let opinion = stays_because(moment, episode, Reason::new(Why::NodeGone, text));
    Opinion { look_again: Some(moment.until(ends)), ..opinion }
}

/// Whether a reboot or a reimage was ordered, and the node is not proven yet.
pub(super) fn is_ordered(episode: &Episode) -> bool {
    let ordered = matches!(episode.phase, Phase::Reimaging | Phase::Rebooting | Phase::Stabilising | Phase::Proving);
    let sent = episode.provisioning.as_ref().is_none_or(Provisioning::is_out);
    ordered && sent && episode.rung != Rung::Manual
}

/// A boot that somebody else ordered, or that came by itself, before our order: it is the reboot of
/// this rung, so it is proven. A reimage is not done by it: its evidence is of the old boot.
fn carried_out(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let before_order = matches!(episode.phase, Phase::Waiting | Phase::Capturing | Phase::Draining);
    if !before_order || episode.taint.is_none() || node.boot_id == episode.boot_id {
        return None;
    }
    let why = Reason::new(Why::UnexpectedReboot, "the node rebooted before our order; its new boot is proven");
    match episode.rung {
        Rung::Reboot => Some(stabilising(moment, episode.clone(), node, why)),
        Rung::Reimage if episode.is_reimaged() => Some(stabilising(moment, episode.clone(), node, why)),
        Rung::Reimage if episode.phase != Phase::Waiting => Some(to(moment, episode, Phase::Waiting, why)),
        Rung::Reimage | Rung::Manual => None,
    }
}

/// The Node was deleted and created again. On a new boot it is proven before anything else. On the
/// old boot the repair continues and its taint is placed again.
fn recreated(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let mut next = Episode { node_uid: node.uid.clone(), ..episode.clone() };
    next.taint = next.taint.map(|taint| Taint::placing(taint.key));
    // A node that was never tainted was never changed, so nothing has to be proven.
    let untouched = episode.taint.is_none() && episode.phase == Phase::Waiting;
    if untouched || node.boot_id == episode.boot_id || provisioning::has(episode) {
        let why = Reason::new(Why::NodeRecreated, "the Node object was created again");
        if !provisioning::has(episode) {
            next.boot_id.clone_from(&node.boot_id);
        }
        next.why = why.clone();
        return Opinion { next: Some(next), why, look_again: None };
    }
    let why = Reason::new(Why::NodeRecreated, "the Node object was created again on a new boot");
    next.taint = next.taint.or(Some(Taint::placing(episode.rung.taint())));
    // A new boot needs a new proof. The order's id counts the boots, so a report on the old one
    // does not match.
    next.unexpected_boots += 1;
    stabilising(moment, next, node, why)
}

impl Tainted for Episode {
    fn why(&self) -> &Reason {
        &self.why
    }

    fn with_taint(&self, taint: Option<Taint>) -> Self {
        Self { taint, ..self.clone() }
    }

    fn end(self, moment: Moment, how: TaintEnd) -> Opinion<Self> {
        match how {
            TaintEnd::Released => to(moment, &self, Phase::Released, taint_steps::released(moment)),
            // Its checks passed before anything was done: nothing was repaired, so it did not heal.
            TaintEnd::Removed if matches!(self.phase, Phase::Waiting | Phase::Draining) => {
                to(moment, &self, Phase::Recovered, self.why.clone())
            }
            TaintEnd::Removed => to(moment, &self, Phase::Healed, self.why.clone()),
        }
    }
}

/// Moves to a higher rung if one is asked for while no disruptive order is out. What is asked for
/// during an order is taken up on the new boot.
fn raised(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let ordered = matches!(episode.phase, Phase::Reimaging | Phase::Rebooting);
    if ordered || matches!(episode.phase, Phase::Escalating | Phase::Escalated) {
        return None;
    }
    let by_person = node.taints.iter().filter_map(|key| Rung::of_taint(*key)).max();
    let last_end = moment.last_end(moment.record.repair.history.last().map(|past| past.ended_at));
    let board = moment.board();
    let by_alert = complaints::asked(&board, last_end);
    match (by_person, by_alert) {
        (Some(rung), by_alert) if rung > episode.rung && by_alert.is_none_or(|(other, _)| other <= rung) => {
            let whom = node.by_whom("repair", moment.now);
            let why = Reason::new(Why::TaintedByPerson, format!("a person put this rung's taint on the node{whom}"));
            let mut opinion = climb_to(moment, episode, rung, why);
            // The step is the beginning of the new rung, no outcome of the old one.
            let step = opinion.next.as_mut().and_then(|next| next.steps.last_mut());
            step.into_iter().for_each(|step| step.rung = rung);
            Some(opinion)
        }
        (_, Some((rung, complaint))) if rung > episode.rung => {
            Some(climb_to(moment, episode, rung, Reason::new(Why::Complaint, complaint.summary.as_str())))
        }
        _ => None,
    }
}
