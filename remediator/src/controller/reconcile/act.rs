//! Step four: the one act of a decision.

use std::time::{Duration, Instant};

use kube::{Api, ResourceExt};

use crate::api::evidence_maps;
use crate::api::reimage_script;
use crate::api::request::{RequestError, doing};
use crate::controller::context::Context;
use crate::controller::reconcile::sight::Sight;
use crate::controller::reconcile::{budget, evict, record, taints};
use crate::controller::services::provisioning;
use crate::core::decide::Action;
use crate::core::observation::{NodeView, Observation, ProvisioningAnswer, ResetAnswer};
use crate::core::record::{ProvisioningState, Record, ResetState};
use crate::core::taint::TaintKey;
use crate::metrics::ByKind;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node;
use crate::wire::slim_node::SlimNode;
use ossci_base::clock;

/// From the record of a reset to its request.
const AT_ONCE: Duration = Duration::from_secs(5);

const NO_SERVICE: &str = "the policy names no provisioning service any more";

/// What came of an act, beyond what the next look at the world shows.
pub enum Outcome {
    Done,
    /// The node as our write left it.
    Node(Box<SlimNode>),
    /// The record as our write left it.
    Record(Box<NodeRepair>),
    MailAccepted(String),
    MailRefused,
    Reset(ResetAnswer),
    Provisioning(ProvisioningAnswer),
}

/// `recorded`: the reset or the reimage that this very turn put on record, and when.
pub async fn act(
    context: &Context,
    sight: &Sight,
    seen: &Observation,
    action: Action,
    recorded: Option<&(String, Instant)>,
) -> Result<Outcome, RequestError> {
    let repair = &sight.repair;
    let node = repair.name_any();
    let kind = kind(&action);
    let outcome = match action {
        Action::PlaceTaint { key, replaces } => {
            Outcome::Node(Box::new(taints::place(context, sight, key, replaces).await?))
        }
        Action::RemoveTaint { key } => Outcome::Node(Box::new(taints::remove(context, sight, key).await?)),
        Action::Evict(pods) => {
            evict::evict(context, &node, &pods).await?;
            Outcome::Done
        }
        Action::IssueOrder(mut order) => {
            if let Some(script) = &mut order.script {
                let (map, key) = (&script.config_map, &script.key);
                let read = reimage_script::read(&context.client, &context.namespace, map, key).await;
                script.sha256 = read.map_err(doing("reading the reimage script"))?.map(|read| read.sha256);
            }
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
            budget::take(context, repair, seen).await?;
            Outcome::Done
        }
        Action::GivePlaceBack => {
            budget::give_back(context, &node).await?;
            Outcome::Done
        }
        Action::SendMail { message_id } => mail(context, repair, seen, message_id).await,
        Action::ResetNode { id, boot_id } => {
            let recorded = recorded.filter(|(known, _)| *known == id).map(|(_, at)| *at);
            let (state, message) = reset(context, &node, &boot_id, recorded).await?;
            tracing::warn!(node, reset = id, state = %state, message, "reset by the BMC");
            Outcome::Reset(ResetAnswer { id, state, message })
        }
        Action::StartProvisioning { id, boot_id } => {
            let recorded = recorded.filter(|(known, _)| *known == id).map(|(_, at)| *at);
            let asked = (id.as_str(), boot_id.as_str(), recorded);
            let (state, message) = start_provisioning(context, &node, seen, &repair.record(), asked).await?;
            tracing::info!(node, reimage = id, state = %state, message, "reimage by the provisioning service");
            Outcome::Provisioning(ProvisioningAnswer { id, state, message })
        }
        Action::LookAtProvisioning { id, state } => {
            let (state, message) = match &context.site().provisioning {
                Some(service) => service.look(&node, &id, state).await,
                None => (state, NO_SERVICE.to_owned()),
            };
            tracing::debug!(node, reimage = id, state = %state, message, "the provisioning service was asked");
            Outcome::Provisioning(ProvisioningAnswer { id, state, message })
        }
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
        Action::ResetNode { .. } => "reset-node",
        Action::StartProvisioning { .. } => "start-provisioning",
        Action::LookAtProvisioning { .. } => "look-at-provisioning",
        Action::TakePlace => "take-place",
        Action::GivePlaceBack => "give-place-back",
    }
}

/// A reset is asked for only by the turn that put it on record, at once, and while the node is still on the boot to be ended.
async fn reset(
    context: &Context,
    name: &str,
    boot_id: &str,
    recorded: Option<Instant>,
) -> Result<(ResetState, String), RequestError> {
    let Some(recorded) = recorded else {
        let text = "whoever put this reset on record was ended: nobody knows whether it was sent";
        return Ok((ResetState::Unknown, text.to_owned()));
    };
    let site = context.site();
    let Some(bmc) = &site.bmc else {
        return Ok((ResetState::Failed, "the policy names no BMC any more".to_owned()));
    };
    if still(context, name, boot_id).await?.is_none_or(|view| view.ready) {
        return Ok((ResetState::Failed, "the node is not any more what it was when its reset was decided".to_owned()));
    }
    if let Err(why) = context.resets.begin(clock::monotonic()) {
        return Ok((
            ResetState::Failed,
            format!("no reset was sent: {why}, which is no fault of single nodes any more"),
        ));
    }
    Ok(bmc.reset(name, recorded + AT_ONCE, || context.leadership.leads()).await)
}

/// Asked for at once by the turn that put it on record, and while the node is still on the boot to be ended. Any other turn asks
/// first whether the service has it.
async fn start_provisioning(
    context: &Context,
    node: &str,
    seen: &Observation,
    record: &Record,
    (id, boot_id, recorded): (&str, &str, Option<Instant>),
) -> Result<provisioning::Outcome, RequestError> {
    let site = context.site();
    let Some(service) = &site.provisioning else {
        return Ok((ProvisioningState::Asked, NO_SERVICE.to_owned()));
    };
    let episode = record.repair.episode.as_ref();
    let addresses = seen.node.iter().flat_map(|node| &node.addresses);
    let request = provisioning::Request {
        node,
        boot_id,
        addresses: addresses.map(|(kind, address)| provisioning::Address { r#type: kind, address }).collect(),
        reason: episode.and_then(|episode| episode.steps.first()).map_or("", |step| &step.outcome.message),
        deadline: episode.and_then(|episode| episode.until),
    };
    let may = async || {
        let leads = context.leadership.leads();
        leads
            && matches!(still(context, node, boot_id).await, Ok(Some(view)) if view.taints.contains(&TaintKey::RepairReimage))
    };
    let Some(recorded) = recorded else {
        return Ok(service.start_again(id, &request, may).await);
    };
    let left = (recorded + AT_ONCE).saturating_duration_since(clock::monotonic());
    if left.is_zero() || !may().await {
        let text = "the node is not any more what it was when its reimage was decided, or this took too long";
        return Ok((ProvisioningState::Pending, text.to_owned()));
    }
    Ok(service.start(id, &request, provisioning::ANSWERS).await)
}

/// The node as it is now, on this boot and without a hold; `None`: it is not so any more.
async fn still(context: &Context, name: &str, boot_id: &str) -> Result<Option<NodeView>, RequestError> {
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    let node = nodes.get_opt(name).await.map_err(doing("reading the node before its boot is ended"))?;
    let view = node.map(|node| slim_node::view(&node, &context.site().names));
    Ok(view.filter(|view| view.boot_id == boot_id && view.hold.is_none()))
}

/// A mail that is not accepted is tried again for ever: a person has to hear of the node.
async fn mail(context: &Context, repair: &NodeRepair, seen: &Observation, message_id: String) -> Outcome {
    let node = repair.name_any();
    let site = context.site();
    let Some(mailer) = &site.mailer else {
        tracing::error!(node, "a person is needed, and the policy names no mail server");
        return Outcome::MailRefused;
    };
    let record = repair.record();
    let files = evidence_maps::files_of(&context.client, &context.namespace, &record).await;
    match mailer.escalate(&message_id, &node, seen.node.as_ref(), &record, files).await {
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
