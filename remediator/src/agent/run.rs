//! The main loop of the agent: two watches wake it, one order at a time, until it is stopped.

use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt, TryStreamExt};
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::host::Host;
use super::orders::order_id;
use super::{Config, node_files, orders, server};
use crate::api::client;
use crate::api::client::Granted;
use crate::metrics::AgentMetrics;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};

/// Runs the agent of `config.node_name` on `host` until `stop` resolves or one of its tasks exits.
pub async fn run<H: Host>(config: Config, host: H, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let (metrics, granted) = (Arc::new(AgentMetrics::default()), Granted::default());
    let calls = &metrics.api_requests;
    let client = client::requests(calls).await.context("connecting to the Kubernetes API")?;
    let watching = client::watches(calls, Some(&granted)).await.context("connecting to the Kubernetes API")?;
    let names = TaintNames { prefix: config.taint_prefix.clone() };
    let name = config.node_name.clone();
    let here = watcher::Config::default().fields(&format!("metadata.name={name}"));

    let (order, latest) = watch::channel(None);
    let (paused, pause) = watch::channel(None);
    let mut parts = JoinSet::new();
    parts.spawn(follow_record(Api::all(watching.clone()), here.clone(), order));
    parts.spawn(follow_node(Api::all(watching), here, names.clone(), paused, metrics.clone()));
    parts.spawn(server::serve(config.metrics_address, metrics.clone(), granted));
    parts.spawn(node_files::keep(config.run_dir.clone(), pause));
    let worker = orders::Worker { client, config, names, metrics, host: Arc::new(host) };
    parts.spawn(async move { worker.work(latest).await });
    tracing::info!(node = name, "agent started");

    tokio::select! {
        () = stop => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            Ok(Ok(())) => anyhow::bail!("a task of the agent exited unexpectedly"),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        },
    }
}

async fn follow_record(
    api: Api<DeserializeGuard<NodeRepair>>,
    here: watcher::Config,
    order: watch::Sender<Option<Arc<NodeRepair>>>,
) -> anyhow::Result<()> {
    let mut stream = watcher(api, here).default_backoff().boxed();
    loop {
        match stream.try_next().await {
            Ok(Some(watcher::Event::Apply(repair) | watcher::Event::InitApply(repair))) => {
                // A record that cannot be parsed has no order.
                tell(&order, repair.0.ok().filter(|repair| repair.spec.order.is_some()));
            }
            Ok(Some(watcher::Event::Delete(_))) => {
                tell(&order, None);
            }
            Ok(Some(watcher::Event::Init | watcher::Event::InitDone)) => {}
            Ok(None) => anyhow::bail!("the watch of the record ended"),
            Err(error) => tracing::warn!(%error, "watch of the record failed, retrying"),
        }
    }
}

/// Wakes the worker only for another order; it ignores other changes of the record.
fn tell(order: &watch::Sender<Option<Arc<NodeRepair>>>, record: Option<NodeRepair>) {
    order.send_if_modified(|known| {
        let another = order_id(known.as_deref()) != order_id(record.as_ref());
        if another {
            *known = record.map(Arc::new);
        }
        another
    });
}

async fn follow_node(
    api: Api<SlimNode>,
    here: watcher::Config,
    names: TaintNames,
    wanted: watch::Sender<Option<node_files::Wanted>>,
    metrics: Arc<AgentMetrics>,
) -> anyhow::Result<()> {
    let mut stream = watcher(api, here).default_backoff().touched_objects().boxed();
    loop {
        match stream.try_next().await {
            Ok(Some(node)) => {
                let paused = slim_node::view(&node, &names).taints.iter().any(|key| key.is_repair());
                let gpus = node.labels().get(slim_node::GPUS).and_then(|count| count.parse().ok());
                metrics.paused.set(paused.into());
                wanted.send_replace(Some(node_files::Wanted { paused, gpus }));
            }
            Ok(None) => anyhow::bail!("the watch of the node ended"),
            Err(error) => tracing::warn!(%error, "watch of the node failed, retrying"),
        }
    }
}
