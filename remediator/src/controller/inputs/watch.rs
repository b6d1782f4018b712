//! Watches of NodeRepairs, Nodes and the budget object. They update the cache and wake nodes; they
//! decide nothing.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};

use crate::controller::context::Context;
use crate::controller::state::fleet::{Fleet, Kind};
use crate::controller::state::wakes::Wakes;
use crate::core::observation::NodeView;
use crate::core::taint::TaintKey;
use crate::core::why::Why;
use crate::wire::budget;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node;
use crate::wire::slim_node::SlimNode;
use ossci_base::clock;

/// Nodes in one page of the first list.
const PAGE: u32 = 50;

/// Wakes a node when its record changes. A record that cannot be read does not affect the others.
pub async fn repairs(client: kube::Client, context: Arc<Context>) -> anyhow::Result<()> {
    let api: Api<DeserializeGuard<NodeRepair>> = Api::all(client);
    let mut stream = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = BTreeSet::new();
    let look = |repair: &DeserializeGuard<NodeRepair>| {
        let name = repair.name_any();
        match &repair.0 {
            Ok(repair) => context.fleet.saw_record(repair),
            Err(_) => context.fleet.saw_unreadable(&name),
        }
        place_is_free(&context.fleet, &context.wakes, &name);
        if !context.fleet.is_ours(Kind::Record, &name, repair.meta().resource_version.as_deref()) {
            context.wakes.wake(&name);
        }
    };
    let lost = |name: &str| {
        context.fleet.lost_record(name);
        context.wakes.wake(name);
        place_is_free(&context.fleet, &context.wakes, name);
    };
    loop {
        match stream.try_next().await {
            Ok(Some(watcher::Event::Apply(repair))) => look(&repair),
            Ok(Some(watcher::Event::Delete(repair))) => lost(&repair.name_any()),
            Ok(Some(watcher::Event::Init)) => listed.clear(),
            Ok(Some(watcher::Event::InitApply(repair))) => {
                listed.insert(repair.name_any());
                look(&repair);
            }
            Ok(Some(watcher::Event::InitDone)) => {
                context.fleet.listed_records(&listed).iter().for_each(|name| lost(name));
                wake_waiting(&context.fleet, &context.wakes, Why::WaitingForBudget);
            }
            Ok(None) => anyhow::bail!("the watch of NodeRepair ended"),
            Err(error) => tracing::warn!(%error, "watch of NodeRepair failed, retrying"),
        }
    }
}

/// Wakes the nodes that wait for a budget slot when the budget object changes.
pub async fn budget(client: kube::Client, context: Arc<Context>) -> anyhow::Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(client, &context.namespace);
    let one = watcher::Config::default().fields(&format!("metadata.name={}", budget::NAME));
    let mut stream = watcher(api, one).default_backoff().boxed();
    let mut there = false;
    loop {
        match stream.try_next().await {
            Ok(Some(watcher::Event::Apply(map) | watcher::Event::InitApply(map))) => {
                there = true;
                context.fleet.saw_places(budget::read(&map));
                if context.fleet.saw_switches(budget::switches(&map)) {
                    context.wake_all();
                }
                wake_waiting(&context.fleet, &context.wakes, Why::WaitingForBudget);
            }
            Ok(Some(watcher::Event::Init)) => there = false,
            Ok(Some(watcher::Event::InitDone)) if there => {}
            Ok(Some(watcher::Event::InitDone | watcher::Event::Delete(_))) => {
                context.fleet.lost_places();
                tracing::error!(
                    namespace = context.namespace,
                    "ConfigMap {} not found, no repair starts until deploy/budget.yaml is applied",
                    budget::NAME
                );
            }
            Ok(None) => anyhow::bail!("the watch of the budget ended"),
            Err(error) => tracing::warn!(%error, "watch of the budget failed, retrying"),
        }
    }
}

/// Wakes the waiting nodes if this node holds a budget slot for an ended episode: they may take it.
fn place_is_free(fleet: &Fleet, wakes: &Wakes, name: &str) {
    if fleet.holds_too_long(name) {
        wake_waiting(fleet, wakes, Why::WaitingForBudget);
    }
}

/// Wakes the nodes that wait for this reason.
fn wake_waiting(fleet: &Fleet, wakes: &Wakes, why: Why) {
    for node in fleet.waiting_for(why) {
        wakes.wake(&node);
    }
}

/// The parts of a Node that can change a decision.
#[derive(PartialEq, Eq)]
struct Glance {
    uid: String,
    boot_id: String,
    ready: bool,
    taints: BTreeSet<TaintKey>,
    hands_off: (Option<String>, bool),
    /// When a person last asked for a proof.
    verify: Option<Timestamp>,
    /// Hash of the labels, which determine the pool, and of the taints that are not ours.
    marks: u64,
}

impl From<NodeView> for Glance {
    fn from(view: NodeView) -> Self {
        let mut marks = DefaultHasher::new();
        (&view.labels, &view.other_taints).hash(&mut marks);
        Self {
            marks: marks.finish(),
            uid: view.uid,
            boot_id: view.boot_id,
            ready: view.ready,
            taints: view.taints,
            hands_off: (view.hold, view.cordoned),
            verify: view.verify.map(|asked| asked.at),
        }
    }
}

/// Wakes a node when a change of its Node can change a decision; a heartbeat of the kubelet cannot.
pub async fn nodes(client: kube::Client, context: Arc<Context>) -> anyhow::Result<()> {
    let api: Api<SlimNode> = Api::all(client);
    // A real Node is about 10 kB. The page size limits the memory of the first list, which is never
    // returned to the system.
    let mut stream = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff().boxed();
    let mut known: HashMap<String, Glance> = HashMap::new();
    let mut listed: HashSet<String> = HashSet::new();
    let look = |known: &mut HashMap<String, Glance>, node: &SlimNode| {
        let site = context.site();
        let view = slim_node::view(node, &site.names);
        let name = node.name_any();
        context.fleet.saw_node(node, &view, &site.policy, clock::monotonic());
        // A node without a record and without a taint of ours needs no decision. Waking it would
        // cost two reads, for each of ten thousand nodes at the start. A record that is not cached
        // yet wakes its node when the watch delivers it.
        let concerns_us = !view.taints.is_empty() || context.fleet.board(&name).is_some();
        let glance = Glance::from(view);
        let before = known.get(&name);
        if before.is_some_and(|before| before.taints.len() > glance.taints.len()) {
            wake_waiting(&context.fleet, &context.wakes, Why::TaintLimit);
        }
        if before != Some(&glance) {
            if concerns_us && !context.fleet.is_ours(Kind::Node, &name, node.meta().resource_version.as_deref()) {
                context.wakes.wake(&name);
            }
            known.insert(name, glance);
        }
    };
    loop {
        match stream.try_next().await {
            Ok(Some(watcher::Event::Apply(node))) => look(&mut known, &node),
            Ok(Some(watcher::Event::Init)) => listed.clear(),
            Ok(Some(watcher::Event::InitApply(node))) => {
                listed.insert(node.name_any());
                look(&mut known, &node);
            }
            Ok(Some(watcher::Event::InitDone)) => {
                known.retain(|name, _| {
                    let there = listed.contains(name);
                    if !there {
                        context.fleet.lost_node(name);
                        context.wakes.wake(name);
                    }
                    there
                });
                context.fleet.listed_nodes();
                wake_waiting(&context.fleet, &context.wakes, Why::WaitingForBudget);
            }
            Ok(Some(watcher::Event::Delete(node))) => {
                known.remove(&node.name_any());
                context.fleet.lost_node(&node.name_any());
                context.wakes.wake(&node.name_any());
            }
            Ok(None) => anyhow::bail!("the watch of Node ended"),
            Err(error) => tracing::warn!(%error, "watch of Node failed, retrying"),
        }
    }
}
