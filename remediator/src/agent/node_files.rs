//! The two files that inform the exporter, which has no access to Kubernetes, about its node:
//! `pause` (one line, an RFC 3339 expiry) during a repair, and `inventory` (one line, the expected
//! number of GPUs).

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use ossci_base::clock;
use ossci_base::contract::run_dir;

/// What the Node object asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whether it carries a `repair-*` taint.
    pub paused: bool,
    /// Its label `ossci.amd.com/gpus`.
    pub gpus: Option<u32>,
}

/// Validity of the pause file. If the agent dies, the checks stay paused no longer than this.
const PAUSE: Duration = Duration::from_secs(300);
const REFRESH: Duration = Duration::from_secs(60);

/// Writes both files when the Node changes, and refreshes them. Before the Node was first read, it
/// writes nothing.
pub async fn keep(run_dir: PathBuf, mut wanted: watch::Receiver<Option<Wanted>>) -> anyhow::Result<()> {
    loop {
        let latest = *wanted.borrow_and_update();
        if let Some(latest) = latest
            && let Err(error) = write(&run_dir, latest).await
        {
            tracing::error!(run_dir = %run_dir.display(), %error, "cannot write the exporter's pause or inventory file");
        }
        // Woken by a change or by the refresh interval; a closed channel means that the agent has
        // stopped.
        if let Ok(Err(_)) = tokio::time::timeout(REFRESH, wanted.changed()).await {
            return Ok(());
        }
    }
}

async fn write(folder: &Path, wanted: Wanted) -> std::io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let inventory = folder.join(run_dir::INVENTORY);
    match wanted.gpus {
        Some(gpus) => replace(&inventory, &run_dir::inventory_text(gpus)).await?,
        None => remove(&inventory).await?,
    }
    let pause = folder.join(run_dir::PAUSE);
    if wanted.paused {
        let expiry = clock::now().saturating_add(PAUSE).unwrap_or(jiff::Timestamp::MAX);
        return replace(&pause, &run_dir::pause_text(expiry)).await;
    }
    remove(&pause).await
}

async fn remove(path: &Path) -> std::io::Result<()> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Replaces the file by rename: a reader sees the old line or the new one.
async fn replace(path: &Path, line: &str) -> std::io::Result<()> {
    let next = path.with_extension("next");
    tokio::fs::write(&next, line).await?;
    tokio::fs::rename(&next, path).await
}
