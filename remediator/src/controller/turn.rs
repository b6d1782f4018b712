//! One turn of one node: observe, decide, record, act, report. A decision either changes the record or acts on it, so a
//! turn goes round until there is nothing to do now.

use std::time::Duration;

use super::observe::{Sight, Told};
use super::{Context, act, alerts, condition, observe, record};
use crate::core::decide::{Action, Decision, decide};
use crate::core::record::{Episode, Phase, Record};
use crate::core::retention;
use crate::{clock, kube_client};

/// More rounds than this in one turn mean that something undoes what we do: the node waits for its next turn.
const ROUNDS: u32 = 12;
const LOST_RACE: Duration = Duration::from_millis(50);
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How soon pods that were asked to leave are looked for again.
const EVICTING: Duration = Duration::from_secs(2);
/// How soon a refused mail is tried again.
const MAILING: Duration = Duration::from_secs(30);

/// A request that failed, and what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TurnError {
    pub what: &'static str,
    #[source]
    pub source: kube::Error,
}

/// Names what a request was for.
pub fn doing(what: &'static str) -> impl FnOnce(kube::Error) -> TurnError {
    move |source| TurnError { what, source }
}

/// Takes the node's turn; returns when to look again, `None` when there is no record of it.
pub async fn take(context: &Context, node: &str) -> Option<Duration> {
    match rounds(context, node).await {
        Ok(wait) => wait,
        Err(error) if kube_client::lost_race(&error.source) => Some(LOST_RACE),
        Err(error) => {
            context.metrics.turn_errors.inc();
            tracing::warn!(node, doing = error.what, error = %error.source, "turn failed, it is taken again");
            Some(AFTER_ERROR)
        }
    }
}

/// The next decision may be the first taint of an episode.
fn wants_taint(record: &Record) -> bool {
    record.repair.episode.as_ref().is_some_and(|episode| episode.phase == Phase::Waiting && episode.taint.is_none())
}

/// A rung sets out: the node is about to be captured and drained.
fn sets_out(known: &Record, decision: &Decision) -> bool {
    let out = |episode: &Option<Episode>, phase| episode.as_ref().is_some_and(|episode| episode.phase == phase);
    [Phase::Capturing, Phase::Draining]
        .into_iter()
        .any(|phase| out(&decision.next.episode, phase) && !out(&known.repair.episode, phase))
}

/// The reset that is about to be put on record.
fn new_reset(known: &Record, decision: &Decision) -> Option<String> {
    let resets = |episode: &Option<Episode>| episode.as_ref().map_or(0, |episode| episode.resets.len());
    let next = decision.next.episode.as_ref()?.resets.last()?;
    (resets(&decision.next.episode) > resets(&known.repair.episode)).then(|| next.id.clone())
}

/// An order that ends a boot or changes what is installed.
fn is_disruptive(action: &Action) -> bool {
    matches!(action, Action::IssueOrder(order) if order.kind.is_disruptive())
}

async fn rounds(context: &Context, name: &str) -> Result<Option<Duration>, TurnError> {
    let mut told = Told::default();
    let mut recorded = None;
    let mut tainting = None;
    // What came back from our last write is as good as another read: whoever writes in between wins the next one.
    let mut at_hand: Option<Sight> = None;
    let mut asked = false;
    for _ in 0..ROUNDS {
        if !context.leadership.leads() {
            return Ok(None);
        }
        let sight = match at_hand.take() {
            Some(sight) => sight,
            None => match observe::sight(context, name).await? {
                Some(sight) => sight,
                None => return Ok(None),
            },
        };
        let known = sight.repair.record();
        if wants_taint(&known) && tainting.is_none() {
            // What others are about to taint has to be seen first.
            tainting = Some(context.tainting.lock().await);
            continue;
        }
        let seen = observe::world(context, &sight, &known, std::mem::take(&mut told)).await?;
        let (site, now) = (context.site(), context.now());
        let decision = decide(&known, &seen, now, &site.policy);

        if !asked
            && (sets_out(&known, &decision)
                || new_reset(&known, &decision).is_some()
                || decision.action.as_ref().is_some_and(is_disruptive))
        {
            if !alerts::ask_again(context).await {
                tracing::warn!(node = name, "no Alertmanager answers before something disruptive: it has to wait");
                return Ok(Some(AFTER_ERROR));
            }
            // Decided once more, on what is read after the answer.
            asked = true;
            continue;
        }
        if decision.next != known.repair {
            let repair = record::write(context, &sight.repair, &decision.next).await?;
            (tainting, asked) = (None, false);
            recorded = new_reset(&known, &decision).map(|id| (id, clock::monotonic()));
            context.reporter.changed(context, &repair, &seen, &known.repair, &decision).await;
            at_hand = Some(Sight { repair, ..sight });
            continue;
        }
        let Some(action) = decision.action else {
            if retention::is_due(&known, sight.node.is_some(), now) {
                record::delete(context, &sight.repair).await?;
                return Ok(None);
            }
            condition::show(context, &sight, &decision.why).await?;
            return Ok(decision.look_again.or(Some(Duration::MAX)));
        };
        let evicting = matches!(action, Action::Evict(_));
        tracing::debug!(node = name, ?action, "acting");
        match act::act(context, &sight, &seen, action, recorded.as_ref()).await? {
            act::Outcome::Done if evicting => {
                condition::show(context, &sight, &decision.why).await?;
                return Ok(Some(decision.look_again.unwrap_or(EVICTING).min(EVICTING)));
            }
            act::Outcome::Done => at_hand = Some(sight),
            act::Outcome::Node(node) => at_hand = Some(Sight { node: Some(*node), ..sight }),
            act::Outcome::Record(repair) => at_hand = Some(Sight { repair: *repair, ..sight }),
            act::Outcome::MailAccepted(message_id) => told.accepted_mail = Some(message_id),
            act::Outcome::Reset(answer) => told.reset = Some(answer),
            act::Outcome::MailRefused => return Ok(Some(MAILING)),
        }
    }
    tracing::warn!(node = name, rounds = ROUNDS, "the turn does not come to an end; it goes on later");
    Ok(Some(AFTER_ERROR))
}
