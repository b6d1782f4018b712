//! Scrapes of a virtual machine's exporter by the lab's Prometheis, at its pod's own address.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use crate::lab::Lab;

const JOB: &str = "ossci-exporter";
/// The exporter's port in its pod.
const PORT: u16 = 19400;
const LOOKS: Duration = Duration::from_secs(1);

/// Keeps a machine's exporter as a target, like Prometheus' own pod discovery: the pod has another
/// address after each boot. Returns only with an error.
pub async fn follow(lab: &Lab, node: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(lab.admin.clone(), "ossci");
    let here =
        ListParams::default().fields(&format!("spec.nodeName={node}")).labels("app.kubernetes.io/name=ossci-exporter");
    let mut known = None;
    loop {
        let all = pods.list(&here).await.context("listing the exporter's pods")?.items;
        let address = all.into_iter().find_map(|pod| pod.status?.pod_ip);
        if address != known
            && let Some(address) = &address
        {
            lab.alerting.prometheus.scrape(JOB, node, &format!("{address}:{PORT}"), Some(node))?;
            known = Some(address.clone());
        }
        tokio::time::sleep(LOOKS).await;
    }
}

/// Removes the machine from the targets.
pub fn forget(lab: &Lab, node: &str) {
    lab.alerting.prometheus.forget(JOB, node);
}
