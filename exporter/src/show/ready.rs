//! Readiness: whether each check has come to a verdict since the start. A roll-out waits for it, so
//! that an exporter that cannot check its node reaches no second wave of nodes. Pure.

use crate::state::ledger::{CheckView, Snapshot};
use crate::verdict::Check;
use std::time::Duration;

/// A check that runs less often holds no roll-out up.
const OFTEN: Duration = Duration::from_secs(120);

/// Returns why the exporter is not ready, one line for each check; empty if it is. A tool that
/// cannot be started counts only where its check has passed before. Paused checks do not run, and
/// hold no roll-out up.
pub fn not_ready(snapshot: &Snapshot, passed_before: impl Fn(Check) -> bool) -> Vec<String> {
    let trouble = |view: &CheckView| match &view.standing.latest {
        None => (view.interval <= OFTEN).then(|| "has not finished a run yet".to_string()),
        Some(latest) if latest.tool_ran || !passed_before(view.check) => None,
        Some(latest) => Some(latest.judgement.detail.clone()),
    };
    let line = |view: &CheckView| Some(format!("{}: {}", view.check.as_str(), trouble(view)?));
    let paused = snapshot.pause.rests();
    snapshot.checks.iter().filter(|_| !paused).filter_map(line).collect()
}
