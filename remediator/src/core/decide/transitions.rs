//! The ways from one phase to another: each returns the episode as it is recorded next.

use std::time::Duration;

use jiff::Timestamp;

use super::moment::{Moment, Opinion};
use crate::core::observation::{NodeView, PodView};
use crate::core::record::{AgentReport, Episode, Mail, PastEpisode, Phase, Rung, Step, Verdict};
use crate::core::taint::{Taint, TaintState};
use crate::core::why::{Reason, Why};

/// The episode in another phase of the same rung, with no deadline.
pub(super) fn to(moment: Moment, episode: &Episode, phase: Phase, why: Reason) -> Opinion<Episode> {
    let next = Episode { phase, since: moment.now, until: None, why: why.clone(), ..episode.clone() };
    Opinion { next: Some(next), why, look_again: None }
}

/// The episode with one more line in its account.
pub(super) fn noting(moment: Moment, episode: &Episode, outcome: Reason, verdicts: &[Verdict]) -> Episode {
    let (at, rung, verdicts) = (moment.now, episode.rung, verdicts.to_vec());
    let step = Step { at, rung, outcome, verdicts, kernel_log: None, evidence: None };
    let mut next = episode.clone();
    next.steps.push(step);
    next
}

/// Waiting on another rung. Its taint replaces this rung's in one write, where the node has one; a node that was never
/// tainted (mode observe) gets none.
pub(super) fn climb_to(moment: Moment, episode: &Episode, rung: Rung, why: Reason) -> Opinion<Episode> {
    climb_after(moment, episode, rung, why, &[])
}

/// As [`climb_to`], with what the checks said.
pub(super) fn climb_after(
    moment: Moment,
    episode: &Episode,
    rung: Rung,
    why: Reason,
    verdicts: &[Verdict],
) -> Opinion<Episode> {
    let mut next = noting(moment, episode, why.clone(), verdicts);
    next.rung = rung;
    next.attempt = 1;
    next.taint = episode.taint.map(|taint| {
        // From one person to the next: a node created again while it was escalated, and not proven since.
        if taint.key == rung.taint() {
            return taint;
        }
        let old = taint.replaces.unwrap_or(taint.key);
        let replaces = (taint.state == TaintState::Confirmed || taint.replaces.is_some()).then_some(old);
        Taint { replaces, ..Taint::placing(rung.taint()) }
    });
    to(moment, &next, Phase::Waiting, why)
}

/// A new boot: it has to last before it is proven.
pub(super) fn stabilising(moment: Moment, episode: Episode, node: &NodeView, why: Reason) -> Opinion<Episode> {
    let next = Episode {
        phase: Phase::Stabilising,
        boot_id: node.boot_id.clone(),
        since: moment.now,
        until: Some(moment.after(moment.policy.times.stabilise)),
        why: why.clone(),
        ..noting(moment, &episode, why.clone(), &[])
    };
    Opinion { next: Some(next), why, look_again: Some(moment.policy.times.stabilise) }
}

/// A person takes over: the mail that this transition calls for is on record before it is sent.
pub(super) fn escalating(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let why = Reason::new(Why::MailPending, "a person is needed; the mail has not been accepted yet");
    let mut next = episode.clone();
    next.mails.push(Mail {
        message_id: format!("<{}.{}@ossci.amd.com>", episode.number, episode.node_uid),
        accepted_at: None,
    });
    to(moment, &next, Phase::Escalating, why)
}

/// The line that an episode leaves in history.
pub(super) fn account(episode: &Episode, now: Timestamp) -> PastEpisode {
    PastEpisode {
        number: episode.number,
        started_at: episode.started_at,
        ended_at: now,
        rung: episode.rung,
        outcome: episode.phase,
        why: episode.why.clone(),
        attempts: episode.attempts().collect(),
    }
}

/// A node that keeps rebooting by itself is a person's case after so many boots that nobody ordered.
pub(super) const UNEXPECTED_BOOTS: u32 = 3;

/// Nothing changes; the record already says why.
pub(super) fn stays(episode: &Episode, look_again: Option<Duration>) -> Opinion<Episode> {
    Opinion { next: None, why: episode.why.clone(), look_again }
}

/// Stays, with another reason where the record has an older one.
pub(super) fn stays_because(moment: Moment, episode: &Episode, why: Reason) -> Opinion<Episode> {
    let look_again = episode.until.map(|until| moment.until(until));
    if episode.why == why {
        return stays(episode, look_again);
    }
    Opinion { next: Some(Episode { why: why.clone(), ..episode.clone() }), why, look_again }
}

/// The checks passed in a row: the taint goes, and with its confirmation the episode is over.
pub(super) fn let_go(moment: Moment, episode: &Episode, report: &AgentReport) -> Opinion<Episode> {
    let why = Reason::new(Why::ProofPassed, report.message.clone());
    let mut next = noting(moment, episode, why.clone(), &report.verdicts);
    next.taint = episode.taint.map(|taint| Taint { state: TaintState::Removing, ..taint });
    next.why = why.clone();
    match next.taint {
        Some(_) => Opinion { next: Some(next), why, look_again: None },
        None => to(moment, &next, Phase::Healed, why),
    }
}

pub(super) fn mailing(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let accepted = moment.seen.accepted_mail.as_deref();
    let mut next = episode.clone();
    for mail in &mut next.mails {
        if mail.accepted_at.is_none() && Some(mail.message_id.as_str()) == accepted {
            mail.accepted_at = Some(moment.now);
        }
    }
    if next.mails.iter().all(|mail| mail.accepted_at.is_some()) {
        let why = Reason::new(Why::MailAccepted, "a person was asked by mail; taking the taint off releases the node");
        return to(moment, &next, Phase::Escalated, why);
    }
    stays(episode, None)
}

/// The first few pods by name, and how many more there are.
pub(super) fn named(pods: &[PodView]) -> String {
    const SHOWN: usize = 3;
    let mut text = pods.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if pods.len() > SHOWN {
        text.push_str(&format!(" and {} more", pods.len() - SHOWN));
    }
    text
}
