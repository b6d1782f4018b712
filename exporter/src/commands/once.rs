//! `--once`: each check once, and the page in the classic text form to the standard output or, by rename, into a file for a textfile
//! collector. Serves nothing and stays not.

use crate::config::Config;
use crate::engine::Engine;
use crate::page::{Form, metrics};
use crate::strikes::Trigger;
use crate::verdict::{Run, Verdict};
use crate::{RunError, clock, node};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Whether a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    NoneFailed,
    Failed,
}

/// Runs the checks side by side. Their strikes are kept in the state directory, so that a row of such runs counts.
pub async fn run(config: &Config) -> Result<Outcome, RunError> {
    let node = node(config).await?;
    let (ended, _ends) = mpsc::unbounded_channel();
    let engine = Engine::new(Arc::clone(&node), ended);
    engine.configure(config).await;
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
    node.ledger.set_pci(crate::sysfs::pci_gpus(&config.paths.sysfs));
    let page = metrics(node.ledger.snapshot(clock::now(), node.memory.write_failures()), Form::Classic)?;
    match &config.output {
        Some(path) => replace(path, &page).map_err(|error| RunError::Output(path.clone(), error))?,
        None => std::io::stdout().write_all(page.as_bytes()).map_err(|error| RunError::Output("-".into(), error))?,
    }
    Ok(outcome)
}

/// A collector that reads in the middle finds the old file. The temporary one has no name that it would read.
fn replace(path: &Path, page: &str) -> std::io::Result<()> {
    let temporary = path.with_extension("prom.tmp");
    std::fs::write(&temporary, page)?;
    std::fs::rename(&temporary, path)
}
