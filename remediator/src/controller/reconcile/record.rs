//! Step three: record. Writes the controller's part of the record as one guarded patch of what
//! changed.

use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::records;
use crate::api::request::guard;
use crate::api::request::{RequestError, doing};
use crate::controller::state::fleet::{Fleet, Kind};
use crate::core::record::{Order, Repair};
use crate::wire::merge;
use crate::wire::node_repair;
use crate::wire::node_repair::NodeRepair;

/// Writes `next` over `repair`; the API server rejects it when the record changed since `repair`
/// was read.
pub async fn write(
    client: &kube::Client,
    fleet: &Fleet,
    repair: &NodeRepair,
    next: &Repair,
) -> Result<NodeRepair, RequestError> {
    let old = node_repair::controllers_part(&repair.record().repair);
    let new = node_repair::controllers_part(next);
    let status = merge::difference(&json!(old), &json!(new)).unwrap_or_else(|| json!({}));
    let patch = json!({ "metadata": guard(repair.meta()), "status": status });
    let written = records::status(&repairs(client), &repair.name_any(), patch).await;
    let repair = written.map_err(doing("recording the decision"))?;
    saw(fleet, &repair);
    Ok(repair)
}

/// The cache knows our own write before the watch delivers it, and the watch wakes no node for it.
fn saw(fleet: &Fleet, repair: &NodeRepair) {
    let name = repair.name_any();
    fleet.saw_record(repair);
    fleet.wrote(Kind::Record, &name, repair.resource_version());
}

/// Deletes the record, unless it changed since it was read.
pub async fn delete(client: &kube::Client, repair: &NodeRepair) -> Result<(), RequestError> {
    let as_read = Preconditions { uid: repair.uid(), resource_version: repair.resource_version() };
    let guarded = DeleteParams { preconditions: Some(as_read), ..DeleteParams::default() };
    let deleted = repairs(client).delete(&repair.name_any(), &guarded).await;
    deleted.map_err(doing("deleting a finished record"))?;
    tracing::info!(node = repair.name_any(), "finished record deleted after its retention");
    Ok(())
}

/// Writes the order; `None` withdraws it.
pub async fn write_order(
    client: &kube::Client,
    fleet: &Fleet,
    repair: &NodeRepair,
    order: Option<&Order>,
) -> Result<NodeRepair, RequestError> {
    let old = json!({ "order": repair.spec.order });
    let new = json!({ "order": order });
    let spec = merge::difference(&old, &new).unwrap_or_else(|| json!({}));
    let patch = json!({ "metadata": guard(repair.meta()), "spec": spec });
    let written = records::spec(&repairs(client), &repair.name_any(), patch).await;
    let repair = written.map_err(doing("writing the order"))?;
    saw(fleet, &repair);
    Ok(repair)
}

fn repairs(client: &kube::Client) -> Api<NodeRepair> {
    Api::all(client.clone())
}
