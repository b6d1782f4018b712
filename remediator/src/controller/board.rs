//! The complaint boards in the Kubernetes API: what was told of a node is durable when this says so. Used by the webhook, and
//! for what Alertmanager was asked.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use super::{Context, observe, record};
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::kube_client;
use crate::metrics::Outcome;
use crate::wire::node_repair::{self, NodeRepair};

/// Nodes whose complaints are written at the same time.
const CONCURRENT: usize = 8;
/// Whether so many nodes exist is asked for each of them; of more, one list of all names costs less. A delivery of thousands
/// of alerts about nodes that do not exist would otherwise never come to its end within one answer, nor within the next.
const ASKED_SINGLY: usize = 16;

/// Makes complaints durable, node by node; returns of how many nodes they could not be.
pub async fn record_all(context: &Context, mut told: BTreeMap<String, Vec<Complaint>>) -> usize {
    let strangers: BTreeSet<String> = told.keys().filter(|node| !context.fleet.knows(node)).cloned().collect();
    let mut lost = 0;
    if strangers.len() > ASKED_SINGLY {
        match names(context).await {
            Ok(names) => nobody(context, &strangers, |node| !names.contains(node), &mut told),
            Err(error) => {
                tracing::error!(%error, "listing the names of all nodes");
                lost += strangers.len();
                told.retain(|node, _| !strangers.contains(node));
            }
        }
    }
    let writes = futures::stream::iter(told)
        .map(|(node, complaints)| complain(context, node, complaints))
        .buffer_unordered(CONCURRENT)
        .filter(|durable| std::future::ready(!durable));
    lost + writes.count().await
}

async fn names(context: &Context) -> Result<BTreeSet<String>, kube::Error> {
    let nodes: Api<Node> = Api::all(context.client.clone());
    let list = nodes.list_metadata(&ListParams::default()).await?;
    Ok(list.items.into_iter().filter_map(|node| node.metadata.name).collect())
}

/// Takes out what was told of nodes that do not exist.
fn nobody(
    context: &Context,
    strangers: &BTreeSet<String>,
    is_nobody: impl Fn(&str) -> bool,
    told: &mut BTreeMap<String, Vec<Complaint>>,
) {
    let nobody: Vec<&String> = strangers.iter().filter(|node| is_nobody(node)).collect();
    let Some(first) = nobody.first() else { return };
    tracing::warn!(nodes = nobody.len(), first, "alerts ignored: there are no such nodes");
    for node in nobody {
        told.remove(node);
        count_nobody(context);
    }
}

fn count_nobody(context: &Context) {
    let outcome = Outcome { outcome: "no such node".to_owned() };
    context.metrics.webhook_alerts.get_or_create_owned(&outcome).inc();
}

/// Makes the complaints of one node durable; `false` when that did not succeed.
pub async fn complain(context: &Context, node: String, told: Vec<Complaint>) -> bool {
    match write(context, &node, &told).await {
        Ok(true) => {
            context.wakes.wake(&node);
            true
        }
        Ok(false) => {
            tracing::warn!(node, "alert ignored: there is no such node");
            count_nobody(context);
            true
        }
        Err(error) => {
            tracing::error!(node, %error, "recording a complaint");
            false
        }
    }
}

/// Tries until the guarded write wins; the caller bounds the time. `Ok(false)`: there is no such node.
async fn write(context: &Context, name: &str, told: &[Complaint]) -> Result<bool, kube::Error> {
    let repairs: Api<NodeRepair> = Api::all(context.client.clone());
    loop {
        let repair = match repairs.get_opt(name).await? {
            Some(repair) => repair,
            None => {
                let nodes: Api<Node> = Api::all(context.client.clone());
                if nodes.get_metadata_opt(name).await?.is_none() {
                    return Ok(false);
                }
                observe::create(&repairs, name).await?
            }
        };
        let known = repair.record().complaints;
        let board: Vec<_> = complaints::receive(&known, told.iter().cloned());
        if board == known {
            return Ok(true);
        }
        let board: Vec<_> = board.iter().map(node_repair::Complaint::from).collect();
        let patch = json!({ "metadata": record::guard(&repair), "status": { "complaints": board } });
        match repairs.patch_status(&repair.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if kube_client::lost_race(&error) => {}
            other => return other.map(|_| true),
        }
    }
}
