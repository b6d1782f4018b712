//! Step four: the one act of a decision.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::observe::Sight;
use super::turn::TurnError;
use super::{Context, budget_object, evictions, record, taints};
use crate::core::decide::{Action, Observation};
use crate::metrics::ByKind;
use crate::wire::node_repair::NodeRepair;

/// What came of an act, beyond what the next look at the world shows.
pub enum Outcome {
    Done,
    /// The node as our write left it.
    Node(Box<Node>),
    /// The record as our write left it.
    Record(Box<NodeRepair>),
    MailAccepted(String),
    MailRefused,
}

pub async fn act(context: &Context, sight: &Sight, seen: &Observation, action: Action) -> Result<Outcome, TurnError> {
    let repair = &sight.repair;
    let node = repair.name_any();
    let kind = kind(&action);
    let outcome = match action {
        Action::PlaceTaint { key, replaces } => {
            Outcome::Node(Box::new(taints::place(context, sight, key, replaces).await?))
        }
        Action::RemoveTaint { key } => Outcome::Node(Box::new(taints::remove(context, sight, key).await?)),
        Action::Evict(pods) => {
            evictions::evict(context, &node, &pods).await?;
            Outcome::Done
        }
        Action::IssueOrder(order) => {
            let repair = record::write_order(context, repair, Some(&order)).await?;
            tracing::info!(node, order = order.id, kind = %order.kind, "order issued");
            Outcome::Record(Box::new(repair))
        }
        Action::WithdrawOrder { id } => {
            let repair = record::write_order(context, repair, None).await?;
            tracing::info!(node, order = id, "order withdrawn");
            Outcome::Record(Box::new(repair))
        }
        Action::TakePlace => {
            budget_object::take(context, repair, seen).await?;
            Outcome::Done
        }
        Action::GivePlaceBack => {
            budget_object::give_back(context, &node).await?;
            Outcome::Done
        }
        Action::SendMail { message_id } => mail(context, repair, seen, message_id).await,
    };
    context.metrics.acts.get_or_create_owned(&ByKind { kind }).inc();
    Ok(outcome)
}

fn kind(action: &Action) -> &'static str {
    match action {
        Action::PlaceTaint { .. } => "place-taint",
        Action::RemoveTaint { .. } => "remove-taint",
        Action::Evict(_) => "evict",
        Action::IssueOrder(_) => "issue-order",
        Action::WithdrawOrder { .. } => "withdraw-order",
        Action::SendMail { .. } => "send-mail",
        Action::TakePlace => "take-place",
        Action::GivePlaceBack => "give-place-back",
    }
}

/// A mail that is not accepted is tried again for ever: a person has to hear of the node.
async fn mail(context: &Context, repair: &NodeRepair, seen: &Observation, message_id: String) -> Outcome {
    let node = repair.name_any();
    let site = context.site();
    let Some(mailer) = &site.mailer else {
        tracing::error!(node, "a person is needed, and the policy names no mail server");
        return Outcome::MailRefused;
    };
    match mailer.escalate(&message_id, &node, seen.node.as_ref(), &repair.record()).await {
        Ok(()) => {
            tracing::info!(node, message_id, "escalation mail accepted");
            Outcome::MailAccepted(message_id)
        }
        Err(error) => {
            tracing::error!(node, error = format!("{error:#}"), "escalation mail not accepted, it is tried again");
            Outcome::MailRefused
        }
    }
}
