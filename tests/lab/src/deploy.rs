//! Applies manifests with the pinned kubectl and installs the chart, as an administrator does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::chart::Helm;
use crate::environment;
use crate::process::Program;
use crate::setup::Tools;
use crate::wait;

/// Timeout for the API server to serve a new kind of object.
const ESTABLISHED: Duration = Duration::from_secs(30);

/// kubectl with the administrator's identity.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    pub fn new(tools: &Tools, kubeconfig: &Path, cache: &Path) -> Result<Self> {
        Ok(Self { program: tools.get("kubectl")?, kubeconfig: kubeconfig.to_owned(), cache: cache.to_owned() })
    }

    pub async fn run(&self, args: &[&str]) -> Result<String> {
        Program::new("kubectl", &self.program)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg(format!("--cache-dir={}", self.cache.display()))
            .args(args)
            .env("HOME", &self.cache)
            .output(Duration::from_secs(90))
            .await
    }

    /// Applies a file.
    pub async fn apply(&self, file: &Path) -> Result<String> {
        let name = file.display().to_string();
        self.run(&["apply", "--server-side", "-f", &name]).await.with_context(|| format!("applying {name}"))
    }
}

/// Installs everything with the commands from the README. The lab's Prometheus has no operator.
pub async fn install(kubectl: &Kubectl, helm: &Helm) -> Result<()> {
    let deploy = environment::repository().join("deploy");
    kubectl.apply(&deploy.join("00-namespace.yaml")).await?;
    helm.install("monitoring: {operator: false}\n").await.context("installing the chart")?;
    let crd = &deploy.join("crd.yaml").display().to_string();
    // kubectl fails immediately for an object without conditions.
    wait::until("the CRD is established", ESTABLISHED, || async move {
        kubectl.run(&["wait", "--for=condition=established", "--timeout=5s", "-f", crd]).await.map(drop)
    })
    .await
}
