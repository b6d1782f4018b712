//! A tainted node that waits: for the pool's mode, for a person's marks to go, for a place in the budget, and, where its
//! complaint is old, for one more check.

use std::time::Duration;

use super::climb::{climb_to, escalating, noting, to};
use super::phases::{UNEXPECTED_BOOTS, let_go, named, stays, stays_because};
use super::{Moment, NodeView, Opinion, act};
use crate::core::budget::Seat;
use crate::core::policy::{DrainMode, Mode, Pool};
use crate::core::record::{Episode, Phase, Proof, Rung};
use crate::core::taint::{Taint, TaintState};
use crate::core::why::{Reason, Why};

/// A node whose agent does not answer for so long is not healthy enough to be let off.
const CHECK_FIRST: Duration = Duration::from_secs(300);

/// What keeps anything disruptive from starting: a mark on the node, or what is around it.
pub(super) fn hands_off(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    if let Some(why) = marked(moment, node) {
        return Some(why);
    }
    if silenced(moment, episode) {
        return Some(Reason::new(Why::Silenced, "every alert behind this repair is silenced"));
    }
    moment.seen.halt.clone()
}

/// What people put on a node that nobody is to drain, reboot or reimage.
pub(super) fn marked(moment: Moment, node: &NodeView) -> Option<Reason> {
    if let Some(text) = &node.hold {
        return Some(Reason::new(Why::OnHold, format!("a person said hands off: {text}")));
    }
    let repairs_cordoned = moment.policy.pool_of(&node.labels).is_some_and(|pool| pool.repair_cordoned);
    if node.cordoned && !repairs_cordoned {
        return Some(Reason::new(Why::Cordoned, "the node is cordoned"));
    }
    let mark = moment.policy.maintenance.on(node)?;
    Some(Reason::new(Why::UnderMaintenance, format!("the node carries {mark}, a mark of maintenance")))
}

/// All that was told of the node in this episode is silenced. What a person began is not an alert's affair.
fn silenced(moment: Moment, episode: &Episode) -> bool {
    let mut behind = moment.record.behind(episode).peekable();
    !episode.by_person()
        && behind.peek().is_some()
        && behind.all(|complaint| moment.seen.silenced.contains(&complaint.fingerprint))
}

pub(super) fn waiting(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let pool = moment.policy.pool_of(&node.labels);
    if let Some(why) = untouched(pool, episode) {
        let asked = moment.board().iter().any(|complaint| complaint.firing && complaint.ask.rung().is_some());
        if episode.taint.is_none() && !asked && !node.taints.iter().any(|key| key.is_repair()) {
            let why = Reason::new(Why::ComplaintResolved, "the complaints went away; nothing had been done");
            return to(moment, episode, Phase::Recovered, why);
        }
        return stays_because(moment, episode, why);
    }
    let Some(pool) = pool else { return stays(episode, None) };
    if episode.taint.is_none() {
        if moment.seen.taints_full && !node.taints.contains(&episode.rung.taint()) {
            let why = format!("as many nodes of pool {} as may be carry our taints already", pool.name);
            return stays_because(moment, episode, Reason::new(Why::TaintLimit, why));
        }
        let next = Episode { taint: Some(Taint::placing(episode.rung.taint())), ..episode.clone() };
        return Opinion { next: Some(next), why: episode.why.clone(), look_again: None };
    }
    if episode.rung == Rung::Manual {
        return escalating(moment, episode);
    }
    if let Some(why) = hands_off(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    if let Some(why) = jobs(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    match (pool.mode, episode.rung) {
        (Mode::Observe | Mode::Taint, _) => stays_because(moment, episode, only_tainted(pool)),
        (Mode::Reboot, Rung::Reimage) => climb_to(moment, episode, Rung::Manual, not_reimaged(pool)),
        (Mode::Reboot | Mode::Reimage, _) if moment.seen.seat != Some(Seat::Held) => {
            stays_because(moment, episode, queueing(moment.seen.seat))
        }
        (Mode::Reboot | Mode::Reimage, _) => {
            check_first(moment, episode, node).unwrap_or_else(|| capture(moment, episode, node))
        }
    }
}

/// Nothing is done to a node whose pool is only watched, or that is in none.
fn untouched(pool: Option<&Pool>, episode: &Episode) -> Option<Reason> {
    let Some(pool) = pool else {
        return Some(Reason::new(Why::NotManaged, "no pool of the policy selects this node"));
    };
    let text = || {
        let taint = episode.rung.taint();
        format!("pool {} is in mode observe; else the node would get the taint {taint}", pool.name)
    };
    (pool.mode == Mode::Observe).then(|| Reason::new(Why::ObserveOnly, text()))
}

fn only_tainted(pool: &Pool) -> Reason {
    Reason::new(Why::ModeTaintOnly, format!("pool {} is in mode taint", pool.name))
}

fn not_reimaged(pool: &Pool) -> Reason {
    Reason::new(Why::ModeStopsHere, format!("pool {} is not reimaged by machine", pool.name))
}

/// What ends a rung that began, as long as nothing of it is past recall.
pub(super) fn called_off(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    hands_off(moment, episode, node).or_else(|| disallowed(moment, episode, node))
}

/// What the pool's mode does not allow, although the rung began: the policy was changed in the middle.
fn disallowed(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    let pool = moment.policy.pool_of(&node.labels);
    untouched(pool, episode).or_else(|| match (pool?.mode, episode.rung) {
        (Mode::Observe | Mode::Taint, _) => pool.map(only_tainted),
        (Mode::Reboot, Rung::Reimage) => pool.map(not_reimaged),
        (Mode::Reboot | Mode::Reimage, _) => None,
    })
}

/// Pods that may end by themselves, in a pool that lets them: no place in the budget is taken meanwhile.
fn jobs(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    let waits = moment.policy.pool_of(&node.labels).is_some_and(|pool| pool.drain == DrainMode::WaitForJobs);
    let ends = episode.started_at.saturating_add(moment.policy.times.jobs).unwrap_or(episode.started_at);
    let pods = &moment.seen.pods;
    (waits && moment.now < ends && !pods.is_empty())
        .then(|| Reason::new(Why::WaitingForJobs, format!("{} may end by itself before {ends:.0}", named(pods))))
}

/// The complaint was a long time ago: fresh passes end the episode without a reboot, anything else goes on. A person's
/// taint is not doubted, and a repair that has begun is proven anyway.
fn check_first(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let noted = |whys: &[Why]| episode.steps.iter().any(|step| whys.contains(&step.outcome.why));
    let settled = noted(&[Why::NothingToEvict, Why::DrainDeadlinePassed, Why::StillFailing]);
    let old = moment.until(episode.started_at.saturating_add(moment.policy.times.fresh_evidence).unwrap_or(moment.now));
    if episode.by_person() || settled || !old.is_zero() {
        return None;
    }
    let checking = episode.why.why == Why::CheckingFirst;
    let rebooted = checking && node.boot_id != episode.boot_id && episode.unexpected_boots < UNEXPECTED_BOOTS;
    if !checking || rebooted {
        let why = Reason::new(Why::CheckingFirst, "the complaint is old; the node is checked once more");
        let mut opinion = to(moment, episode, Phase::Waiting, why);
        if let Some(next) = &mut opinion.next {
            next.until = Some(moment.after(CHECK_FIRST));
            next.boot_id.clone_from(&node.boot_id);
            next.unexpected_boots += u32::from(rebooted);
            // What was said of an earlier check is old as well: this one gets an id of its own.
            let said = act::report(moment, next).is_some();
            next.attempt += u32::from(rebooted || said);
        }
        return Some(opinion);
    }
    let report = act::last_word(moment, episode);
    let late = episode.until.is_none_or(|until| moment.now >= until);
    match report {
        Some(report) if report.proof == Some(Proof::Passed) && node.boot_id == episode.boot_id => {
            Some(let_go(moment, episode, report))
        }
        None if !late => Some(stays(episode, episode.until.map(|until| moment.until(until)))),
        other => {
            let message = other.map_or("nobody answered".to_owned(), |report| report.message.clone());
            let why = Reason::new(Why::StillFailing, message);
            let verdicts = other.map(|report| report.verdicts.clone()).unwrap_or_default();
            let next = Episode { why: why.clone(), until: None, ..noting(moment, episode, why.clone(), &verdicts) };
            Some(Opinion { next: Some(next), why, look_again: None })
        }
    }
}

/// What a reboot destroys is written down before it.
fn capture(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let why = Reason::new(Why::CaptureOrdered, "what the checks and the kernel say is written down first");
    let mut opinion = to(moment, episode, Phase::Capturing, why);
    if let Some(next) = &mut opinion.next {
        next.boot_id.clone_from(&node.boot_id);
        next.until = Some(moment.after(moment.policy.times.capture));
    }
    opinion
}

/// Before anything disruptive the episode has to hold a place in its pool's budget.
fn queueing(seat: Option<Seat>) -> Reason {
    let message = match seat {
        None => "the pool or the budget object is not known yet".to_owned(),
        Some(Seat::Waiting { position, of }) => {
            format!("{position} of {of} that wait for a place in the pool's budget")
        }
        Some(Seat::Free | Seat::Held) => "taking a place in the pool's budget".to_owned(),
    };
    Reason::new(Why::WaitingForBudget, message)
}

/// Whether the episode is one that a place in the budget is for: it is about to be disruptive, or is.
pub(super) fn needs_place(moment: Moment, episode: &Episode, node: &NodeView) -> bool {
    match episode.phase {
        Phase::Capturing
        | Phase::Draining
        | Phase::Reimaging
        | Phase::Rebooting
        | Phase::Stabilising
        | Phase::Proving => episode.rung != Rung::Manual,
        Phase::Waiting => {
            let mode = moment.policy.pool_of(&node.labels).map(|pool| pool.mode);
            let allowed = match episode.rung {
                Rung::Reboot => mode >= Some(Mode::Reboot),
                Rung::Reimage => mode >= Some(Mode::Reimage),
                Rung::Manual => false,
            };
            let tainted = episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
            // On its way from one rung to the next the episode keeps its place.
            let moving = episode.taint.is_some_and(|taint| taint.replaces.is_some());
            allowed
                && (tainted || moving)
                && hands_off(moment, episode, node).is_none()
                && jobs(moment, episode, node).is_none()
        }
        _ => false,
    }
}
