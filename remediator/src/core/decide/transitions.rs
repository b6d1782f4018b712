//! The transitions between phases. Each function returns the episode to record next.

use std::time::Duration;

use jiff::Timestamp;

use super::moment::{Moment, Opinion};
use crate::core::observation::{MailAnswer, NodeView, PodView};
use crate::core::outbox::Answer;
use crate::core::record::{AgentReport, Episode, Mail, MailKind, PastEpisode, Phase, Rung, Step, Verdict};
use crate::core::taint::{Taint, TaintState};
use crate::core::why::{Reason, Why};

/// Returns the episode in another phase of the same rung, without a deadline.
pub(super) fn to(moment: Moment, episode: &Episode, phase: Phase, why: Reason) -> Opinion<Episode> {
    let next = Episode { phase, since: moment.now, until: None, why: why.clone(), ..episode.clone() };
    Opinion { next: Some(next), why, look_again: None }
}

/// Returns the episode with one more step in its account.
pub(super) fn noting(moment: Moment, episode: &Episode, outcome: Reason, verdicts: &[Verdict]) -> Episode {
    let boot_id = moment.seen.node.as_ref().map(|node| node.boot_id.clone());
    let step = Step { boot_id, verdicts: verdicts.to_vec(), ..Step::plain(moment.now, episode.rung, outcome) };
    let mut next = episode.clone();
    next.steps.push(step);
    next
}

/// Moves the episode to another rung, where it waits. The new taint replaces the old one in one
/// write. A node that was never tainted (mode observe) gets none.
pub(super) fn climb_to(moment: Moment, episode: &Episode, rung: Rung, why: Reason) -> Opinion<Episode> {
    climb_after(moment, episode, rung, why, &[])
}

/// Like [`climb_to`], with the verdicts of the checks.
pub(super) fn climb_after(
    moment: Moment,
    episode: &Episode,
    rung: Rung,
    why: Reason,
    verdicts: &[Verdict],
) -> Opinion<Episode> {
    let mut next = noting(moment, episode, why.clone(), verdicts);
    if let Some(opinion) = verified(moment, &next, rung, why.clone()) {
        return opinion;
    }
    next.rung = rung;
    next.attempt = 1;
    next.taint = episode.taint.map(|taint| {
        // Already on this rung: a node created again while it was escalated, and not proven since.
        if taint.key == rung.taint() {
            return taint;
        }
        let old = taint.replaces.unwrap_or(taint.key);
        let replaces = (taint.state == TaintState::Confirmed || taint.replaces.is_some()).then_some(old);
        Taint { replaces, ..Taint::placing(rung.taint()) }
    });
    to(moment, &next, Phase::Waiting, why)
}

/// A proof that a person asked for, and that did not pass: the node stays with that person, who has
/// the mail already.
fn verified(moment: Moment, episode: &Episode, rung: Rung, why: Reason) -> Option<Opinion<Episode>> {
    let asked = |why| matches!(why, Why::VerifyRequested | Why::NodeRecreated | Why::UnexpectedReboot);
    let last = episode.steps.iter().rev().map(|step| step.outcome.why).find(|why| asked(*why));
    let by_person = rung == Rung::Manual && episode.rung == Rung::Manual && last == Some(Why::VerifyRequested);
    by_person.then(|| to(moment, episode, Phase::Escalated, why))
}

/// Starts the wait after a new boot: it has to last before it is proven.
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

/// Hands the node to a person. The mail is recorded before it is sent.
pub(super) fn escalating(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let why = Reason::new(Why::MailPending, "a person is needed; no mail server has accepted the mail yet");
    let mut next = episode.clone();
    // A mail that only says that the node waits is not due any more.
    next.mails.retain(|mail| mail.accepted_at.is_some());
    let message_id = message_id(moment, episode, None);
    next.mails.push(Mail::due(MailKind::Escalation, message_id, moment.now));
    to(moment, &next, Phase::Escalating, why)
}

/// Returns the history entry of an episode.
pub(super) fn account(episode: &Episode, now: Timestamp) -> PastEpisode {
    PastEpisode {
        number: episode.number,
        started_at: episode.started_at,
        ended_at: now,
        rung: episode.rung,
        outcome: episode.phase,
        why: episode.why.clone(),
        pool: episode.pool.clone(),
        attempts: episode.attempts().collect(),
        slowest_boot_seconds: episode.slowest_boot_seconds,
        by_person: episode.begun_by_person(),
        mailed: episode.is_mailed_at_once(),
    }
}

/// A node that reboots by itself more often than this is handed to a person.
pub(super) const UNEXPECTED_BOOTS: u32 = 3;

/// Nothing changes; the recorded reason stays.
pub(super) fn stays(episode: &Episode, look_again: Option<Duration>) -> Opinion<Episode> {
    Opinion { next: None, why: episode.why.clone(), look_again }
}

/// Changes only the reason, if it differs from the recorded one.
pub(super) fn stays_because(moment: Moment, episode: &Episode, why: Reason) -> Opinion<Episode> {
    // In the phase Waiting only a check has a deadline, and it ends with the reason to check.
    let until = episode.until.filter(|_| episode.phase != Phase::Waiting);
    let look_again = until.map(|until| moment.until(until));
    if episode.why == why {
        return stays(episode, look_again);
    }
    // A check that was called off may still be answered: the next one has another id.
    let called_off = episode.phase == Phase::Waiting && episode.why.why == Why::CheckingFirst;
    let attempt = episode.attempt + u32::from(called_off);
    Opinion { next: Some(Episode { why: why.clone(), until, attempt, ..episode.clone() }), why, look_again }
}

/// The checks passed: the taint is removed, and the episode ends when the removal is confirmed.
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

/// Returns the Message-ID of a transition. A record that was deleted begins again at number 1, so
/// the episode's start is in it.
fn message_id(moment: Moment, episode: &Episode, what: Option<&str>) -> String {
    let (number, began) = (episode.number.to_string(), episode.started_at.as_second().to_string());
    let parts: Vec<&str> =
        [&number, &began].into_iter().map(String::as_str).chain(what).chain([&*episode.node_uid]).collect();
    moment.policy.mail.message_id(&parts)
}

/// Returns the part of a Message-ID that names this wait, whatever the policy says by now.
pub(super) fn wait_of(episode: &Episode) -> String {
    format!("waiting-{}", episode.since.as_second())
}

/// Returns the Message-ID of the mail about a wait of this episode that began when its phase did.
pub(super) fn waiting_mail(moment: Moment, episode: &Episode) -> String {
    message_id(moment, episode, Some(&wait_of(episode)))
}

/// Returns the episode with the mail that a server has accepted, if one has.
pub(super) fn accepting(moment: Moment, episode: &Episode) -> Episode {
    let mut next = episode.clone();
    let Some(MailAnswer { message_id, answer: Answer::Accepted(accepted) }) = &moment.seen.mail else { return next };
    for mail in &mut next.mails {
        if mail.accepted_at.is_none() && mail.message_id == *message_id {
            mail.accepted_at = Some(moment.now);
            mail.subject = Some(accepted.subject.clone()).filter(|subject| !subject.is_empty());
            mail.sent_as.clone_from(&accepted.sent_as);
            mail.refused.clone_from(&accepted.refused);
        }
    }
    next
}

/// Returns the answer in the thread of a mail that an episode sent: it has ended, so nothing is
/// asked of a person any more.
pub(super) fn reply(moment: Moment, episode: &Episode) -> Option<Mail> {
    episode.mails.iter().find(|mail| mail.accepted_at.is_some())?;
    let message_id = message_id(moment, episode, Some("ended"));
    Some(Mail::due(MailKind::Ended, message_id, moment.now))
}

pub(super) fn mailing(moment: Moment, episode: &Episode) -> Opinion<Episode> {
    let mut next = accepting(moment, episode);
    if next.mails.iter().all(|mail| mail.accepted_at.is_some()) {
        return to(moment, &next, Phase::Escalated, asked(&next));
    }
    match shared_mail(moment, episode) {
        None => match &moment.seen.mail {
            Some(MailAnswer { answer: Answer::Waits(Some(words)), .. }) => {
                let text = format!("a person is needed; no mail server has accepted the mail yet: {words}");
                Opinion {
                    look_again: Some(OUTBOX),
                    ..stays_because(moment, episode, Reason::new(Why::MailPending, text))
                }
            }
            Some(_) | None => stays(episode, Some(OUTBOX)),
        },
        Some(false) => stays(episode, Some(SHARED_MAIL)),
        Some(true) => {
            next.mails.iter_mut().for_each(|mail| mail.accepted_at = mail.accepted_at.or(Some(moment.now)));
            let text = "many nodes of the pool need a person at once; one mail about the pool stands for all of them";
            to(moment, &next, Phase::Escalated, Reason::new(Why::MailAccepted, text))
        }
    }
}

/// How soon an episode looks again into the outbox, which wakes it at each answer.
pub(super) const OUTBOX: Duration = Duration::from_secs(300);

/// How soon an episode looks again whether the pool's mail was accepted, or is wanted no more.
const SHARED_MAIL: Duration = Duration::from_secs(30);

/// Whether the mail about many nodes of the pool was accepted; `None`: the episode has its own. A
/// repair that was tried has much to tell, so it always has its own.
pub(super) fn shared_mail(moment: Moment, episode: &Episode) -> Option<bool> {
    moment.seen.shared_mail.filter(|_| episode.asks_a_person_at_once())
}

/// The reason of a node that a person has to repair.
pub(super) fn asked(episode: &Episode) -> Reason {
    let refused: Vec<_> = episode.mails.iter().flat_map(|mail| &mail.refused).map(String::as_str).collect();
    let but = if refused.is_empty() { String::new() } else { format!("; refused: {}", refused.join(", ")) };
    Reason::new(Why::MailAccepted, format!("a person was asked by mail; removing the taint releases the node{but}"))
}

/// Names the first three pods and counts the rest.
pub(super) fn named(pods: &[PodView]) -> String {
    const SHOWN: usize = 3;
    let mut text = pods.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if pods.len() > SHOWN {
        text.push_str(&format!(" and {} more", pods.len() - SHOWN));
    }
    text
}
