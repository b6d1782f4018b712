//! What the lab's Prometheis see of a machine: the exporter in it, at its pod's own address.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

use crate::lab::Lab;

const JOB: &str = "ossci-exporter";
/// Of the exporter, in its pod.
const PORT: u16 = 19400;
const LOOKS: Duration = Duration::from_secs(1);

/// Has a machine scraped, as Prometheus's own discovery of pods would: a pod has another address after each boot. Ends only
/// with an error.
pub async fn follow(lab: &Lab, node: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(lab.admin.clone(), "ossci");
    let here =
        ListParams::default().fields(&format!("spec.nodeName={node}")).labels("app.kubernetes.io/name=ossci-exporter");
    let mut known = None;
    loop {
        let all = pods.list(&here).await.context("looking for the exporter")?.items;
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

/// Nobody looks at the machine any more.
pub fn forget(lab: &Lab, node: &str) {
    lab.alerting.prometheus.forget(JOB, node);
}
