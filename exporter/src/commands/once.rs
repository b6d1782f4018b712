//! One-shot mode, `--once`: runs each check once and writes the page in the classic text format to
//! standard output or, by rename, to a file for a textfile collector. Serves nothing.

use crate::check::engine::Engine;
use crate::check::node::{LoadError, Node};
use crate::config::Config;
use crate::run::Run;
use crate::show::metrics::page::{Form, metrics};
use crate::state::errand::Errand;
use crate::state::ledger::Snapshot;
use crate::state::{fabric, sysfs};
use crate::strikes::Trigger;
use crate::verdict::Verdict;
use ossci_base::clock;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::mpsc;

/// Why there is no page.
#[derive(Debug, Error)]
pub enum OnceError {
    #[error(transparent)]
    State(#[from] LoadError),
    #[error("cannot write {0}")]
    Output(PathBuf, #[source] std::io::Error),
    #[error("cannot write the metrics page")]
    Page(#[from] std::fmt::Error),
}

/// Whether a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    NoneFailed,
    Failed,
}

/// Runs the checks in parallel. Their strikes are stored in the state directory, so that failures
/// of successive calls add up.
pub async fn run(config: &Config) -> Result<Outcome, OnceError> {
    let node = Node::load(config).await?;
    let (ended, _ends) = mpsc::unbounded_channel();
    let engine = Engine::new(Arc::clone(&node), ended);
    engine.configure(config).await;
    // The runs ask it which GPUs are whose.
    node.ledger.set_pci(sysfs::pci_gpus(&config.paths.sysfs));
    let folder = config.paths.sysfs.clone();
    let ports = Errand::default().ask(move || fabric::ports(&folder)).await;
    node.ledger.set_fabric(ports.unwrap_or_default());
    let runs: Vec<_> = engine
        .checkers()
        .into_iter()
        .map(|checker| tokio::spawn(async move { checker.run_once(Trigger::Interval).await }))
        .collect();
    let mut outcome = Outcome::NoneFailed;
    for run in runs {
        let failed = |run: Option<Run>| run.is_some_and(|run| matches!(run.verdict(), Verdict::Failed(_)));
        if run.await.map_or(true, failed) {
            outcome = Outcome::Failed;
        }
    }
    let snapshot = node.ledger.snapshot(clock::now(), node.memory.write_failures());
    let page = metrics(Snapshot { is_stored: config.output.is_some(), ..snapshot }, Form::Classic)?;
    match &config.output {
        Some(path) => replace(path, &page).map_err(|error| OnceError::Output(path.clone(), error))?,
        None => std::io::stdout().write_all(page.as_bytes()).map_err(|error| OnceError::Output("-".into(), error))?,
    }
    Ok(outcome)
}

/// Replaces the file by rename, so that a collector finds the old file or the new. It ignores the
/// temporary file's name.
fn replace(path: &Path, page: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("prom.tmp");
    std::fs::write(&temporary, page)?;
    std::fs::rename(&temporary, path)
}
