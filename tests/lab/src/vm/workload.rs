//! An ordinary pod on a virtual machine: it has no tolerations, and runs on no other node.

use std::fs;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;

use super::node::is_ready;
use super::stories::takes;
use crate::lab::Lab;
use crate::wait;

/// A Deployment of one pod.
pub struct Workload<'a> {
    lab: &'a Lab,
    name: String,
    /// The pod that ran at the start.
    pod: String,
}

impl<'a> Workload<'a> {
    /// Starts it on this node, and waits until it runs. It takes `leaves` seconds to terminate.
    pub async fn start(lab: &'a Lab, node: &str, leaves: u32) -> Result<Self> {
        let name = format!("training-{node}");
        let labels = json!({ "app": name });
        // Process 1 of a container does not receive SIGTERM without a handler, so the pod ends
        // after its grace period.
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "nodeSelector": {"kubernetes.io/hostname": node}, "automountServiceAccountToken": false,
                    "terminationGracePeriodSeconds": leaves,
                    "containers": [{"name": "training", "image": "docker.io/library/pause:lab", "imagePullPolicy": "Never"}],
                },
            }},
        });
        let file = lab.facts.dir.join("vm").join(format!("{name}.json"));
        fs::write(&file, object.to_string()).with_context(|| format!("writing {}", file.display()))?;
        lab.kubectl.apply(&file).await?;
        let mut workload = Self { lab, name, pod: String::new() };
        workload.pod = workload.runs().await?;
        Ok(workload)
    }

    /// Waits until another pod runs on the same node, then deletes the Deployment.
    pub async fn runs_again(self) -> Result<()> {
        let pod = self.runs().await?;
        ensure!(pod != self.pod, "the pod was never evicted");
        self.lab.kubectl.run(&["delete", "deployment", &self.name, "--cascade=foreground"]).await.map(drop)
    }

    /// The UID of its pod, once the pod is ready.
    async fn runs(&self) -> Result<String> {
        let pods: &Api<Pod> = &Api::namespaced(self.lab.admin.clone(), "default");
        let ours = &ListParams::default().labels(&format!("app={}", self.name));
        wait::until(format!("{} runs", self.name), takes(), || async move {
            let all = pods.list(ours).await?.items;
            let staying = all.iter().find(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod));
            let uid = staying.and_then(|pod| pod.metadata.uid.clone());
            uid.with_context(|| format!("{} pods, none ready", all.len()))
        })
        .await
    }
}
