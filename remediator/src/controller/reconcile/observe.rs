//! Step one: observe. Reads from the API server what the cache may not answer, and puts everything
//! that is known into one [`Observation`]. Writes nothing.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta};
use kube::core::DeserializeGuard;

use super::sight::{Answers, Needs, Sight};
use crate::api::request::{self, RequestError, doing};
use crate::controller::state::alerts::Alerts;
use crate::controller::state::evictions::Evictions;
use crate::controller::state::fleet::{Asking, Fleet};
use crate::controller::state::kubelets::Kubelets;
use crate::controller::state::site::Site;
use crate::core::budget::Seat;
use crate::core::gates::{self, Around};
use crate::core::observation::{NodeView, Observation, PodView};
use crate::core::policy::{DrainMode, Policy, Pool};
use crate::core::pool;
use crate::core::record::{Episode, Phase, Record, Rung};
use crate::core::why::Why;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode};
use ossci_base::clock;

/// What the API server or the cache has of a node.
pub enum Read {
    Both {
        repair: Box<NodeRepair>,
        node: Option<Box<SlimNode>>,
    },
    /// The Node carries a taint of ours and has no record: a person's `kubectl taint` starts a
    /// rung.
    Unrecorded,
    /// No complaint was ever recorded for this node.
    Nothing,
    /// The record cannot be deserialised: neither it nor the node is touched.
    Unreadable {
        metadata: Box<ObjectMeta>,
        error: String,
    },
}

/// Reads the record and the Node: from the API server where `fresh` asks for it or the cache has
/// nothing, else from the cache.
pub async fn read(
    client: &kube::Client,
    fleet: &Fleet,
    site: &Site,
    name: &str,
    fresh: Needs,
) -> Result<(Read, Needs), RequestError> {
    let (cached, cached_node) = fleet.cached(name);
    let mut has = Needs::default();
    let repair = match cached.filter(|_| !fresh.record) {
        Some(cached) => Some(NodeRepair::clone(&cached)),
        None => {
            has.record = true;
            let repairs: Api<DeserializeGuard<NodeRepair>> = Api::all(client.clone());
            match request::found(repairs.get(name).await).map_err(doing("reading the record"))? {
                Some(DeserializeGuard(Ok(repair))) => {
                    fleet.saw_record(&repair);
                    Some(repair)
                }
                Some(DeserializeGuard(Err(invalid))) => {
                    let metadata = Box::new(invalid.metadata);
                    return Ok((Read::Unreadable { metadata, error: invalid.error }, has));
                }
                None => None,
            }
        }
    };
    let node = match cached_node.filter(|_| !fresh.node) {
        Some(cached) => Some(SlimNode::clone(&cached)),
        None => {
            has.node = true;
            let node = read_node(client, name).await?;
            node.iter().for_each(|node| fleet.read_node(node));
            node
        }
    };
    if let Some(repair) = repair {
        return Ok((Read::Both { repair: Box::new(repair), node: node.map(Box::new) }, has));
    }
    let tainted = node.is_some_and(|node| !slim_node::view(&node, &site.names).taints.is_empty());
    Ok((if tainted { Read::Unrecorded } else { Read::Nothing }, has))
}

/// Reads the Node; `None` when there is none.
pub async fn read_node(client: &kube::Client, name: &str) -> Result<Option<SlimNode>, RequestError> {
    let nodes: Api<SlimNode> = Api::all(client.clone());
    request::found(nodes.get(name).await).map_err(doing("reading the node"))
}

/// What has to be read beside the record and the Node before anything is decided on this record.
pub fn needs(record: &Record, node: Option<&NodeView>, site: &Site) -> Needs {
    let Some(episode) = record.repair.episode.as_ref() else { return Needs::default() };
    let pool = node.and_then(|node| site.policy.pool_for(episode.pool.as_deref(), node));
    let waits = |pool: &Pool| pool.keep_bare_pods || pool.drain == DrainMode::WaitForJobs;
    let pods = match episode.phase {
        Phase::Draining => true,
        Phase::Waiting => pool.is_some_and(waits),
        _ => false,
    };
    let not_ready = node.is_some_and(|node| !node.ready);
    let checks = episode.why.why == Why::CheckingFirst;
    let kubelet = site.bmc.is_some() && (checks || episode.phase == Phase::Rebooting) && not_ready;
    Needs { pods, kubelet, ..Needs::default() }
}

/// What the controller knows beside this node, at one moment.
pub struct Surroundings<'a> {
    pub site: &'a Site,
    pub fleet: &'a Fleet,
    pub alerts: &'a Alerts,
    pub evictions: &'a Evictions,
    /// The API server's time and ours differ by more than 30 s.
    pub skewed: bool,
    pub now: Timestamp,
    pub at: Instant,
}

impl Surroundings<'_> {
    /// What the core decides on: the node, its pods, its pool, and the answers of other services.
    /// `record` is the record as the decisions of this reconcile have left it so far.
    pub fn observation(&self, sight: &Sight, record: &Record, answers: Answers) -> Observation {
        let Self { site, fleet, .. } = self;
        let name = &sight.repair.name_any();
        let uid = sight.repair.uid().unwrap_or_default();
        let episode = record.repair.episode.as_ref();
        let node = sight.node.as_ref().map(|node| slim_node::view(node, &site.names));
        let asking = self.asking(name, &uid, record);
        // A node at rest needs no comparison with all others.
        let at_rest = episode.is_none_or(|episode| episode.phase.is_over())
            && record.complaints.iter().all(|complaint| !complaint.firing)
            && !fleet.holds(name);
        let standing = if at_rest { None } else { fleet.standing(asking, None) };
        let seat = match &standing {
            Some(standing) => standing.seat,
            // The node is in no pool any more, or deleted: the slot that it holds is to be given
            // back.
            None => {
                let held = |episode: &&Episode| fleet.holds_for(name, &pool::holder(&uid, episode));
                episode.filter(held).map(|_| Seat::Held)
            }
        };
        let open = episode.filter(|episode| !episode.phase.is_over());
        let recorded = open.and_then(|episode| episode.pool.as_deref());
        let pool = node.as_ref().and_then(|node| site.policy.pool_for(recorded, node));
        let halt = pool.zip(standing.as_ref()).and_then(|(pool, standing)| {
            let around = Around {
                skewed: self.skewed,
                several_clusters: site.cluster.is_none() && self.alerts.of_several_clusters(),
                paused: standing.paused.as_deref(),
                alerts_unknown: site.alertmanager.as_ref().is_some_and(|replicas| self.alerts.unknown(replicas)),
                storm: standing.storm,
                rung_fails: standing.rung_fails,
            };
            gates::halt(around, pool, episode.map_or(Rung::Reboot, |episode| episode.rung), self.now)
        });
        Observation {
            node,
            pods: sight.pods.clone(),
            refused: self.evictions.refused(name),
            mail: answers.mail,
            reset: answers.reset,
            provisioned: answers.provisioned,
            bmc: site.bmc.is_some(),
            dead: sight.kubelet_silent,
            seat,
            halt,
            taints_full: standing.as_ref().is_some_and(|standing| standing.taints_full),
            many_down: standing.as_ref().is_some_and(|standing| standing.many_down),
            shared_mail: standing.as_ref().and_then(|standing| standing.shared_mail),
            slowest_boot: standing.as_ref().and_then(|standing| standing.slowest_boot),
            many_slow: standing.is_some_and(|standing| standing.many_slow),
            silenced: self.alerts.silenced(&record.complaints),
            active: site.alertmanager.as_ref().map(|replicas| self.alerts.active(replicas, &record.complaints)),
        }
    }

    /// The question that this node's record asks of its pool.
    pub fn asking<'a>(&'a self, node: &'a str, uid: &'a str, record: &'a Record) -> Asking<'a> {
        let policy: &Policy = &self.site.policy;
        Asking { node, uid, record, policy, now: self.now, at: self.at }
    }
}

/// Whether the kubelet has a Lease that has not changed for longer than `limit`, by our own
/// monotonic clock: the node's clock may be wrong.
pub async fn kubelet_is_silent(
    client: &kube::Client,
    kubelets: &Kubelets,
    name: &str,
    limit: Duration,
) -> Result<bool, RequestError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let lease = request::found(leases.get(name).await).map_err(doing("reading the kubelet's Lease"))?;
    let version = lease.and_then(|lease| lease.metadata.resource_version);
    Ok(version.is_some_and(|version| kubelets.unchanged_for(name, &version, clock::monotonic()) > limit))
}

/// The pods that have to leave: not those of DaemonSets, not mirror pods, not finished ones.
pub async fn pods_to_leave(client: &kube::Client, name: &str) -> Result<Vec<PodView>, RequestError> {
    let pods: Api<Pod> = Api::all(client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={name}"));
    // From the API server's cache, which is cheap and may be late; that none is left is read from
    // etcd.
    let (cheap, exact) = (here.clone().match_any(), here);
    for parameters in [cheap, exact] {
        let list = pods.list(&parameters).await.map_err(doing("listing the node's pods"))?;
        let mut names: Vec<_> = list.items.iter().filter(|pod| has_to_leave(pod)).map(pod_view).collect();
        if !names.is_empty() {
            names.sort();
            return Ok(names);
        }
    }
    Ok(Vec::new())
}

/// Kubernetes' default for `terminationGracePeriodSeconds`.
const GRACE: u64 = 30;

fn pod_view(pod: &Pod) -> PodView {
    // The grace period that the API server accepted with the eviction, or else the one in the pod's
    // spec.
    let spec = pod.spec.as_ref();
    let grace =
        pod.metadata.deletion_grace_period_seconds.or(spec.and_then(|spec| spec.termination_grace_period_seconds));
    let owners = || pod.metadata.owner_references.iter().flatten();
    let policy = spec.and_then(|spec| spec.restart_policy.as_deref());
    PodView {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        grace: Duration::from_secs(grace.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(GRACE)),
        ends: owners().any(|owner| owner.kind == "Job") || policy.is_some_and(|policy| policy != "Always"),
        bare: owners().all(|owner| owner.controller != Some(true)),
        local_data: spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten().any(|volume| {
            // Memory is lost with the pod in any case.
            volume.empty_dir.as_ref().is_some_and(|dir| dir.medium.as_deref() != Some("Memory"))
        }),
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
