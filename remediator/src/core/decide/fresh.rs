//! The fresh check before anything irreversible. A repair begins only on a failed check of this
//! boot that is younger than the last thing that happened to the node; if the checks pass, the
//! episode ends without a reboot.
//!
//! Whatever happens to the node or to its alerts (another boot, a mark that is put on or taken off,
//! a window that opens) sends the repair back to the phase Waiting, so that a check that was made
//! in Waiting, with nothing recorded since, is younger than all of it.

use std::time::Duration;

use super::moment::{Moment, Opinion};
use super::transitions::{UNEXPECTED_BOOTS, climb_after, climb_to, let_go, noting, stays, stays_because, to};
use super::{agent_report, out_of_band};
use crate::core::observation::NodeView;
use crate::core::record::{AgentReport, Complaint, Episode, Phase, Proof, Rung};
use crate::core::why::{Reason, Why};

/// Deadline of the check, beside a load test. A node that is not Ready gets the time of a boot.
const CHECK: Duration = Duration::from_secs(300);

/// Whether the next step may be taken.
pub(super) enum Evidence {
    /// Yes, with what was noted of the check.
    Given(Episode),
    /// No: this happens first.
    Wanted(Opinion<Episode>),
}

/// Returns the episode once there is evidence for its next step, or what has to happen first.
pub(super) fn evidence(moment: Moment, episode: &Episode, node: &NodeView) -> Evidence {
    if !is_needed(moment, episode) {
        return Evidence::Given(episode.clone());
    }
    if episode.why.why != Why::CheckingFirst {
        return Evidence::Wanted(too_early(moment, episode).unwrap_or_else(|| begin(moment, episode, node)));
    }
    if node.boot_id != episode.boot_id {
        return Evidence::Wanted(on_another_boot(moment, episode, node));
    }
    let Some(report) = agent_report::last_word(moment, episode) else {
        return unanswered(moment, episode, node);
    };
    match report.proof {
        Some(Proof::Passed) if !confirmed(moment, episode) => Evidence::Wanted(let_go(moment, episode, report)),
        // The checks do not see what this alert reports.
        Some(Proof::Passed) => {
            Evidence::Given(noting(moment, episode, Reason::new(Why::StillFailing, FOREIGN), &report.verdicts))
        }
        Some(Proof::Failed) => failed(moment, episode, report),
        Some(Proof::Unknown) | None => {
            let why = Reason::new(Why::CannotProve, format!("the node cannot be checked: {}", report.message));
            Evidence::Wanted(climb_after(moment, episode, Rung::Manual, why, &report.verdicts))
        }
    }
}

const FOREIGN: &str = "our checks pass, but an alert about something else fires";

/// Whether a complaint of this episode has resolved since its last check: what failed may have
/// passed by itself.
pub(super) fn is_outdated(moment: Moment, episode: &Episode) -> bool {
    let checked = episode.steps.iter().rev().find(|step| step.outcome.why == Why::StillFailing).map(|step| step.at);
    let resolved = |complaint: &Complaint| !complaint.firing && Some(complaint.seen) > checked;
    is_needed(moment, episode) && (checked.is_none() || moment.record.behind(episode).any(resolved))
}

/// A person's taint needs no evidence, nor does the reboot that ends a reimage, nor a complaint
/// about something that our checks do not see while it fires.
fn is_needed(moment: Moment, episode: &Episode) -> bool {
    let seen_by_us = moment.record.behind(episode).any(Complaint::is_of_our_checks);
    !is_asked_by_person(episode) && !episode.is_reimaged() && (seen_by_us || !confirmed(moment, episode))
}

/// Whether a person asked for this rung by its taint.
pub(super) fn is_asked_by_person(episode: &Episode) -> bool {
    episode.steps.iter().any(|step| step.rung == episode.rung && step.outcome.why == Why::TaintedByPerson)
}

/// Whether a complaint about something that our checks do not see fires at this moment. Where an
/// Alertmanager is configured, its last answer counts; it was asked just before a disruptive step.
fn confirmed(moment: Moment, episode: &Episode) -> bool {
    moment.record.behind(episode).any(|complaint| {
        let asks = complaint.ask.rung().is_some_and(|rung| rung >= episode.rung);
        let silenced = moment.seen.silenced.contains(&complaint.fingerprint);
        asks && complaint.firing && moment.is_active(complaint) && !complaint.is_of_our_checks() && !silenced
    })
}

/// A reimage needs failures of this boot that lie some time apart: a driver may load late.
fn too_early(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let ends = spread_ends(moment, episode)?;
    let text = format!("a reimage needs checks that fail over a longer time; the node is checked again at {ends:.0}");
    let opinion = stays_because(moment, episode, Reason::new(Why::StillFailing, text));
    Some(Opinion { look_again: Some(moment.until(ends)), ..opinion })
}

/// Until when the failures of this boot are too close together for a reimage.
fn spread_ends(moment: Moment, episode: &Episode) -> Option<jiff::Timestamp> {
    let boots = [Why::NewBoot, Why::UnexpectedReboot, Why::NodeRecreated];
    let of_this_boot = episode.steps.iter().rev().take_while(|step| !boots.contains(&step.outcome.why));
    let failed = of_this_boot.filter(|step| matches!(step.outcome.why, Why::ProofFailed | Why::StillFailing));
    let ends = failed.last()?.at.saturating_add(moment.policy.times.reimage_evidence).ok()?;
    (episode.rung == Rung::Reimage && moment.now < ends).then_some(ends)
}

/// Orders the check.
fn begin(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let why = Reason::new(Why::CheckingFirst, "the node is checked once more before anything disruptive");
    let mut opinion = to(moment, episode, episode.phase, why);
    if let Some(next) = &mut opinion.next {
        let load_test = moment.policy.proof.load_test.as_ref().filter(|_| episode.has_failed_proof());
        let check = CHECK + load_test.map_or(Duration::ZERO, |test| Duration::from_secs(test.seconds.into()));
        next.until = Some(moment.after(if node.ready { check } else { check.max(moment.boot_time()) }));
        next.boot_id.clone_from(&node.boot_id);
        // A report on an earlier check is old: this check gets its own id.
        next.attempt += u32::from(agent_report::report(moment, next).is_some());
    }
    opinion
}

fn on_another_boot(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let unexpected_boots = episode.unexpected_boots + 1;
    if unexpected_boots > UNEXPECTED_BOOTS {
        let why = Reason::new(Why::CannotProve, format!("the node rebooted {unexpected_boots} times by itself"));
        return climb_to(moment, episode, Rung::Manual, why);
    }
    let why = Reason::new(Why::UnexpectedReboot, "the node rebooted during its check");
    begin(moment, &Episode { unexpected_boots, ..noting(moment, episode, why, &[]) }, node)
}

/// The agent has not answered. A dead node can answer nothing; its BMC resets it.
fn unanswered(moment: Moment, episode: &Episode, node: &NodeView) -> Evidence {
    if moment.seen.dead && moment.seen.bmc {
        let text = "the node is not Ready and its kubelet is silent: it cannot be checked";
        return Evidence::Given(noting(moment, episode, Reason::new(Why::StillFailing, text), &[]));
    }
    let until = episode.until.unwrap_or(episode.since);
    // Silence counts from the first look after the node was not Ready any more.
    let dump = moment.dump_time();
    let dies = if dump.is_zero() { dump } else { dump + CHECK };
    let boots = moment.boot_ends(episode.since).max(episode.since.saturating_add(dies).unwrap_or(until));
    let ends = if node.ready { until } else { until.max(boots) };
    if moment.now < ends {
        // A node that died has to be silent for a while before it counts as dead.
        let dies = (!node.ready && moment.seen.bmc).then_some(out_of_band::LOOK_AGAIN);
        return Evidence::Wanted(stays(episode, dies.into_iter().chain([moment.until(ends)]).min()));
    }
    let why = Reason::new(Why::CannotProve, "the agent did not answer the check before anything disruptive");
    Evidence::Wanted(climb_to(moment, episode, Rung::Manual, why))
}

/// The check failed: the repair goes on, or waits for another failure some time later.
fn failed(moment: Moment, episode: &Episode, report: &AgentReport) -> Evidence {
    let why = Reason::new(Why::StillFailing, report.message.clone());
    let noted = noting(moment, episode, why.clone(), &report.verdicts);
    match spread_ends(moment, &noted) {
        Some(_) => Evidence::Wanted(to(moment, &noted, Phase::Waiting, why)),
        None => Evidence::Given(noted),
    }
}
