//! Two conditions: `OssciHealthy` on the node, by server-side apply under our own name, so that no other is touched; and
//! `Understood` on the record, where it ever was in doubt.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime as Time;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;

use crate::api::request::guard;
use crate::api::request::{RequestError, doing};
use crate::controller::context::Context;
use crate::controller::reconcile::sight::Sight;
use crate::core::health;
use crate::core::why::{Reason, Why};
use crate::wire::node_repair::{Condition, NodeRepair};
use crate::wire::slim_node;
use crate::wire::slim_node::{CONDITION, SlimNode};
use ossci_base::words::ClosedWord;

const UNDERSTOOD: &str = "Understood";
const MANAGER: &str = "ossci-remediator";

/// Shows both, where they have something new to say.
pub async fn show(context: &Context, sight: &Sight, why: &Reason) -> Result<(), RequestError> {
    let stands = sight.repair.status.as_ref().and_then(|status| status.conditions.first());
    if stands.is_some() || why.why == Why::NotUnderstood {
        of_record(context, &sight.repair.metadata, stands, why).await?;
    }
    of_node(context, sight.node.as_ref(), why).await
}

/// What the condition of a record says that cannot be read as a whole.
pub async fn unreadable(context: &Context, name: &str) -> Result<Option<Condition>, RequestError> {
    let raw: Api<DynamicObject> = Api::all_with(context.client.clone(), &ApiResource::erase::<NodeRepair>(&()));
    let raw = raw.get(name).await.map_err(doing("reading a record that is not understood"))?;
    let stands = raw.data.pointer("/status/conditions/0").cloned();
    Ok(stands.and_then(|stands| serde_json::from_value(stands).ok()))
}

/// Says on the record whether it was understood. `stands` is what it says so far.
pub async fn of_record(
    context: &Context,
    record: &ObjectMeta,
    stands: Option<&Condition>,
    why: &Reason,
) -> Result<(), RequestError> {
    let understood = why.why != Why::NotUnderstood;
    let (status, reason, message) = match understood {
        true => ("True", "Understood", "the record makes sense"),
        false => ("False", why.why.as_str(), why.message.as_str()),
    };
    if stands.is_some_and(|stands| stands.status == status && stands.message == message) {
        return Ok(());
    }
    let condition = Condition {
        type_: UNDERSTOOD.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(context.now()),
    };
    let patch = json!({ "metadata": guard(record), "status": { "conditions": [condition] } });
    let repairs: Api<PartialObjectMeta<NodeRepair>> = Api::all(context.client.clone());
    let name = record.name.as_deref().unwrap_or_default();
    let shown = repairs.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    shown.map(drop).map_err(doing("showing the condition Understood"))
}

/// Shows `OssciHealthy` where it has something new to say; no node, no condition.
pub async fn of_node(context: &Context, node: Option<&SlimNode>, why: &Reason) -> Result<(), RequestError> {
    let Some(node) = node else { return Ok(()) };
    let (stands, wanted) = (slim_node::condition(node), health::condition(why));
    if !health::is_news(stands.as_ref(), &wanted) {
        return Ok(());
    }
    let now = format!("{:.0}", context.now());
    let since = match &stands {
        Some(stands) if stands.status == wanted.status => slim_node::condition_since(node).unwrap_or(now),
        _ => now,
    };
    let patch = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": node.name_any(), "uid": node.uid() },
        "status": { "conditions": [{
            "type": CONDITION, "status": wanted.status, "reason": wanted.reason, "message": wanted.message,
            "lastTransitionTime": since,
        }]},
    });
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    let ours = PatchParams::apply(MANAGER).force();
    let shown = nodes.patch_status(&node.name_any(), &ours, &Patch::Apply(patch)).await;
    context.fleet.read_node(&shown.map_err(doing("showing the condition OssciHealthy"))?);
    Ok(())
}
