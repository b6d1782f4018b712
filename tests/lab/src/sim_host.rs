//! The simulated host: the second implementation of the agent's host interface.
//!
//! It asks the machine (the lab) for a reboot through a file and does not wait for it: a real
//! shutdown does not wait for the agent either. Scripts are really run.

use std::io;
use std::time::Duration;

use ossci_remediator::agent::driver::Driver;
use ossci_remediator::agent::evidence::{KERNEL, Section};
use ossci_remediator::agent::host::{Host, ScriptKind, ScriptOutcome};
use ossci_remediator::agent::process::HostError;
use ossci_remediator::agent::script_files::ScriptFiles;
use rustix::process::Signal;

use crate::fault::Fault;
use crate::node_dir::{NodeDir, RebootRequest};
use crate::process::{self, Program};

/// Interval at which a script is polled.
const LOOK_EVERY: Duration = Duration::from_millis(100);

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
        let faults = self.node.faults().map_err(|error| start("the reboot", error))?;
        if faults.has(Fault::Inhibited) {
            return Err(HostError::Inhibited {
                holders: "an inhibitor lock: apt (process 4711): upgrading".to_owned(),
            });
        }
        let request = RebootRequest { order: order.to_owned(), boot_id: self.boot_id()? };
        self.node.request_reboot(&request).map_err(|error| start("the reboot", error))
    }

    fn crash_kernel(&self) -> bool {
        self.node.faults().is_ok_and(|faults| faults.has(Fault::CrashKernel))
    }

    async fn evidence(&self, _within: Duration) -> Vec<Section> {
        let said = self.node.kernel_log().map_err(|error| format!("{error:#}"));
        vec![Section { name: KERNEL, said }]
    }

    /// No kernel module is simulated.
    async fn driver(&self) -> Option<Driver> {
        None
    }

    async fn start_script(
        &self,
        _kind: ScriptKind,
        key: &str,
        script: &str,
        settings: &[(&str, &str)],
        seconds: u64,
    ) -> Result<(), HostError> {
        let files = self.files(key);
        let path = files.run();
        let wrong = |source| HostError::Write { path: path.display().to_string(), source };
        files.write(script, settings).map_err(wrong)?;
        let run = Program::new("script", "/bin/bash").arg(&path).arg(seconds.to_string());
        let run = run.env("HOST_ROOT", self.node.path()).dir(self.node.path());
        run.detach(&self.node.log("script")).map_err(|error| start("the script", error))
    }

    async fn script_ended(&self, key: &str) -> Result<Option<ScriptOutcome>, HostError> {
        let files = self.files(key);
        let path = files.run().display().to_string();
        let mut absent = 0;
        loop {
            let runs = runs(&path);
            // Read after the process list: a process that exited in between has left its result.
            let outcome = files.outcome().map_err(|source| HostError::Read { path: path.clone(), source })?;
            // A process that has just started shows its command line a moment later.
            absent = if runs { 0 } else { absent + 1 };
            if outcome.is_some() || absent > 2 {
                return Ok(outcome);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end_script(&self, key: &str) -> Result<(), HostError> {
        let path = self.files(key).run().display().to_string();
        process::signal_all(Signal::KILL, |text| text.contains(&path));
        while runs(&path) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Whether a process has the path in its command line.
fn runs(path: &str) -> bool {
    !process::texts_of(|text| text.contains(path), "comm").is_empty()
}

impl SimHost {
    fn files(&self, key: &str) -> ScriptFiles {
        ScriptFiles::of(&self.node.path().join("orders"), key)
    }
}

fn start(what: &str, error: anyhow::Error) -> HostError {
    HostError::Start { what: what.to_owned(), source: io::Error::other(format!("{error:#}")) }
}
