//! Two conditions: `OssciHealthy` on the Node, by server-side apply under our own field manager, so
//! that no other condition is touched; and `Understood` on a record that once made no sense.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime as Time;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta, Patch, PatchParams};
use serde_json::json;

use crate::api::request::guard;
use crate::api::request::{RequestError, doing};
use crate::controller::reconcile::sight::Sight;
use crate::controller::state::fleet::Fleet;
use crate::core::health;
use crate::core::why::{Reason, Why};
use crate::wire::node_repair::{Condition, NodeRepair};
use crate::wire::slim_node;
use crate::wire::slim_node::{CONDITION, SlimNode};
use ossci_base::words::ClosedWord;

const UNDERSTOOD: &str = "Understood";
const MANAGER: &str = "ossci-remediator";

/// Writes both conditions where they changed.
pub async fn show(
    client: &kube::Client,
    fleet: &Fleet,
    now: Timestamp,
    sight: &Sight,
    why: &Reason,
) -> Result<(), RequestError> {
    let stands = sight.repair.status.as_ref().and_then(|status| status.conditions.first());
    if stands.is_some() || why.why == Why::NotUnderstood {
        of_record(client, now, &sight.repair.metadata, stands, why).await?;
    }
    of_node(client, fleet, now, sight.node.as_ref(), why).await
}

/// Reads the condition of a record that cannot be deserialised as a whole.
pub async fn of_unreadable(client: &kube::Client, name: &str) -> Result<Option<Condition>, RequestError> {
    let raw: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<NodeRepair>(&()));
    let raw = raw.get(name).await.map_err(doing("reading a record that is not understood"))?;
    let stands = raw.data.pointer("/status/conditions/0").cloned();
    Ok(stands.and_then(|stands| serde_json::from_value(stands).ok()))
}

/// Writes the condition `Understood` of the record, unless it is `stands` already.
pub async fn of_record(
    client: &kube::Client,
    now: Timestamp,
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
        last_transition_time: Time(now),
    };
    let patch = json!({ "metadata": guard(record), "status": { "conditions": [condition] } });
    let repairs: Api<PartialObjectMeta<NodeRepair>> = Api::all(client.clone());
    let name = record.name.as_deref().unwrap_or_default();
    let shown = repairs.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    shown.map(drop).map_err(doing("showing the condition Understood"))
}

/// Writes the condition `OssciHealthy` where it changed. Without a Node there is nothing to write.
pub async fn of_node(
    client: &kube::Client,
    fleet: &Fleet,
    now: Timestamp,
    node: Option<&SlimNode>,
    why: &Reason,
) -> Result<(), RequestError> {
    let Some(node) = node else { return Ok(()) };
    let (stands, wanted) = (slim_node::condition(node), health::condition(why));
    if !health::is_news(stands.as_ref(), &wanted) {
        return Ok(());
    }
    let now = format!("{now:.0}");
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
    let nodes: Api<SlimNode> = Api::all(client.clone());
    let ours = PatchParams::apply(MANAGER).force();
    let shown = nodes.patch_status(&node.name_any(), &ours, &Patch::Apply(patch)).await;
    fleet.read_node(&shown.map_err(doing("showing the condition OssciHealthy"))?);
    Ok(())
}
