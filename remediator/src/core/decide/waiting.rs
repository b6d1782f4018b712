//! The phase Waiting of a tainted node: for the pool's mode, for a person to remove a mark, for a
//! budget slot and, if its complaint is old, for one more check.

use std::time::Duration;

use super::agent_report;
use super::moment::{Moment, Opinion};
use super::objections::{hands_off, jobs, not_reimaged, only_tainted, untouched};
use super::transitions::{UNEXPECTED_BOOTS, climb_to, escalating, let_go, noting, stays, stays_because, to};
use crate::core::budget::Seat;
use crate::core::observation::NodeView;
use crate::core::policy::Mode;
use crate::core::record::{Episode, Phase, Proof, Rung};
use crate::core::taint::Taint;
use crate::core::why::{Reason, Why};

/// Deadline of the check on an old complaint. If the agent does not answer by then, the repair
/// continues.
const CHECK_FIRST: Duration = Duration::from_secs(300);

pub(super) fn waiting(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    // A person hears of a node with our taint before any pool, mode, limit or gate is asked.
    if episode.rung == Rung::Manual && episode.taint.is_some() {
        return escalating(moment, episode);
    }
    let pool = moment.policy.pool_of(&node.labels);
    if let Some(why) = untouched(pool, episode) {
        let asked = moment.board().iter().any(|complaint| complaint.firing && complaint.ask.rung().is_some());
        if episode.taint.is_none() && !asked && !node.taints.iter().any(|key| key.is_repair()) {
            let why = Reason::new(Why::ComplaintResolved, "the complaints were resolved before anything was done");
            return to(moment, episode, Phase::Recovered, why);
        }
        // The label may have gone with the GPUs. The node carries our taint, so a person hears.
        let ends = episode.since.saturating_add(moment.policy.times.boot).unwrap_or(episode.since);
        if why.why == Why::NotManaged && episode.taint.is_some() {
            if moment.now >= ends {
                return climb_to(moment, episode, Rung::Manual, why);
            }
            return Opinion { look_again: Some(moment.until(ends)), ..stays_because(moment, episode, why) };
        }
        return stays_because(moment, episode, why);
    }
    let Some(pool) = pool else { return stays(episode, None) };
    if episode.taint.is_none() {
        if moment.seen.taints_full && !node.taints.contains(&episode.rung.taint()) {
            let why = format!("pool {} has reached its limit of tainted nodes", pool.name);
            return stays_because(moment, episode, Reason::new(Why::TaintLimit, why));
        }
        let next = Episode { taint: Some(Taint::placing(episode.rung.taint())), ..episode.clone() };
        return Opinion { next: Some(next), why: episode.why.clone(), look_again: None };
    }
    if (pool.mode, episode.rung) == (Mode::Reboot, Rung::Reimage) {
        return climb_to(moment, episode, Rung::Manual, not_reimaged(pool));
    }
    if let Some(why) = hands_off(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    if let Some(why) = jobs(moment, episode, node) {
        return stays_because(moment, episode, why);
    }
    match (pool.mode, episode.rung) {
        (Mode::Observe | Mode::Taint, _) => stays_because(moment, episode, only_tainted(pool)),
        (Mode::Reboot | Mode::Reimage, _) if moment.seen.seat != Some(Seat::Held) => {
            stays_because(moment, episode, queueing(moment.seen.seat))
        }
        (Mode::Reboot | Mode::Reimage, _) => {
            check_first(moment, episode, node).unwrap_or_else(|| capture(moment, episode, node))
        }
    }
}

/// Checks the node once more if the complaint is old, or of another boot: fresh passes end the
/// episode without a reboot, anything else continues it. Skipped for a person's taint, and for a
/// repair that has begun, which is proven anyway.
fn check_first(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let noted = |whys: &[Why]| episode.steps.iter().any(|step| whys.contains(&step.outcome.why));
    let settled = noted(&[Why::NothingToEvict, Why::DrainDeadlinePassed, Why::StillFailing]);
    let evidence = moment.record.behind(episode).map(|complaint| complaint.since).max();
    let evidence = evidence.map_or(episode.started_at, |since| since.min(episode.started_at));
    let old = moment.until(evidence.saturating_add(moment.policy.times.fresh_evidence).unwrap_or(moment.now));
    let checking = episode.why.why == Why::CheckingFirst;
    let other_boot = node.boot_id != episode.boot_id;
    if episode.by_person() || !(checking || other_boot || old.is_zero() && !settled) {
        return None;
    }
    let rebooted = checking && other_boot && episode.unexpected_boots < UNEXPECTED_BOOTS;
    if !checking || rebooted {
        let because = if other_boot { "the node rebooted" } else { "the complaint is old" };
        let why = Reason::new(Why::CheckingFirst, format!("{because}; the node is checked once more"));
        let mut opinion = to(moment, episode, Phase::Waiting, why);
        if let Some(next) = &mut opinion.next {
            next.until = Some(moment.after(CHECK_FIRST));
            next.boot_id.clone_from(&node.boot_id);
            next.unexpected_boots += u32::from(rebooted);
            // A report on an earlier check is old as well: this check gets its own id.
            let said = agent_report::report(moment, next).is_some();
            next.attempt += u32::from(rebooted || said);
        }
        return Some(opinion);
    }
    let report = agent_report::last_word(moment, episode);
    let late = episode.until.is_none_or(|until| moment.now >= until);
    match report {
        Some(report) if report.proof == Some(Proof::Passed) && node.boot_id == episode.boot_id => {
            Some(let_go(moment, episode, report))
        }
        None if !late => Some(stays(episode, episode.until.map(|until| moment.until(until)))),
        other => {
            let message = other.map_or("the agent did not answer".to_owned(), |report| report.message.clone());
            let why = Reason::new(Why::StillFailing, message);
            let verdicts = other.map(|report| report.verdicts.clone()).unwrap_or_default();
            let next = Episode { why: why.clone(), until: None, ..noting(moment, episode, why.clone(), &verdicts) };
            Some(Opinion { next: Some(next), why, look_again: None })
        }
    }
}

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
