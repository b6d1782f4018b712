//! Step three: the controller's part of the record, as one guarded write of what changed and nothing else.

use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::records;
use crate::api::request::guard;
use crate::api::request::{RequestError, doing};
use crate::controller::context::Context;
use crate::controller::state::fleet::Kind;
use crate::core::record::{Order, Repair};
use crate::wire::merge;
use crate::wire::node_repair;
use crate::wire::node_repair::NodeRepair;

/// Writes `next` over what `repair` says; loses when anybody wrote since `repair` was read.
pub async fn write(context: &Context, repair: &NodeRepair, next: &Repair) -> Result<NodeRepair, RequestError> {
    let old = node_repair::controllers_part(&repair.record().repair);
    let new = node_repair::controllers_part(next);
    let status = merge::difference(&json!(old), &json!(new)).unwrap_or_else(|| json!({}));
    let patch = json!({ "metadata": guard(repair.meta()), "status": status });
    let written = records::status(&repairs(context), &repair.name_any(), patch).await;
    let repair = written.map_err(doing("recording the decision"))?;
    saw(context, &repair);
    Ok(repair)
}

/// Our own write is known before the watch tells of it, and wakes nobody.
fn saw(context: &Context, repair: &NodeRepair) {
    let name = repair.name_any();
    context.fleet.saw_record(repair);
    context.fleet.wrote(Kind::Record, &name, repair.resource_version());
}

/// Takes the record away, unless anybody wrote to it since it was read.
pub async fn delete(context: &Context, repair: &NodeRepair) -> Result<(), RequestError> {
    let as_read = Preconditions { uid: repair.uid(), resource_version: repair.resource_version() };
    let guarded = DeleteParams { preconditions: Some(as_read), ..DeleteParams::default() };
    let deleted = repairs(context).delete(&repair.name_any(), &guarded).await;
    deleted.map_err(doing("deleting a record that is old"))?;
    tracing::info!(node = repair.name_any(), "a record that is over and old was deleted");
    Ok(())
}

/// Writes or withdraws the order.
pub async fn write_order(
    context: &Context,
    repair: &NodeRepair,
    order: Option<&Order>,
) -> Result<NodeRepair, RequestError> {
    let old = json!({ "order": repair.spec.order });
    let new = json!({ "order": order });
    let spec = merge::difference(&old, &new).unwrap_or_else(|| json!({}));
    let patch = json!({ "metadata": guard(repair.meta()), "spec": spec });
    let written = records::spec(&repairs(context), &repair.name_any(), patch).await;
    let repair = written.map_err(doing("writing the order"))?;
    saw(context, &repair);
    Ok(repair)
}

fn repairs(context: &Context) -> Api<NodeRepair> {
    Api::all(context.client.clone())
}
