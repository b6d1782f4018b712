//! kube-scheduler: binds pods to nodes, and respects our taints.

use anyhow::Result;

use super::{Site, flag};
use crate::kubeconfig;
use crate::parts::apiserver::Apiserver;
use crate::pki::Pki;
use crate::ports;
use crate::process::{Process, Program};

pub async fn start(site: &Site, pki: &Pki, api: &Apiserver) -> Result<Process> {
    let config = site.folder("scheduler")?.join("kubeconfig");
    kubeconfig::with_certificate(&config, &api.cluster, &pki.client("scheduler", "system:kube-scheduler", None)?)?;
    Program::new("kube-scheduler", site.tools.get("kube-scheduler")?)
        .args(["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(|name| flag(name, &config)))
        .args(["--leader-elect=false", "--bind-address=127.0.0.1"])
        .arg(format!("--secure-port={}", ports::free()?))
        .arg(flag("cert-dir", &site.folder("scheduler")?))
        .start(&site.log("kube-scheduler"))
}
