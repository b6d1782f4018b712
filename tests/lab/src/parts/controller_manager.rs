//! kube-controller-manager: creates the pods of DaemonSets and Deployments, and marks silent nodes.

use anyhow::Result;

use super::{Site, flag};
use crate::kubeconfig;
use crate::parts::apiserver::Apiserver;
use crate::pki::Pki;
use crate::ports;
use crate::process::{Process, Program};

pub async fn start(site: &Site, pki: &Pki, api: &Apiserver) -> Result<Process> {
    let config = site.folder("controller-manager")?.join("kubeconfig");
    let pair = pki.client("controller-manager", "system:kube-controller-manager", None)?;
    kubeconfig::with_certificate(&config, &api.cluster, &pair)?;
    Program::new("kube-controller-manager", site.tools.get("kube-controller-manager")?)
        .args(["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"].map(|name| flag(name, &config)))
        .args([
            flag("service-account-private-key-file", &api.service_account_key),
            flag("root-ca-file", &pki.ca_file()),
        ])
        .args(["--use-service-account-credentials", "--leader-elect=false", "--allocate-node-cidrs=false"])
        .args(["--bind-address=127.0.0.1".to_owned(), format!("--secure-port={}", ports::free()?)])
        .arg(flag("cert-dir", &site.folder("controller-manager")?))
        .start(&site.log("kube-controller-manager"))
}
