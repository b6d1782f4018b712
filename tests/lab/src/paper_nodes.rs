//! Node objects without a kubelet, as large as real ones (9.8 kB: 20 images, 20 labels), in large
//! numbers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use ossci_remediator::core::record::{Phase, Record};
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::{Value, json};

use crate::site_policy::STORY;
use crate::wait;

/// Number of parallel requests.
pub const CONNECTIONS: usize = 8;

pub fn name(prefix: &str, number: usize) -> String {
    format!("{prefix}{number:05}")
}

/// Size of a Node object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// As on a site: 20 images.
    Real,
    /// Without images.
    Small,
}

/// Creates the nodes `PREFIX00000` and so on, all Ready.
pub async fn create(
    client: &Client,
    prefix: &str,
    numbers: std::ops::Range<usize>,
    story: &str,
    size: Size,
) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    futures::stream::iter(numbers)
        .map(|number| {
            let (nodes, name) = (nodes.clone(), name(prefix, number));
            async move {
                let node = serde_json::from_value(object(&name, story)).context("writing a Node")?;
                nodes.create(&PostParams::default(), &node).await.with_context(|| format!("creating {name}"))?;
                let status = Patch::Strategic(json!({ "status": status(&name, size) }));
                nodes.patch_status(&name, &PatchParams::default(), &status).await.map(drop).context("its status")
            }
        })
        .buffer_unordered(CONNECTIONS)
        .try_collect::<()>()
        .await
}

/// Waits until all of them carry the taint of a reboot.
pub async fn tainted(client: &Client, prefix: &str, numbers: std::ops::Range<usize>, patience: Duration) -> Result<()> {
    let api: &Api<Node> = &Api::all(client.clone());
    wait::until(format!("{} nodes {prefix} are tainted", numbers.len()), patience, || {
        let numbers = numbers.clone();
        async move {
            for number in numbers {
                let taints = api.get(&name(prefix, number)).await?.spec.and_then(|spec| spec.taints);
                let ours = taints.into_iter().flatten().any(|taint| taint.key == "repair-reboot");
                ensure!(ours, "{} is not", name(prefix, number));
            }
            Ok(())
        }
    })
    .await
}

fn object(name: &str, story: &str) -> Value {
    // The controller has labelled them long ago.
    let mut labels = json!({ "kubernetes.io/hostname": name, STORY: story, "ossci.amd.com/pool": story });
    for number in 0..18 {
        labels[format!("feature.node.kubernetes.io/cpu-feature-{number:02}")] = json!("true");
    }
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}})
}

fn status(name: &str, size: Size) -> Value {
    let images = if size == Size::Real { 20 } else { 0 };
    let image = |number: usize| {
        let digest = format!("{number:02}").repeat(32);
        json!({"names": [format!("registry.example/rocm/training-image-{number:02}@sha256:{digest}"),
                         format!("registry.example/rocm/training-image-{number:02}:{number}.0.1")],
               "sizeBytes": 20_000_000_000_u64})
    };
    let condition = |kind: &str, status: &str| {
        json!({"type": kind, "status": status, "reason": "KubeletReason", "message": "kubelet has what it needs",
               "lastHeartbeatTime": "2026-11-22T00:00:00Z", "lastTransitionTime": "2026-11-22T00:00:00Z"})
    };
    json!({
        "nodeInfo": {"bootID": format!("boot-of-{name}"), "machineID": name, "systemUUID": name, "kernelVersion": "6.1.0",
                     "osImage": "Debian", "containerRuntimeVersion": "containerd://2", "kubeletVersion": "v1.36.0",
                     "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64"},
        "conditions": [condition("Ready", "True"), condition("MemoryPressure", "False"), condition("DiskPressure", "False")],
        "images": (0..images).map(image).collect::<Vec<_>>(),
        "capacity": {"cpu": "192", "memory": "2Ti", "amd.com/gpu": "8"},
        "allocatable": {"cpu": "192", "memory": "2Ti", "amd.com/gpu": "8"},
    })
}

/// Taints a node as a person does who hands it to another person.
pub async fn hand_over(client: &Client, node: &str) -> Result<()> {
    let taint = json!({ "spec": { "taints": [{ "key": "repair-manual", "effect": "NoSchedule" }] } });
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.patch(node, &PatchParams::default(), &Patch::Strategic(taint)).await.map(drop).context("tainting a node")
}

/// Waits until a person was asked to look at the node; returns its record.
pub async fn escalated(client: &Client, node: &str, patience: Duration) -> Result<Record> {
    let repairs: Api<NodeRepair> = Api::all(client.clone());
    wait::until(format!("{node} is escalated"), patience, || async {
        let record = repairs.get(node).await?.record();
        let phase = record.repair.episode.as_ref().map(|episode| episode.phase);
        ensure!(phase == Some(Phase::Escalated), "{phase:?}");
        Ok(record)
    })
    .await
}
