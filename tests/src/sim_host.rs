//! The simulated host: the second implementation of the agent's seam.
//!
//! It asks the machine (the lab) for a reboot through a file and does not wait for it, as a real shutdown does not wait
//! for whoever asked. Scripts are really run.

use std::io;
use std::time::Duration;

use ossci_remediator::agent::host::{Host, HostError, ScriptOutcome};

use crate::node_dir::{NodeDir, RebootRequest};
use crate::process::Program;

/// As much of a script's output as goes into the record.
const TAIL_LINES: usize = 20;

pub struct SimHost {
    node: NodeDir,
}

impl SimHost {
    pub fn new(node: NodeDir) -> Self {
        Self { node }
    }
}

impl Host for SimHost {
    fn boot_id(&self) -> Result<String, HostError> {
        let path = self.node.boot_id_file().display().to_string();
        self.node.boot_id().map_err(|source| HostError::BootID { path, source })
    }

    async fn reboot(&self, order: &str, _within: Duration) -> Result<(), HostError> {
        let request = RebootRequest { order: order.to_owned(), boot_id: self.boot_id()? };
        self.node.request_reboot(&request).map_err(|error| start("the reboot", error))
    }

    async fn kernel_log(&self) -> Result<String, HostError> {
        self.node.kernel_log().map_err(|error| start("reading the kernel's log", error))
    }

    async fn run_script(&self, order: &str, script: &str, deadline_seconds: u64) -> Result<ScriptOutcome, HostError> {
        let what = || format!("the reimage script of order {order}");
        let file = self.node.path().join("reimage-script.sh");
        std::fs::write(&file, script).map_err(|source| HostError::Start { what: what(), source })?;
        let program = Program::new("reimage script", "/bin/bash").arg(&file).env("HOST_ROOT", self.node.path());
        let run = program.dir(self.node.path());
        let finished = match run.finish(Duration::from_secs(deadline_seconds)).await {
            Ok(Some(finished)) => finished,
            Ok(None) => return Err(HostError::TooLong { what: what(), seconds: deadline_seconds }),
            Err(error) => return Err(start(&what(), error)),
        };
        let output = format!("{}{}", finished.stdout, finished.stderr);
        let lines: Vec<&str> = output.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        Ok(ScriptOutcome { exit_status: finished.status.code(), tail })
    }
}

fn start(what: &str, error: anyhow::Error) -> HostError {
    HostError::Start { what: what.to_owned(), source: io::Error::other(format!("{error:#}")) }
}
