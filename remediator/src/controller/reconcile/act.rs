//! Step four: act. Carries out the one action of a decision; decides nothing itself.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use ossci_base::clock;

use super::budget::Budget;
use super::sight::Sight;
use super::{evict, observe, record, taints};
use crate::api::request::{RequestError, doing};
use crate::api::scripts;
use crate::controller::context::Context;
use crate::controller::services::provisioning;
use crate::controller::state::site::Site;
use crate::core::decide::Action;
use crate::core::observation::{MailAnswer, NodeView, Observation, ProvisioningAnswer, ResetAnswer};
use crate::core::outbox::{Answer, Due};
use crate::core::record::{Mail, ProvisioningState, ResetState};
use crate::core::taint::TaintKey;
use crate::metrics::ByKind;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};

/// The longest time from recording a request to sending it. After that another writer may have
/// changed the node.
const AT_ONCE: Duration = Duration::from_secs(5);

const NO_SERVICE: &str = "the policy no longer names a provisioning service";

/// What an action returned, beyond what the next observation shows.
pub enum Outcome {
    Done,
    /// The Node as our write left it.
    Node(Box<SlimNode>),
    /// The record as our write left it.
    Record(Box<NodeRepair>),
    Mail(MailAnswer),
    Reset(ResetAnswer),
    Provisioning(ProvisioningAnswer),
}

/// What an action is carried out with.
pub struct Acting<'a> {
    pub context: &'a Context,
    pub site: &'a Site,
    pub sight: &'a Sight,
    pub seen: &'a Observation,
    /// The BMC reset or provisioning request that this reconcile put on record, and when.
    pub requested: Option<&'a (String, Instant)>,
}

pub async fn act(acting: &Acting<'_>, action: Action) -> Result<Outcome, RequestError> {
    let Acting { context, site, sight, seen, requested } = *acting;
    let (client, fleet, names) = (&context.client, &context.fleet, &site.names);
    let budget = Budget { client, namespace: &context.namespace, fleet };
    let repair = &sight.repair;
    let node = repair.name_any();
    let kind = kind(&action);
    let outcome = match action {
        Action::PlaceTaint { key, replaces } => {
            Outcome::Node(Box::new(taints::place(client, fleet, names, sight, key, &replaces).await?))
        }
        Action::RemoveTaint { key } => Outcome::Node(Box::new(taints::remove(client, fleet, names, sight, key).await?)),
        Action::Evict(pods) => {
            evict::evict(client, &context.evictions, &node, &pods).await;
            Outcome::Done
        }
        Action::IssueOrder(mut order) => {
            if let Some(script) = order.script_mut() {
                let read = scripts::read(client, &context.namespace, script).await;
                script.sha256 = read.map_err(doing("reading the script of an order"))?.map(|read| read.sha256);
            }
            let repair = record::write_order(client, fleet, repair, Some(&order)).await?;
            tracing::info!(node, order = order.id, kind = %order.kind, "order issued");
            Outcome::Record(Box::new(repair))
        }
        Action::WithdrawOrder { id } => {
            let repair = record::write_order(client, fleet, repair, None).await?;
            tracing::info!(node, order = id, "order withdrawn");
            Outcome::Record(Box::new(repair))
        }
        Action::TakePlace => {
            budget.take(&site.policy, context.now(), repair, seen).await?;
            Outcome::Done
        }
        Action::GivePlaceBack => {
            budget.give_back(&node).await?;
            Outcome::Done
        }
        Action::SendMail(due) => Outcome::Mail(mail(acting, &due)),
        Action::ResetNode { id, boot_id } => {
            let at = requested.filter(|(known, _)| *known == id).map(|(_, at)| *at);
            let (state, message) = reset(acting, &boot_id, at).await?;
            tracing::warn!(node, reset = id, state = %state, message, "reset by the BMC");
            Outcome::Reset(ResetAnswer { id, state, message })
        }
        Action::StartProvisioning { id, boot_id } => {
            let at = requested.filter(|(known, _)| *known == id).map(|(_, at)| *at);
            let (state, message) = start_provisioning(acting, &id, &boot_id, at).await?;
            tracing::info!(node, reimage = id, state = %state, message, "reimage by the provisioning service");
            Outcome::Provisioning(ProvisioningAnswer { id, state, message })
        }
        Action::LookAtProvisioning { id, state } => {
            let (state, message) = match &site.provisioning {
                Some(service) => service.look(&node, &id, state).await,
                None => (state, NO_SERVICE.to_owned()),
            };
            tracing::debug!(node, reimage = id, state = %state, message, "asked the provisioning service");
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
        Action::SendMail(_) => "send-mail",
        Action::ResetNode { .. } => "reset-node",
        Action::StartProvisioning { .. } => "start-provisioning",
        Action::LookAtProvisioning { .. } => "look-at-provisioning",
        Action::TakePlace => "take-place",
        Action::GivePlaceBack => "give-place-back",
    }
}

/// Sends a reset only in the reconcile that put it on record, within 5 s, and while the node is
/// still on the boot that it ends.
async fn reset(acting: &Acting<'_>, boot_id: &str, at: Option<Instant>) -> Result<(ResetState, String), RequestError> {
    let Acting { context, site, sight, .. } = *acting;
    let name = &sight.name();
    let Some(bmc) = &site.bmc else {
        let state = if at.is_some() { ResetState::Failed } else { ResetState::Unknown };
        return Ok((state, "the policy no longer names a BMC".to_owned()));
    };
    let view = still(&context.client, &site.names, name, boot_id).await?.filter(|view| !view.ready);
    let Some(at) = at else {
        let text = "the controller restarted between recording and sending this reset; it counts as sent";
        let found = match view {
            Some(view) => {
                bmc.finish(name, view.system_uuid.as_deref()).await.unwrap_or_else(|error| format!("{error:#}"))
            }
            None => "the node changed since".to_owned(),
        };
        return Ok((ResetState::Unknown, format!("{text}: {found}")));
    };
    let Some(view) = view else {
        return Ok((ResetState::Failed, "the node changed after its reset was decided, no reset was sent".to_owned()));
    };
    if let Err(why) = context.resets.begin(clock::monotonic()) {
        return Ok((ResetState::Failed, format!("no reset was sent: {why}, which is not the fault of single nodes")));
    }
    let uuid = view.system_uuid.as_deref();
    Ok(bmc.reset(name, uuid, at + AT_ONCE, || context.leadership.leads()).await)
}

/// Sends a provisioning request in the reconcile that put it on record, within 5 s, and while the
/// node is still on the boot to be ended. Any other reconcile asks first whether the service has
/// the request.
async fn start_provisioning(
    acting: &Acting<'_>,
    id: &str,
    boot_id: &str,
    at: Option<Instant>,
) -> Result<provisioning::Outcome, RequestError> {
    let Acting { context, site, sight, seen, .. } = *acting;
    let Some(service) = &site.provisioning else {
        return Ok((ProvisioningState::Asked, NO_SERVICE.to_owned()));
    };
    let (node, record) = (&sight.name(), sight.repair.record());
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
        let view = still(&context.client, &site.names, node, boot_id).await;
        leads && matches!(view, Ok(Some(view)) if view.taints.contains(&TaintKey::RepairReimage))
    };
    let Some(at) = at else {
        return Ok(service.start_again(id, &request, may).await);
    };
    let left = (at + AT_ONCE).saturating_duration_since(clock::monotonic());
    if left.is_zero() || !may().await {
        let text = "not sent: the node changed after its reimage was decided, or more than 5 s passed";
        return Ok((ProvisioningState::Pending, text.to_owned()));
    }
    Ok(service.start(id, &request, provisioning::ANSWERS).await)
}

/// Reads the Node; `None` unless it is still on this boot and without a hold.
async fn still(
    client: &kube::Client,
    names: &TaintNames,
    name: &str,
    boot_id: &str,
) -> Result<Option<NodeView>, RequestError> {
    let view = observe::read_node(client, name).await?.map(|node| slim_node::view(&node, names));
    Ok(view.filter(|view| view.boot_id == boot_id && view.hold.is_none()))
}

/// Puts a mail into the outbox, which sends it, and returns what the outbox knows of it.
fn mail(acting: &Acting<'_>, mail: &Mail) -> MailAnswer {
    let Acting { context, site, sight, .. } = *acting;
    let record = sight.repair.record();
    let episode = record.repair.episode.as_ref();
    let due = Due {
        message_id: mail.message_id.clone(),
        kind: mail.kind,
        about: sight.name(),
        pool: episode.and_then(|episode| episode.pool.clone()).unwrap_or_default(),
        since: mail.due_at.or(episode.map(|episode| episode.since)).unwrap_or_else(|| context.now()),
        notice: None,
    };
    let answer = match (context.outbox.post(due), &site.mailer) {
        (Answer::Waits(_), None) => Answer::Waits(Some("the policy names no mail server; set mail".to_owned())),
        (answer, _) => answer,
    };
    MailAnswer { message_id: mail.message_id.clone(), answer }
}
