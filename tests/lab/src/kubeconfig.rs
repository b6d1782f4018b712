//! Kubeconfig files, one for each identity of the lab.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::pki::{Pair, write_secret};

/// The address of the API server, and the CA of its certificate.
#[derive(Debug, Clone)]
pub struct Cluster {
    pub server: String,
    pub ca_file: std::path::PathBuf,
}

/// Writes a kubeconfig for an identity with a client certificate.
pub fn with_certificate(path: &Path, cluster: &Cluster, pair: &Pair) -> Result<()> {
    write(path, cluster, json!({"client-certificate": pair.cert, "client-key": pair.key}))
}

/// Writes a kubeconfig for an identity whose token is renewed in a file.
pub fn with_token(path: &Path, cluster: &Cluster, token_file: &Path) -> Result<()> {
    write(path, cluster, json!({"tokenFile": token_file}))
}

/// A client with the identity of a kubeconfig file.
pub async fn client(path: &Path) -> Result<kube::Client> {
    Ok(kube::Client::try_from(config(path).await?)?)
}

/// A client that impersonates one of our ServiceAccounts; the kubeconfig's user needs that
/// permission.
pub async fn client_as(path: &Path, account: &str) -> Result<kube::Client> {
    let mut config = config(path).await?;
    config.auth_info.impersonate = Some(format!("system:serviceaccount:ossci:{account}"));
    Ok(kube::Client::try_from(config)?)
}

/// A client that impersonates the kubelet of a node; the kubeconfig's user needs that permission.
pub async fn client_as_kubelet(path: &Path, node: &str) -> Result<kube::Client> {
    let mut config = config(path).await?;
    config.auth_info.impersonate = Some(format!("system:node:{node}"));
    config.auth_info.impersonate_groups = Some(vec!["system:nodes".to_owned(), "system:authenticated".to_owned()]);
    Ok(kube::Client::try_from(config)?)
}

async fn config(path: &Path) -> Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("reading {}", path.display()))?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("understanding {}", path.display()))?;
    // The host's HTTP proxy must not be used between two processes on the loopback.
    config.proxy_url = None;
    Ok(config)
}

fn write(path: &Path, cluster: &Cluster, user: Value) -> Result<()> {
    let text = serde_json::to_string_pretty(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": cluster.server, "certificate-authority": cluster.ca_file}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "user"}}],
        "current-context": "lab",
    }))?;
    write_secret(path, &text)
}
