//! The node half of the stand-in kubelet: registration, Lease and status, with the node's own
//! identity.

use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::machine::Power;
use crate::site_policy::STORY;

/// Interval at which a kubelet renews its Lease; the node counts as lost after 40 s of silence.
const LEASE_EVERY: Duration = Duration::from_secs(10);

/// The properties that a node reports.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: String,
    pub address: String,
    /// Number of installed GPUs; a node without GPUs runs the controller.
    pub gpus: u32,
    /// The story of the node.
    pub story: String,
    /// How long the first status of a new boot, NotReady, lasts.
    pub not_ready: Duration,
}

pub struct Kubelet {
    identity: Identity,
    client: Client,
    power: watch::Receiver<Power>,
    ready_since: Timestamp,
}

impl Kubelet {
    pub fn new(identity: Identity, client: Client, power: watch::Receiver<Power>) -> Self {
        Self { identity, client, power, ready_since: clock::now() }
    }

    /// Creates the Node and its Lease, and reports Ready.
    pub async fn register(&self) -> Result<()> {
        let name = &self.identity.name;
        let boot_id = self.power.borrow().boot_id.clone();
        let mut node = self.node_object();
        node["status"] = self.status(&boot_id, true);
        let node: Node = serde_json::from_value(node).context("writing the Node")?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        nodes.create(&PostParams::default(), &node).await.with_context(|| format!("registering {name}"))?;
        self.post(&boot_id, true).await
    }

    /// Reports the node's status while the lab runs; silent while the machine is dark.
    pub async fn run(mut self) {
        let mut boot_id = self.power.borrow_and_update().boot_id.clone();
        loop {
            let power = self.power.borrow_and_update().clone();
            if power.on {
                if power.boot_id != boot_id {
                    // A kubelet's first status after a boot has both the new boot ID and NotReady.
                    boot_id = power.boot_id;
                    self.ready_since = clock::now();
                    self.say(&boot_id, false).await;
                    tokio::time::sleep(self.identity.not_ready).await;
                    self.ready_since = clock::now();
                }
                self.say(&boot_id, true).await;
            }
            let _ = tokio::time::timeout(LEASE_EVERY, self.power.changed()).await;
        }
    }

    async fn say(&self, boot_id: &str, ready: bool) {
        if let Err(error) = self.post(boot_id, ready).await {
            tracing::warn!("kubelet of {}: {error:#}", self.identity.name);
        }
    }

    async fn post(&self, boot_id: &str, ready: bool) -> Result<()> {
        let name = &self.identity.name;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let status = Patch::Strategic(json!({"status": self.status(boot_id, ready)}));
        match nodes.patch_status(name, &PatchParams::default(), &status).await {
            // The Node was deleted: a story decides when it is registered again.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            other => other.context("posting the node's status")?,
        };
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let renew = format!("{:.6}", clock::now());
        let spec = json!({"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renew});
        let renewed = leases.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
        match renewed {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let lease = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
                leases.create(&PostParams::default(), &lease).await.context("creating the node's Lease")?;
                Ok(())
            }
            other => other.map(drop).context("renewing the node's Lease"),
        }
    }

    fn node_object(&self) -> Value {
        let Identity { name, gpus, story, .. } = &self.identity;
        let mut labels = json!({
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        });
        if *gpus > 0 {
            labels["feature.node.kubernetes.io/amd-gpu"] = json!("true");
            labels["ossci.amd.com/gpus"] = json!(gpus.to_string());
            labels[STORY] = json!(story);
        }
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}})
    }

    fn status(&self, boot_id: &str, ready: bool) -> Value {
        let Identity { name, address, gpus, .. } = &self.identity;
        let now = format!("{:.0}", clock::now());
        let since = format!("{:.0}", self.ready_since);
        let condition = |kind: &str, yes: bool, reason: &str, message: &str| {
            let status = if yes { "True" } else { "False" };
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                   "lastHeartbeatTime": now, "lastTransitionTime": since})
        };
        let ready = match ready {
            true => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            false => condition("Ready", false, "KubeletNotReady", "container runtime network not ready"),
        };
        let resources = json!({"cpu": "96", "memory": "1056Gi", "pods": "110", "amd.com/gpu": gpus.to_string()});
        json!({
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "capacity": resources, "allocatable": resources,
            "conditions": [
                ready,
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", ""),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", ""),
                condition("PIDPressure", false, "KubeletHasSufficientPID", ""),
            ],
            "nodeInfo": {
                "bootID": boot_id, "machineID": name, "systemUUID": name, "architecture": "amd64",
                "operatingSystem": "linux", "kernelVersion": "6.8.0-lab", "osImage": "OSSCI lab (simulated)",
                "containerRuntimeVersion": "containerd://2.0.0", "kubeletVersion": "v1.36.3", "kubeProxyVersion": "",
            },
        })
    }
}
