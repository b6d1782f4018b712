//! Step one: what is recorded and what is there, as the watches told it, or read afresh where that matters.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::core::DeserializeGuard;

use crate::api::records;
use crate::api::request::{RequestError, doing};
use crate::controller::context::Context;
use crate::controller::reconcile::condition;
use crate::controller::reconcile::sight::{Fresh, Sight, Told};
use crate::controller::state::fleet;
use crate::controller::state::fleet::Asking;
use crate::core::budget::Seat;
use crate::core::gates;
use crate::core::gates::Around;
use crate::core::observation::{Observation, PodView};
use crate::core::policy::{DrainMode, Pool};
use crate::core::record::{Episode, Phase, Record, Rung};
use crate::core::why::{Reason, Why};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node;
use crate::wire::slim_node::SlimNode;
use ossci_base::clock;

/// Reads what has to be fresh and what no watch told. A node that carries a taint of ours and has no record gets one: a person's `kubectl taint` starts a rung.
/// `None`: nothing was ever asked for this node.
pub async fn sight(context: &Context, name: &str, wanted: Fresh) -> Result<Option<Sight>, RequestError> {
    let repairs: Api<NodeRepair> = Api::all(context.client.clone());
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    let (kept, kept_node) = context.fleet.kept(name);
    let mut fresh = Fresh::default();
    let repair = match kept.filter(|_| !wanted.record) {
        Some(kept) => Some(NodeRepair::clone(&kept)),
        None => {
            fresh.record = true;
            match readable(context, name).await? {
                Reading::There(repair) => Some(*repair),
                Reading::Absent => None,
                Reading::Unreadable => return Ok(None),
            }
        }
    };
    let node = match kept_node.filter(|_| !wanted.node) {
        Some(kept) => Some(SlimNode::clone(&kept)),
        None => {
            fresh.node = true;
            let node = nodes.get_opt(name).await.map_err(doing("reading the node"))?;
            node.iter().for_each(|node| context.fleet.read_node(node));
            node
        }
    };
    if let Some(repair) = repair {
        return Ok(Some(Sight { repair, node, fresh }));
    }
    let tainted = node.as_ref().is_some_and(|node| !slim_node::view(node, &context.site().names).taints.is_empty());
    if !tainted {
        return Ok(None);
    }
    let repair = records::create(&repairs, name).await.map_err(doing("creating the record"))?;
    Ok(Some(Sight { repair, node, fresh }))
}

enum Reading {
    There(Box<NodeRepair>),
    Absent,
    /// It is there, and nobody can say what it means.
    Unreadable,
}

/// Reads the record; one that cannot be read is said to be so on itself and on the node.
async fn readable(context: &Context, name: &str) -> Result<Reading, RequestError> {
    let repairs: Api<DeserializeGuard<NodeRepair>> = Api::all(context.client.clone());
    let Some(repair) = repairs.get_opt(name).await.map_err(doing("reading the record"))? else {
        return Ok(Reading::Absent);
    };
    match repair.0 {
        Ok(repair) => {
            context.fleet.saw_record(&repair);
            Ok(Reading::There(Box::new(repair)))
        }
        Err(invalid) => {
            let why = Reason::new(Why::NotUnderstood, format!("the record cannot be read: {}", invalid.error));
            tracing::error!(node = name, error = invalid.error, "the record cannot be read; the node is left alone");
            let stands = condition::unreadable(context, name).await?;
            condition::of_record(context, &invalid.metadata, stands.as_ref(), &why).await?;
            let nodes: Api<SlimNode> = Api::all(context.client.clone());
            let node = nodes.get_opt(name).await.map_err(doing("reading the node"))?;
            condition::of_node(context, node.as_ref(), &why).await?;
            Ok(Reading::Unreadable)
        }
    }
}

/// What the core is to see: the node, what is around it, and its pods where the phase asks for them.
pub async fn world(context: &Context, sight: &Sight, record: &Record, told: Told) -> Result<Observation, RequestError> {
    let Sight { repair, node, .. } = sight;
    let name = &repair.name_any();
    let uid = repair.uid().unwrap_or_default();
    let site = context.site();
    let episode = record.repair.episode.as_ref();
    let node = node.as_ref().map(|node| slim_node::view(node, &site.names));
    let asking =
        Asking { node: name, uid: &uid, record, policy: &site.policy, now: context.now(), at: clock::monotonic() };
    // A node at rest needs no comparison with all others.
    let at_rest = episode.is_none_or(|episode| episode.phase.is_over())
        && record.complaints.iter().all(|complaint| !complaint.firing)
        && !context.fleet.holds(name);
    let standing = if at_rest { None } else { context.fleet.standing(asking, None) };
    let seat = match &standing {
        Some(standing) => standing.seat,
        // It is in no pool any more, or gone: what it holds is to be given back.
        None => {
            let held = |episode: &&Episode| context.fleet.holds_for(name, &fleet::holder(&uid, episode));
            episode.filter(held).map(|_| Seat::Held)
        }
    };
    let pool = node.as_ref().and_then(|node| site.policy.pool_of(&node.labels));
    let halt = pool.zip(standing.as_ref()).and_then(|(pool, standing)| {
        let around = Around {
            skewed: context.time.skewed(),
            paused: standing.paused.as_deref(),
            alerts_unknown: site.alertmanager.as_ref().is_some_and(|replicas| context.alerts.unknown(replicas)),
            storm: standing.storm,
            rung_fails: standing.rung_fails,
        };
        gates::halt(around, pool, episode.map_or(Rung::Reboot, |episode| episode.rung), asking.now)
    });
    let waits = |pool: &Pool| pool.drain == DrainMode::WaitForJobs;
    let draining = episode.is_some_and(|episode| match episode.phase {
        Phase::Draining => true,
        Phase::Waiting => pool.is_some_and(waits),
        _ => false,
    });
    let pods = if draining { pods_to_leave(context, name).await? } else { Vec::new() };
    let rebooting = episode.is_some_and(|episode| episode.phase == Phase::Rebooting);
    let dead = match (&site.bmc, &node) {
        (Some(bmc), Some(node)) if rebooting && !node.ready => is_silent(context, name, bmc.dead).await?,
        _ => false,
    };
    Ok(Observation {
        node,
        pods,
        refused: context.evictions.refused(name),
        accepted_mail: told.accepted_mail,
        reset: told.reset,
        provisioned: told.provisioned,
        bmc: site.bmc.is_some(),
        dead,
        seat,
        halt,
        taints_full: standing.as_ref().is_some_and(|standing| standing.taints_full),
        many_down: standing.as_ref().is_some_and(|standing| standing.many_down),
        many_slow: standing.is_some_and(|standing| standing.many_slow),
        silenced: context.alerts.silenced(&record.complaints),
    })
}

/// The kubelet has a Lease and has not renewed it for so long.
async fn is_silent(context: &Context, name: &str, limit: Duration) -> Result<bool, RequestError> {
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), "kube-node-lease");
    let lease = leases.get_opt(name).await.map_err(doing("reading the kubelet's Lease"))?;
    let renewed = lease.and_then(|lease| lease.spec).and_then(|spec| spec.renew_time);
    let silent = renewed.and_then(|renewed| Duration::try_from(context.now().duration_since(renewed.0)).ok());
    Ok(silent.is_some_and(|silent| silent > limit))
}

/// Pods that have to leave: not those of DaemonSets, not mirror pods, not finished ones.
async fn pods_to_leave(context: &Context, name: &str) -> Result<Vec<PodView>, RequestError> {
    let pods: Api<Pod> = Api::all(context.client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={name}"));
    let list = pods.list(&here).await.map_err(doing("listing the node's pods"))?;
    let mut names: Vec<_> = list.items.iter().filter(|pod| has_to_leave(pod)).map(pod_view).collect();
    names.sort();
    Ok(names)
}

/// Kubernetes' own default, seconds.
const GRACE: u64 = 30;

fn pod_view(pod: &Pod) -> PodView {
    // What the API server accepted, when it was asked to go; else what its author wrote.
    let spec = pod.spec.as_ref();
    let grace =
        pod.metadata.deletion_grace_period_seconds.or(spec.and_then(|spec| spec.termination_grace_period_seconds));
    PodView {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        grace: Duration::from_secs(grace.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(GRACE)),
    }
}

const MIRROR: &str = "kubernetes.io/config.mirror";

fn has_to_leave(pod: &Pod) -> bool {
    let of_daemon_set = pod.metadata.owner_references.iter().flatten().any(|owner| owner.kind == "DaemonSet");
    let mirror = pod.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(MIRROR));
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let finished = matches!(phase, Some("Succeeded" | "Failed"));
    !(of_daemon_set || mirror || finished)
}
