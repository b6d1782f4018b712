//! Writer of the complaint boards in the NodeRepairs, for the webhook and for the poll of
//! Alertmanager. It must not report success before the complaint is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta};
use serde_json::json;
use tokio::sync::watch;

use crate::api::records;
use crate::api::request;
use crate::controller::context::Context;
use crate::controller::state::fleet::Board;
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::metrics::Outcome;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

/// Number of nodes whose complaints are written concurrently.
const CONCURRENT: usize = 8;
/// Up to this number, unknown node names are looked up one by one. Above it, one list of all node
/// names is cheaper: a delivery of thousands of alerts about nodes that do not exist would
/// otherwise time out, and so would each retry.
const ASKED_SINGLY: usize = 16;

/// Makes complaints durable, node by node; returns for how many nodes that failed.
///
/// Complaints that are already recorded are skipped, so a retry continues where the last delivery
/// timed out. The new `seen` times of recorded alerts are written last, within `refreshing`; the
/// next poll repeats the ones that are left.
pub async fn record_all(context: &Context, told: BTreeMap<String, Vec<Complaint>>, refreshing: Duration) -> usize {
    let is_news = |node: &str, complaints: &[Complaint], again| {
        complaints.iter().any(|complaint| context.fleet.is_news(node, complaint, again))
    };
    let (mut told, mut again): (BTreeMap<_, _>, BTreeMap<_, _>) =
        told.into_iter().partition(|(node, complaints)| is_news(node, complaints, Duration::MAX));
    let old = context.again();
    again.retain(|node, complaints| is_news(node, complaints, old));
    let _receiving = Receiving::begin(&context.receiving);
    let strangers: BTreeSet<String> = told.keys().filter(|node| !context.fleet.knows(node)).cloned().collect();
    let mut lost = 0;
    if strangers.len() > ASKED_SINGLY {
        match names(context).await {
            Ok(names) => nobody(context, &strangers, |node| !names.contains(node), &mut told),
            Err(error) => {
                tracing::error!(%error, "cannot list the node names, alerts about unknown nodes not recorded");
                lost += strangers.len();
                told.retain(|node, _| !strangers.contains(node));
            }
        }
    }
    lost += write_all(context, told).await;
    lost + tokio::time::timeout(refreshing, write_all(context, again)).await.unwrap_or_default()
}

/// Makes complaints durable; returns for how many nodes that failed.
async fn write_all(context: &Context, told: BTreeMap<String, Vec<Complaint>>) -> usize {
    let writes = futures::stream::iter(told)
        .map(|(node, complaints)| complain(context, node, complaints))
        .buffer_unordered(CONCURRENT)
        .filter(|durable| std::future::ready(!durable));
    writes.count().await
}

/// Counts as one delivery in progress until it is dropped.
struct Receiving<'a>(&'a watch::Sender<usize>);

impl<'a> Receiving<'a> {
    fn begin(deliveries: &'a watch::Sender<usize>) -> Self {
        deliveries.send_modify(|count| *count += 1);
        Self(deliveries)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Lists the names of all nodes.
async fn names(context: &Context) -> Result<BTreeSet<String>, kube::Error> {
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    let list = nodes.list_metadata(&ListParams::default()).await?;
    Ok(list.items.into_iter().filter_map(|node| node.metadata.name).collect())
}

/// Removes the complaints about nodes that do not exist; logs and counts them.
fn nobody(
    context: &Context,
    strangers: &BTreeSet<String>,
    is_nobody: impl Fn(&str) -> bool,
    told: &mut BTreeMap<String, Vec<Complaint>>,
) {
    let nobody: Vec<&String> = strangers.iter().filter(|node| is_nobody(node)).collect();
    let Some(first) = nobody.first() else { return };
    tracing::warn!(nodes = nobody.len(), first, "alerts ignored, the nodes do not exist");
    for node in nobody {
        told.remove(node);
        count_nobody(context);
    }
}

fn count_nobody(context: &Context) {
    let outcome = Outcome { outcome: "no such node".to_owned() };
    context.metrics.webhook_alerts.get_or_create_owned(&outcome).inc();
}

/// Makes the complaints of one node durable; returns `false` if that failed. Complaints about a
/// node that does not exist are ignored, which is no failure.
pub async fn complain(context: &Context, node: String, told: Vec<Complaint>) -> bool {
    match write(context, &node, &told).await {
        Ok(true) => {
            context.wakes.wake(&node);
            true
        }
        Ok(false) => {
            tracing::warn!(node, "alerts ignored, the node does not exist");
            count_nobody(context);
            true
        }
        Err(error) => {
            tracing::error!(node, %error, "cannot record complaints");
            false
        }
    }
}

/// Retries the guarded write until it succeeds; the caller limits the time. Returns `Ok(false)` if
/// there is no such node.
async fn write(context: &Context, name: &str, told: &[Complaint]) -> Result<bool, kube::Error> {
    let repairs: Api<NodeRepair> = Api::all(context.client.clone());
    // Try the cached board first: if it is stale, the API server rejects the write.
    let mut known = context.fleet.board(name);
    if known.is_none() && context.fleet.is_first_complaint(name) {
        known = Some(board(&records::create(&repairs, name).await?));
    }
    let mut fresh = false;
    loop {
        let before = match known.take() {
            Some(known) => known,
            None => match read(context, &repairs, name).await? {
                Some(repair) => {
                    fresh = true;
                    board(&repair)
                }
                None => return Ok(false),
            },
        };
        let after = complaints::receive(&before.complaints, told.iter().cloned());
        if after == before.complaints {
            if fresh {
                return Ok(true);
            }
            continue;
        }
        let read = ObjectMeta { resource_version: before.version, uid: before.uid, ..ObjectMeta::default() };
        let patch = json!({ "metadata": request::guard(&read), "status": { "complaints": after } });
        match records::status(&repairs, name, patch).await {
            Ok(repair) => {
                context.fleet.saw_record(&repair);
                return Ok(true);
            }
            Err(error) if request::lost_race(&error) || (request::not_found(&error) && !fresh) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads the record; creates it if the Node exists without one.
async fn read(context: &Context, repairs: &Api<NodeRepair>, name: &str) -> Result<Option<NodeRepair>, kube::Error> {
    if let Some(repair) = repairs.get_opt(name).await? {
        return Ok(Some(repair));
    }
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    match nodes.get_metadata_opt(name).await? {
        Some(_) => records::create(repairs, name).await.map(Some),
        None => Ok(None),
    }
}

fn board(repair: &NodeRepair) -> Board {
    Board { uid: repair.uid(), version: repair.resource_version(), complaints: repair.record().complaints }
}
