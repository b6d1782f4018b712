//! The phase Waiting of a tainted node: for the pool's mode, for a person to remove a mark, for a
//! budget slot and for a fresh check.

use std::time::Duration;

use jiff::Timestamp;

use super::fresh::Evidence;
use super::moment::{Moment, Opinion};
use super::objections::{hands_off, not_reimaged, only_tainted, pods_first, untouched};
use super::transitions::{
    OUTBOX, accepting, asked, climb_to, escalating, noting, stays, stays_because, to, wait_of, waiting_mail,
};
use super::{fresh, taint_steps};
use crate::core::budget::Seat;
use crate::core::observation::NodeView;
use crate::core::policy::{Mode, Pool};
use crate::core::record::{Complaint, Episode, Mail, MailKind, Phase, Rung};
use crate::core::taint::Taint;
use crate::core::why::{Reason, Why};

pub(super) fn waiting(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    // A person hears of a node with our taint before any pool, mode, limit or gate is asked.
    if episode.rung == Rung::Manual && episode.taint.is_some() {
        return escalating(moment, episode);
    }
    let pool = moment.pool(node);
    if episode.taint.is_none() {
        return untainted(moment, episode, node, pool);
    }
    let opinion = tainted(moment, episode, node, pool);
    // In mode observe no person is asked for anything.
    if pool.is_some_and(|pool| pool.mode == Mode::Observe) { opinion } else { telling(moment, episode, opinion) }
}

/// The episode with its taint on the node.
fn tainted(moment: Moment, episode: &Episode, node: &NodeView, pool: Option<&Pool>) -> Opinion<Episode> {
    if let Some(why) = untouched(pool, episode) {
        // The label may have gone with the GPUs. The node carries our taint, so a person hears.
        let ends = moment.boot_ends(episode.since);
        if why.why == Why::NotManaged {
            if moment.now >= ends {
                return climb_to(moment, episode, Rung::Manual, why);
            }
            return Opinion { look_again: Some(moment.until(ends)), ..stays_because(moment, episode, why) };
        }
        return stays_because(moment, episode, why);
    }
    let Some(pool) = pool else { return stays(episode, None) };
    if (pool.mode, episode.rung) == (Mode::Reboot, Rung::Reimage) {
        return climb_to(moment, episode, Rung::Manual, not_reimaged(pool));
    }
    if let Some(why) = hands_off(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    if let Some(why) = pods_first(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    match (pool.mode, episode.rung) {
        (Mode::Observe | Mode::Taint, _) => stays_because(moment, episode, only_tainted(pool)),
        (Mode::Reboot | Mode::Reimage, _) if moment.seen.seat != Some(Seat::Held) => {
            stays_because(moment, episode, queueing(moment.seen.seat))
        }
        (Mode::Reboot | Mode::Reimage, _) => match fresh::evidence(moment, episode, node) {
            Evidence::Given(episode) => capture(moment, &episode, node),
            Evidence::Wanted(opinion) => opinion,
        },
    }
}

/// The episode before its first taint.
fn untainted(moment: Moment, episode: &Episode, node: &NodeView, pool: Option<&Pool>) -> Opinion<Episode> {
    let by_person = node.taints.iter().any(|key| key.is_repair());
    if fresh::is_asked_by_person(episode) && !node.taints.contains(&episode.rung.taint()) {
        return to(moment, episode, Phase::Released, taint_steps::released(moment));
    }
    let firing = |complaint: &&Complaint| complaint.firing && complaint.ask.rung().is_some();
    if !by_person && !moment.board().iter().any(|complaint| firing(&complaint)) {
        let why = Reason::new(Why::ComplaintResolved, "the complaints were resolved before anything was done");
        return to(moment, episode, Phase::Recovered, why);
    }
    if let Some(why) = untouched(pool, episode) {
        return stays_because(moment, episode, why);
    }
    if !by_person && !moment.record.complaints.iter().filter(firing).any(|complaint| moment.is_active(complaint)) {
        // Without an answer of Alertmanager no taint is placed, but a person hears.
        let unknown = moment.seen.halt.as_ref().is_some_and(|halt| halt.why == Why::AlertsUnknown);
        if unknown && episode.rung == Rung::Manual && episode.phase == Phase::Waiting {
            return escalating(moment, episode);
        }
        let why = Reason::new(Why::Unconfirmed, "Alertmanager does not list the alert as active; no taint is placed");
        return Opinion { look_again: Some(UNCONFIRMED), ..stays_because(moment, episode, why) };
    }
    if moment.seen.taints_full && !node.taints.contains(&episode.rung.taint()) {
        // The limit holds the taint back, not the mail.
        if episode.rung == Rung::Manual && episode.phase == Phase::Waiting {
            return escalating(moment, episode);
        }
        let pool = pool.map(|pool| pool.name.as_str()).unwrap_or_default();
        let why = Reason::new(Why::TaintLimit, format!("pool {pool} has reached its limit of tainted nodes"));
        return stays_because(moment, episode, why);
    }
    let next = Episode { taint: Some(Taint::placing(episode.rung.taint())), ..episode.clone() };
    Opinion { next: Some(next), why: episode.why.clone(), look_again: None }
}

/// A person heard of a node that could not be tainted. It ends, or gets its taint, like one that
/// waits.
pub(super) fn escalated(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if episode.taint.is_some() {
        return verify(moment, episode, node).unwrap_or_else(|| stays(episode, None));
    }
    let mut opinion = untainted(moment, episode, node, moment.pool(node));
    if let Some(next) = opinion.next.as_mut().filter(|next| next.taint.is_some()) {
        next.why = asked(next);
        opinion.why = next.why.clone();
    }
    opinion
}

/// Proves a node that a person says is repaired. A time in the future asks for nothing yet: it
/// would ask again and again. The clock of the one who asks may be ahead of ours.
fn verify(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let asked = node.verify.as_ref().filter(|asked| asked.at > episode.since && node.ready)?;
    if asked.at > moment.now {
        return Some(stays(episode, Some(moment.until(asked.at))));
    }
    let why = Reason::new(Why::VerifyRequested, format!("a person asked for a proof ({})", asked.text));
    let mut next = noting(moment, episode, why.clone(), &[]);
    // The order's id counts the attempts: the report on an earlier proof does not match.
    next.attempt += 1;
    next.boot_id.clone_from(&node.boot_id);
    let mut opinion = to(moment, &next, Phase::Proving, why);
    if let Some(next) = &mut opinion.next {
        next.until = Some(moment.after(moment.policy.times.proof));
    }
    Some(opinion)
}

/// No wait is endless: a mail tells a person of a node that has waited for long with our taint. The
/// wait goes on.
fn telling(moment: Moment, episode: &Episode, opinion: Opinion<Episode>) -> Opinion<Episode> {
    if opinion.next.is_some() {
        return opinion;
    }
    let told = episode.since.saturating_add(moment.policy.times.waiting).unwrap_or(Timestamp::MAX);
    let message_id = waiting_mail(moment, episode);
    let wait = format!(".{}.", wait_of(episode));
    let known = episode.mails.iter().any(|mail| mail.message_id.contains(&wait));
    let mut next = accepting(moment, episode);
    if !known && moment.now >= told {
        next.mails.push(Mail::due(MailKind::Waiting, message_id, moment.now));
    }
    let wait = (!known && moment.now < told).then(|| moment.until(told));
    let posted = next.mails.iter().any(|mail| mail.accepted_at.is_none()).then_some(OUTBOX);
    let look_again = opinion.look_again.into_iter().chain(wait).chain(posted).min();
    Opinion { next: (next != *episode).then_some(next), look_again, ..opinion }
}

/// How soon Alertmanager is asked again for an alert that it did not confirm.
pub(super) const UNCONFIRMED: Duration = Duration::from_secs(10);

/// Captures the evidence that a reboot would destroy.
fn capture(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let why = Reason::new(Why::CaptureOrdered, "capturing check results and kernel log first");
    let mut opinion = to(moment, episode, Phase::Capturing, why);
    if let Some(next) = &mut opinion.next {
        next.boot_id.clone_from(&node.boot_id);
        next.until = Some(moment.after(moment.policy.times.capture));
    }
    opinion
}

/// The reason to wait for a budget slot, which is required before anything disruptive.
fn queueing(seat: Option<Seat>) -> Reason {
    let message = match seat {
        None => "the pool or the budget object is not known yet".to_owned(),
        Some(Seat::Waiting { position, of }) => {
            format!("position {position} of {of} in the queue for a budget slot of the pool")
        }
        Some(Seat::Free | Seat::Held) => "taking a budget slot of the pool".to_owned(),
    };
    Reason::new(Why::WaitingForBudget, message)
}
