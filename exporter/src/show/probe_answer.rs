//! Probe response, built from finished runs.

use ossci_base::contract::probe::{Inventories, ProbeAnswer, ProbeDebug, ProbeResult};

use crate::run::Run;

/// Level of detail of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Results,
    WithOutput,
}

/// Builds the response of a probe.
pub fn probe_answer(boot_id: &str, inventory: Inventories, runs: &[Run], depth: Depth) -> ProbeAnswer {
    let debug = |run: &Run| ProbeDebug {
        not_understood: run.not_understood.clone(),
        exit_status: run.printed.as_ref().map(|printed| printed.exit_status),
        stdout: run.printed.as_ref().map(|printed| printed.stdout.clone()),
        stderr: run.printed.as_ref().map(|printed| printed.stderr.clone()),
    };
    let result = |run: &Run| ProbeResult {
        check: run.check.as_str().to_owned(),
        verdict: run.verdict().as_str().to_owned(),
        reason: run.verdict().reason().map(str::to_owned),
        detail: run.judgement.detail.clone(),
        started_at: run.started_at,
        seconds: run.seconds,
        debug: (depth == Depth::WithOutput).then(|| debug(run)),
    };
    ProbeAnswer { boot_id: boot_id.to_owned(), inventory, results: runs.iter().map(result).collect() }
}
