//! kube-apiserver: TLS, RBAC, the Node authorizer, and an audit log of all writes that a story is
//! judged by.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{START, Site, flag};
use crate::kubeconfig::{self, Cluster};
use crate::pki::Pki;
use crate::ports;
use crate::process::{Process, Program};

/// The audit policy: writes to nodes and repair records with the resulting object. For other
/// requests of our programs only the metadata is logged.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
omitManagedFields: true
rules:
- level: RequestResponse
  verbs: [create, update, patch, delete]
  resources:
  - {group: '', resources: [nodes, nodes/status]}
  - {group: ossci.amd.com, resources: ['*']}
- level: Metadata
  users: ['system:serviceaccount:ossci:ossci-remediator', 'system:serviceaccount:ossci:ossci-agent']
- level: None
";

/// A running API server, and the files that a client needs.
pub struct Apiserver {
    pub process: Process,
    pub cluster: Cluster,
    pub admin: PathBuf,
    pub audit_log: PathBuf,
    pub service_account_key: PathBuf,
}

pub async fn start(site: &Site, pki: &Pki, etcd: &str) -> Result<Apiserver> {
    let folder = site.folder("apiserver")?;
    let port = ports::free()?;
    let cluster = Cluster { server: format!("https://127.0.0.1:{port}"), ca_file: pki.ca_file() };
    let server = pki.server("apiserver")?;
    let tokens = pki.service_account_keys()?;
    let admin = site.dir.join("admin.kubeconfig");
    kubeconfig::with_certificate(&admin, &cluster, &pki.client("admin", "lab-admin", Some("system:masters"))?)?;
    let policy = folder.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY).with_context(|| format!("writing {}", policy.display()))?;
    let audit_log = folder.join("audit.log");

    let mut process = Program::new("kube-apiserver", site.tools.get("kube-apiserver")?)
        .args([format!("--etcd-servers={etcd}"), "--bind-address=127.0.0.1".into(), format!("--secure-port={port}")])
        // No client uses the Service `kubernetes`, whose endpoint must not be a loopback address.
        .args(["--endpoint-reconciler-type=none", "--advertise-address=192.0.2.1"])
        .args([flag("cert-dir", &folder), flag("client-ca-file", &pki.ca_file())])
        .args([flag("tls-cert-file", &server.cert), flag("tls-private-key-file", &server.key)])
        .args([
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
        ])
        .args(["--service-cluster-ip-range=10.96.0.0/16", "--service-account-issuer=https://kubernetes.default.svc"])
        .args([flag("service-account-key-file", &tokens.cert), flag("service-account-signing-key-file", &tokens.key)])
        .args([flag("audit-policy-file", &policy), flag("audit-log-path", &audit_log)])
        .start(&site.log("kube-apiserver"))?;
    let client = kubeconfig::client(&admin).await?;
    process
        .ready(START, || async {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            client.request_text(request).await.map(drop).context("asking /readyz")
        })
        .await?;
    Ok(Apiserver { process, cluster, admin, audit_log, service_account_key: tokens.key })
}
