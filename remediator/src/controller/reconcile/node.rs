//! One turn of one node: observe, decide, record, act, report. A decision either changes the record or acts on it, so a
//! turn goes round until there is nothing to do now.
//!
//! On the word of the watches an episode is opened and tainted, and its reason told: those writes are refused when anything was
//! newer. What moves a repair on, ends it, or cannot be guarded by a version is decided once more on what is read for it.

use std::time::Duration;

use crate::api::request;
use crate::api::request::RequestError;
use crate::controller::context::Context;
use crate::controller::inputs::poll;
use crate::controller::reconcile::plan::{Course, Step};
use crate::controller::reconcile::sight::{Fresh, Sight, Told};
use crate::controller::reconcile::{act, condition, observe, plan, record, report};
use crate::core::decide::Action;
use crate::core::retention;
use ossci_base::clock;

/// More rounds than this in one turn mean that something undoes what we do: the node waits for its next turn.
const ROUNDS: u32 = 16;
const LOST_RACE: Duration = Duration::from_millis(50);
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How soon pods that were asked to leave are looked for again.
const EVICTING: Duration = Duration::from_secs(2);
/// How soon a refused mail is tried again.
const MAILING: Duration = Duration::from_secs(30);

/// Takes the node's turn; returns when to look again, `None` when there is no record of it.
pub async fn reconcile(context: &Context, node: &str) -> Option<Duration> {
    match rounds(context, node).await {
        Ok(wait) => wait,
        Err(error) if request::lost_race(&error.source) => {
            context.fleet.forget(node);
            Some(LOST_RACE)
        }
        Err(error) => {
            context.metrics.turn_errors.inc();
            tracing::warn!(node, doing = error.what, error = %error.source, "turn failed, it is taken again");
            Some(AFTER_ERROR)
        }
    }
}

async fn rounds(context: &Context, name: &str) -> Result<Option<Duration>, RequestError> {
    let mut told = Told::default();
    let mut recorded = None;
    let mut tainting = None;
    // What came back from our last write is as good as another read: whoever writes in between wins the next one.
    let mut at_hand: Option<Sight> = None;
    let mut wanted = Fresh::default();
    let mut asked = false;
    for _ in 0..ROUNDS {
        if !context.leadership.leads() {
            return Ok(None);
        }
        let sight = match at_hand.take() {
            Some(sight) => sight,
            None => match observe::sight(context, name, wanted).await? {
                Some(sight) => sight,
                None => return Ok(None),
            },
        };
        let course = plan::chart(context, &sight, &told).await?;
        if course.intends_taint() && tainting.is_none() {
            // What others are about to taint has to be seen first.
            tainting = Some(context.tainting.lock().await);
            at_hand = Some(sight);
            continue;
        }
        if course.is_disruptive() && !asked {
            if !poll::ask_again(context).await {
                tracing::warn!(node = name, "no Alertmanager answers before something disruptive: it has to wait");
                return Ok(Some(AFTER_ERROR));
            }
            // Decided once more, on what is read after the answer.
            (asked, wanted) = (true, Fresh { record: true, node: true });
            continue;
        }
        let needed = course.needs_fresh();
        if !sight.fresh.covers(needed) {
            wanted = wanted | needed;
            continue;
        }
        let Course { steps, seen, last } = course;
        if let Some(Step { decision, .. }) = steps.last() {
            let repair = record::write(context, &sight.repair, &decision.next).await?;
            // What the service said is as true after it: it is asked once in a turn.
            told = Told { provisioned: told.provisioned, ..Told::default() };
            (tainting, asked) = (None, false);
            recorded = steps.iter().find_map(Step::newly_asked).map(|id| (id, clock::monotonic()));
            for Step { seen, before, decision } in &steps {
                report::changed(context, &repair, seen, before, decision);
            }
            let fresh = Fresh { record: true, ..sight.fresh };
            at_hand = Some(Sight { repair, fresh, ..sight });
            continue;
        }
        let Some(action) = last.action else {
            if retention::is_due(&sight.repair.record(), sight.node.is_some(), context.now()) {
                record::delete(context, &sight.repair).await?;
                return Ok(None);
            }
            condition::show(context, &sight, &last.why).await?;
            return Ok(last.look_again.or(Some(Duration::MAX)));
        };
        let evicting = matches!(action, Action::Evict(_));
        tracing::debug!(node = name, ?action, "acting");
        match act::act(context, &sight, &seen, action, recorded.as_ref()).await? {
            act::Outcome::Done if evicting => {
                condition::show(context, &sight, &last.why).await?;
                return Ok(Some(last.look_again.unwrap_or(EVICTING).min(EVICTING)));
            }
            act::Outcome::Done => at_hand = Some(sight),
            act::Outcome::Node(node) => {
                let fresh = Fresh { node: true, ..sight.fresh };
                at_hand = Some(Sight { node: Some(*node), fresh, ..sight });
            }
            act::Outcome::Record(repair) => {
                let fresh = Fresh { record: true, ..sight.fresh };
                at_hand = Some(Sight { repair: *repair, fresh, ..sight });
            }
            act::Outcome::MailAccepted(message_id) => told.accepted_mail = Some(message_id),
            act::Outcome::Reset(answer) => told.reset = Some(answer),
            act::Outcome::Provisioning(answer) => told.provisioned = Some(answer),
            act::Outcome::MailRefused => return Ok(Some(MAILING)),
        }
    }
    tracing::warn!(node = name, rounds = ROUNDS, "the turn does not come to an end; it goes on later");
    Ok(Some(AFTER_ERROR))
}
