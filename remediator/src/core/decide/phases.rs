//! The phases of a rung after `Waiting`, in the order in which a repair goes through them.

use std::time::Duration;

use jiff::Timestamp;

use super::fresh::Evidence;
use super::moment::{Moment, Opinion};
use super::objections::{called_off, marked};
use super::transitions::{
    UNEXPECTED_BOOTS, climb_after, climb_to, let_go, mailing, named, noting, stabilising, stays, stays_because, to,
};
use super::{agent_report, fresh, out_of_band, provisioning, waiting};
use crate::core::observation::{NodeView, PodView};
use crate::core::policy::{DrainMode, GPUS, Pool};
use crate::core::record::{AgentReport, AgentState, Episode, Phase, Proof, ResetState, Rung, Step, halfway};
use crate::core::why::{Reason, Why};

pub(super) fn advance(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    match episode.phase {
        Phase::Waiting => waiting::waiting(moment, episode, node),
        Phase::Capturing => capturing(moment, episode, node),
        Phase::Draining => draining(moment, episode, node),
        Phase::Reimaging => match &episode.provisioning {
            Some(service) => provisioning::reimaging(moment, episode, service, Some(node)),
            None => reimaging(moment, episode, node),
        },
        Phase::Rebooting => rebooting(moment, episode, node),
        Phase::Stabilising => settling(moment, episode, node),
        Phase::Proving => proving(moment, episode, node),
        Phase::Escalating => mailing(moment, episode),
        Phase::Escalated => waiting::escalated(moment, episode, node),
        Phase::Healed | Phase::Recovered | Phase::Released | Phase::NodeGone => stays(episode, None),
    }
}

/// Waits for the evidence until the deadline, then continues without it.
fn capturing(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if let Some(why) = called_off(moment, episode, node) {
        return to(moment, episode, Phase::Waiting, why);
    }
    let report = agent_report::last_word(moment, episode);
    let late = episode.until.is_none_or(|until| moment.now >= until);
    let outcome = match report {
        Some(report) if report.state == AgentState::Done => Reason::new(Why::Captured, report.message.clone()),
        Some(report) => Reason::new(Why::NotCaptured, report.message.clone()),
        None if late => Reason::new(Why::NotCaptured, "the agent captured no evidence by the deadline"),
        None => return stays(episode, episode.until.map(|until| moment.until(until))),
    };
    let verdicts = report.map(|report| report.verdicts.as_slice()).unwrap_or_default();
    let mut noted = noting(moment, episode, outcome, verdicts);
    // The first capture counts: on a later rung the node may not remember its GPUs.
    noted.expected = noted.expected.or_else(|| report.and_then(|report| report.expected.clone()));
    if let Some(report) = report {
        if noted.cards.is_empty() {
            noted.cards.clone_from(&report.cards);
        }
        noted.software = noted.software.or_else(|| report.software.clone());
    }
    if let Some((step, report)) = noted.steps.last_mut().zip(report) {
        step.kernel_log.clone_from(&report.kernel_log);
        step.evidence.clone_from(&report.evidence);
    }
    drain(moment, &noted)
}

fn drain(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let why = Reason::new(Why::EvictingPods, "pods have to leave the node first");
    let mut opinion = to(moment, episode, Phase::Draining, why);
    if let Some(next) = &mut opinion.next {
        next.until = Some(moment.after(moment.policy.times.drain));
    }
    opinion
}

fn draining(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if let Some(why) = called_off(moment, episode, node) {
        return to(moment, episode, Phase::Waiting, why);
    }
    if episode.why.why == Why::CheckingFirst {
        return checked(moment, episode, node);
    }
    let evicts = moment.pool(node).is_some_and(drains);
    let pods = &moment.seen.pods;
    let deadline = drain_deadline(episode, pods);
    let over = moment.now >= deadline;
    let why = if !evicts || pods.is_empty() {
        Reason::new(Why::NothingToEvict, "no pod has to leave the node")
    } else if over {
        let text = format!("still there at the drain deadline: {}{}", named(pods), answers(moment));
        Reason::new(Why::DrainDeadlinePassed, text)
    } else {
        if let Some(opinion) = losses(moment, episode) {
            return opinion;
        }
        let waiting = format!("waiting for {} to leave", named(pods));
        let why = match moment.seen.refused.is_empty() {
            true => Reason::new(Why::EvictingPods, waiting),
            false => Reason::new(Why::DrainBlocked, format!("{waiting}{}", answers(moment))),
        };
        let mut opinion = stays_because(moment, episode, why);
        opinion.look_again = Some(moment.until(deadline));
        return opinion;
    };
    let noted = noting(moment, episode, why, &[]);
    if fresh::is_outdated(moment, &noted) { checked(moment, &noted, node) } else { order(moment, &noted, node) }
}

/// Puts on record, once in a drain, what the evictions lose: pods that no controller starts again,
/// and data in an `emptyDir`.
fn losses(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let steps = episode.steps.iter().rev().take_while(|step| step.at >= episode.since);
    if steps.into_iter().any(|step| step.outcome.why == Why::EvictingPods) {
        return None;
    }
    let of = |lost: fn(&PodView) -> bool| moment.seen.pods.iter().filter(|pod| lost(pod)).cloned().collect::<Vec<_>>();
    let (bare, local) = (of(|pod| pod.bare), of(|pod| pod.local_data));
    let mut parts = Vec::new();
    if !bare.is_empty() {
        parts.push(format!("evicting pods that no controller starts again: {}", named(&bare)));
    }
    if !local.is_empty() {
        parts.push(format!("evicting pods with data in an emptyDir: {}", named(&local)));
    }
    if parts.is_empty() {
        return None;
    }
    let why = Reason::new(Why::EvictingPods, parts.join("; "));
    let next = Episode { why: why.clone(), ..noting(moment, episode, why.clone(), &[]) };
    Some(Opinion { next: Some(next), why, look_again: None })
}

/// Returns the answers to the evictions that were not accepted, as the end of a sentence.
fn answers(moment: Moment) -> String {
    const SHOWN: usize = 3;
    let refused = &moment.seen.refused;
    let shown: Vec<_> = refused.iter().take(SHOWN).map(|(pod, answer)| format!("{pod}: {answer}")).collect();
    if shown.is_empty() { String::new() } else { format!(": {}", shown.join("; ")) }
}

/// A complaint resolved during the drain, so the node is checked again before the order.
fn checked(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    match fresh::evidence(moment, episode, node) {
        Evidence::Given(episode) => order(moment, &episode, node),
        Evidence::Wanted(opinion) => opinion,
    }
}

fn order(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    match episode.rung {
        Rung::Reimage if !episode.is_reimaged() => reimage(moment, episode),
        _ => reboot(moment, episode, node),
    }
}

fn drains(pool: &Pool) -> bool {
    pool.drain != DrainMode::None
}

/// Returns the end of the drain. A pod's grace period may extend it, up to 30 min.
fn drain_deadline(episode: &Episode, pods: &[PodView]) -> Timestamp {
    const MARGIN: Duration = Duration::from_secs(30);
    const AT_MOST: Duration = Duration::from_secs(1800);
    let after = |wait: Duration| episode.since.saturating_add(wait).unwrap_or(Timestamp::MAX);
    let longest = pods.iter().map(|pod| pod.grace.saturating_add(MARGIN)).max().unwrap_or_default();
    let until = episode.until.unwrap_or(episode.since);
    until.max(after(longest.min(AT_MOST)))
}

fn reimage(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let attempt = steps_of(episode, Why::ReimageInterrupted) + steps_of(episode, Why::ReimagePostponed) + 1;
    let why = Reason::new(Why::ReimageOrdered, format!("reimage, attempt {attempt}"));
    let mut opinion = to(moment, episode, Phase::Reimaging, why);
    if let Some(next) = &mut opinion.next {
        next.until = Some(moment.after(moment.reimages(episode).time));
        next.provisioning = provisioning::begun(moment, next);
    }
    opinion
}

/// How many steps of this episode ended so.
fn steps_of(episode: &Episode, why: Why) -> usize {
    episode.steps.iter().filter(|step| step.outcome.why == why).count()
}

/// Orders the end of the current boot.
fn reboot(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let why = Reason::new(Why::RebootOrdered, format!("reboot that ends boot {}", node.boot_id));
    let mut opinion = to(moment, episode, Phase::Rebooting, why);
    if let Some(next) = &mut opinion.next {
        next.boot_id.clone_from(&node.boot_id);
        next.until = Some(moment.after(moment.boot_time()));
    }
    opinion
}

/// The output of the script goes with the step that tells how it ended.
fn reimaging(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let mut opinion = reimaged(moment, episode, node);
    let output = agent_report::report(moment, episode).and_then(|report| report.evidence.clone());
    let noted = opinion.next.as_mut().filter(|next| next.steps.len() > episode.steps.len());
    if let Some(step) = noted.and_then(|next| next.steps.last_mut()) {
        step.evidence = output;
    }
    opinion
}

fn reimaged(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    let late = episode.until.is_none_or(|until| moment.now >= until);
    let report = agent_report::report(moment, episode);
    let failed = |message: String| climb_to(moment, episode, Rung::Manual, Reason::new(Why::ReimageFailed, message));
    match report.map(|report| (report.state, report)) {
        None | Some((AgentState::Refused | AgentState::Postponed, _)) if node.boot_id != episode.boot_id => {
            // The node rebooted by itself before the script changed it: the new boot is checked
            // first.
            let boots = episode.unexpected_boots + 1;
            if boots > UNEXPECTED_BOOTS {
                return failed(format!("the node rebooted {boots} times by itself"));
            }
            let why = Reason::new(Why::UnexpectedReboot, "the node rebooted before its reimage began");
            let noted = noting(moment, episode, why.clone(), &[]);
            let next = Episode { attempt: episode.attempt + 1, unexpected_boots: boots, ..noted };
            to(moment, &next, Phase::Waiting, why)
        }
        Some((AgentState::Done, report)) => {
            let outcome = Reason::new(Why::Reimaged, format!("the reimage finished: {}", report.message));
            reboot(moment, &noting(moment, episode, outcome, &[]), node)
        }
        Some((AgentState::Failed, report)) => failed(format!("the reimage failed: {}", report.message)),
        Some((AgentState::Refused, report)) => refused(moment, episode, node, &report.message),
        Some((AgentState::Running | AgentState::Interrupted | AgentState::Inhibited, _)) | None if late => {
            failed("the reimage did not finish by its deadline".to_owned())
        }
        Some((AgentState::Postponed, report)) if late => {
            failed(format!("the reimage could not begin by its deadline: {}", report.message))
        }
        Some((AgentState::Postponed, report)) if report.boot_id == node.boot_id => {
            postponed(moment, episode, node, &report.message)
        }
        Some((AgentState::Interrupted, report))
            if report.boot_id == node.boot_id && steps_of(episode, Why::ReimageInterrupted) == 0 =>
        {
            let why = Reason::new(Why::ReimageInterrupted, report.message.clone());
            let next = Episode {
                attempt: episode.attempt + 1,
                boot_id: node.boot_id.clone(),
                ..noting(moment, episode, why, &[])
            };
            reimage(moment, &next)
        }
        Some((AgentState::Interrupted, report)) if report.boot_id == node.boot_id => {
            let attempts = steps_of(episode, Why::ReimageInterrupted) + 1;
            failed(format!("attempt {attempts} was interrupted: {}", report.message))
        }
        Some((AgentState::Running | AgentState::Interrupted | AgentState::Inhibited | AgentState::Postponed, _)) => {
            // Still running; or the agent already reports from a newer boot than the Node object
            // shows, and would refuse an order for the old one.
            stays(episode, episode.until.map(|until| moment.until(until)))
        }
        None => recalled(moment, episode, node),
    }
}

/// The script changed nothing. It is ordered again after a twelfth of a reimage's time, until the
/// deadline of the first order. Whatever keeps a repair from starting still calls it back.
fn postponed(moment: Moment, episode: &Episode, node: &NodeView, message: &str) -> Opinion<Episode> {
    if let Some(opinion) = called_back(moment, episode, node) {
        return opinion;
    }
    let why = Reason::new(Why::ReimagePostponed, message);
    let said = |step: &&Step| step.outcome.why == why.why && step.at >= episode.since;
    let Some(step) = episode.steps.last().filter(said) else {
        let next = Episode { why: why.clone(), ..noting(moment, episode, why.clone(), &[]) };
        return Opinion { next: Some(next), why, look_again: None };
    };
    let again = step.at.saturating_add(moment.reimages(episode).time / 12).unwrap_or(Timestamp::MAX);
    if moment.now < again {
        let until = again.min(episode.until.unwrap_or(again));
        return stays(episode, Some(moment.until(until)));
    }
    let next = Episode { attempt: episode.attempt + 1, boot_id: node.boot_id.clone(), ..episode.clone() };
    let mut opinion = reimage(moment, &next);
    if let Some(next) = &mut opinion.next {
        next.until = episode.until;
    }
    opinion
}

fn rebooting(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if node.boot_id != episode.boot_id {
        let why = Reason::new(Why::NewBoot, format!("the node is on a new boot, {}", node.boot_id));
        return stabilising(moment, with_boot_time(moment, episode), node, why);
    }
    if let Some(opinion) = out_of_band::answered(moment, episode) {
        return opinion;
    }
    let report = agent_report::report(moment, episode);
    let held_off = report.filter(|report| report.state == AgentState::Inhibited);
    // An order without a report alone is no proof; if the kubelet is silent as well, the node is
    // dead.
    let dead =
        (report.is_none() || held_off.is_some()) && episode.resets.is_empty() && moment.seen.dead && moment.seen.bmc;
    if dead || episode.until.is_none_or(|until| moment.now >= until) {
        return out_of_band::reset(moment, episode, node);
    }
    if let Some(report) = held_off {
        return inhibited(moment, episode, node, report);
    }
    match report {
        Some(report) if report.state == AgentState::Refused => refused(moment, episode, node, &report.message),
        Some(report) if report.state == AgentState::Failed => {
            let why = Reason::new(Why::DidNotComeBack, format!("the agent could not reboot: {}", report.message));
            climb_to(moment, episode, Rung::Manual, why)
        }
        Some(_) => stays(episode, episode.until.map(|until| moment.until(until))),
        None if !node.ready && moment.seen.bmc => {
            let opinion = recalled(moment, episode, node);
            let look_again = opinion.look_again.map(|wait| wait.min(out_of_band::LOOK_AGAIN));
            Opinion { look_again, ..opinion }
        }
        None => recalled(moment, episode, node),
    }
}

/// Records how long the boot took, from the order to its boot ID, unless a BMC may have helped or
/// the boot was seen late.
fn with_boot_time(moment: Moment, episode: &Episode) -> Episode {
    let reset = episode.resets.iter().any(|reset| reset.state != ResetState::Failed);
    let late = episode.until.is_none_or(|until| moment.now > until);
    // From the time at which the agent took the order: it may have waited for a lock.
    let running = agent_report::report(moment, episode).filter(|report| report.state == AgentState::Running);
    let began = running.map(|report| report.at.max(episode.since));
    let seconds = began.and_then(|began| u32::try_from(moment.now.duration_since(began).as_secs()).ok());
    let seconds = seconds.filter(|_| !reset && !late);
    Episode { slowest_boot_seconds: episode.slowest_boot_seconds.max(seconds), ..episode.clone() }
}

/// Another program on the node does not let it reboot: nothing has begun, so the order can still be
/// called back.
fn inhibited(moment: Moment, episode: &Episode, node: &NodeView, report: &AgentReport) -> Opinion<Episode> {
    let why = Reason::new(Why::RebootInhibited, report.message.clone());
    let ends = episode.until.map_or(episode.since, |until| halfway(episode.since, until));
    if moment.now >= ends {
        return climb_to(moment, episode, Rung::Manual, why);
    }
    called_back(moment, episode, node).unwrap_or_else(|| {
        let opinion = stays_because(moment, episode, why);
        Opinion { look_again: Some(moment.until(ends)), ..opinion }
    })
}

/// No agent has taken the order yet, so what keeps a repair from starting still calls it back. The
/// reboot that ends a reimage is held only by a mark on the node. A Ready node runs pods: if its
/// agent takes no order, a person has to look.
fn recalled(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if let Some(opinion) = called_back(moment, episode, node) {
        return opinion;
    }
    let silent = episode.since.saturating_add(moment.policy.times.agent_silent).unwrap_or(Timestamp::MAX);
    if node.ready && moment.now >= silent {
        let why = Reason::new(Why::AgentSilent, "the node is Ready, but its agent does not take the order");
        return climb_to(moment, episode, Rung::Manual, why);
    }
    let deadline = episode.until.into_iter().chain(node.ready.then_some(silent)).min();
    stays(episode, deadline.map(|deadline| moment.until(deadline)))
}

/// Returns the way back to Waiting, if an order that has not begun is not wanted any more.
fn called_back(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    let ends_reimage = episode.rung == Rung::Reimage && episode.phase == Phase::Rebooting;
    let resolved = || Reason::new(Why::ComplaintResolved, "an alert resolved after the check of the node");
    let why = if ends_reimage {
        marked(moment, node)
    } else {
        called_off(moment, episode, node).or_else(|| fresh::is_outdated(moment, episode).then(resolved))
    };
    why.map(|why| to(moment, &Episode { attempt: episode.attempt + 1, ..episode.clone() }, Phase::Waiting, why))
}

/// The agent refused. If a person's mark on the node explains it, the repair waits; otherwise a
/// person has to look.
fn refused(moment: Moment, episode: &Episode, node: &NodeView, message: &str) -> Opinion<Episode> {
    if let Some(why) = marked(moment, node) {
        return to(moment, &Episode { attempt: episode.attempt + 1, ..episode.clone() }, Phase::Waiting, why);
    }
    climb_to(moment, episode, Rung::Manual, Reason::new(Why::OrderRefused, message))
}

/// The node is on another boot than the one to be proven: the wait starts again, up to
/// [`UNEXPECTED_BOOTS`] times.
fn rebooted_again(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Opinion<Episode>> {
    if node.boot_id == episode.boot_id {
        return None;
    }
    let boots = episode.unexpected_boots + 1;
    if boots > UNEXPECTED_BOOTS {
        let why = Reason::new(Why::CannotProve, format!("the node rebooted {boots} times by itself"));
        return Some(climb_to(moment, episode, Rung::Manual, why));
    }
    let why = Reason::new(Why::UnexpectedReboot, "the node rebooted by itself");
    Some(stabilising(moment, Episode { unexpected_boots: boots, ..episode.clone() }, node, why))
}

fn settling(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if let Some(opinion) = rebooted_again(moment, episode, node) {
        return opinion;
    }
    if let Some(wait) = episode.until.map(|until| moment.until(until)).filter(|wait| !wait.is_zero()) {
        return stays(episode, Some(wait));
    }
    if node.ready {
        let why = Reason::new(Why::ProofOrdered, "the node is stable; its GPUs are being checked");
        let mut opinion = to(moment, episode, Phase::Proving, why);
        if let Some(next) = &mut opinion.next {
            next.until = Some(moment.after(moment.policy.times.proof));
        }
        return opinion;
    }
    let gives_up = moment.boot_ends(episode.since);
    if moment.now >= gives_up {
        let why = Reason::new(Why::CannotProve, "the node is on a new boot but did not become Ready");
        return climb_to(moment, episode, Rung::Manual, why);
    }
    let mut opinion = stays_because(moment, episode, Reason::new(Why::NotReady, "the node is not Ready yet"));
    opinion.look_again = Some(moment.until(gives_up));
    opinion
}

fn proving(moment: Moment, episode: &Episode, node: &NodeView) -> Opinion<Episode> {
    if let Some(opinion) = rebooted_again(moment, episode, node) {
        return opinion;
    }
    let report = agent_report::last_word(moment, episode);
    let Some(report) = report else {
        if episode.until.is_none_or(|until| moment.now >= until) {
            let why = Reason::new(Why::CannotProve, "the agent reported no proof by the deadline");
            return climb_to(moment, episode, Rung::Manual, why);
        }
        return stays(episode, episode.until.map(|until| moment.until(until)));
    };
    match report.proof {
        // The checks can pass on a node that Kubernetes does not use.
        Some(Proof::Passed) if !node.ready => {
            if episode.until.is_none_or(|until| moment.now >= until) {
                let why = Reason::new(Why::CannotProve, "the checks pass, but the node is not Ready");
                return climb_after(moment, episode, Rung::Manual, why, &report.verdicts);
            }
            stays_because(moment, episode, Reason::new(Why::NotReady, "the checks pass; the node is not Ready yet"))
        }
        Some(Proof::Passed) if forgotten(episode, node) => {
            let text = "the checks pass on the new disk, but the number of GPUs that the node had is unknown";
            climb_after(moment, episode, Rung::Manual, Reason::new(Why::CannotProve, text), &report.verdicts)
        }
        Some(Proof::Passed) => let_go(moment, episode, report),
        Some(Proof::Failed) => {
            let why = Reason::new(Why::ProofFailed, report.message.clone());
            let rung = if episode.rung == Rung::Reboot { Rung::Reimage } else { Rung::Manual };
            climb_after(moment, episode, rung, why, &report.verdicts)
        }
        Some(Proof::Unknown) | None => {
            let why = Reason::new(Why::CannotProve, report.message.clone());
            climb_after(moment, episode, Rung::Manual, why, &report.verdicts)
        }
    }
}

/// Whether the number of GPUs is unknown: the disk is new, nothing was captured before, and no
/// label gives it.
fn forgotten(episode: &Episode, node: &NodeView) -> bool {
    episode.provisioning.is_some() && episode.expected.is_none() && !node.labels.contains_key(GPUS)
}
