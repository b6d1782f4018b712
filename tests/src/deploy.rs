//! Applies manifests with the pinned kubectl, as a person would.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::Program;
use crate::setup::Tools;
use crate::wait;

/// How long the API server may take to serve a new kind of object.
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

    pub async fn apply(&self, file: &Path) -> Result<String> {
        let name = file.display().to_string();
        self.run(&["apply", "--server-side", "-f", &name]).await.with_context(|| format!("applying {name}"))
    }
}

/// The manifests of a folder in the order in which they are applied: the CRD and the namespace first.
pub fn manifests(deploy: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(deploy).with_context(|| format!("reading {}", deploy.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    let rank = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("crd.yaml") => 0,
        Some("namespace.yaml") => 1,
        _ => 2,
    };
    files.sort_by_key(|path| (rank(path), path.clone()));
    Ok(files)
}

/// Applies all of `deploy/`, as it is.
pub async fn apply_all(kubectl: &Kubectl, deploy: &Path) -> Result<()> {
    for file in manifests(deploy)? {
        kubectl.apply(&file).await?;
        if file.ends_with("crd.yaml") {
            let path = &file.display().to_string();
            // kubectl gives up at once on an object that has no conditions yet.
            wait::until("the CRD is established", ESTABLISHED, || async move {
                kubectl.run(&["wait", "--for=condition=established", "--timeout=5s", "-f", path]).await.map(drop)
            })
            .await?;
        }
    }
    Ok(())
}
