//! The real host: a privileged pod in the host's pid namespace reaches systemd and the root file system through pid 1's
//! namespaces.

use std::path::PathBuf;
use std::time::Duration;

use super::capture;
use super::host::{Host, HostError, ScriptOutcome};
use crate::process;

const REBOOT: Duration = Duration::from_secs(30);
const LOG: Duration = Duration::from_secs(10);
/// So much of a script's output is kept: its last words.
const TAIL: usize = 2_000;
/// Every namespace of pid 1 that decides what a command sees.
const ENTER: [&str; 7] = ["--target", "1", "--mount", "--uts", "--ipc", "--net", "--"];

/// The machine that this process runs on.
#[derive(Debug, Clone)]
pub struct Linux {
    boot_id: PathBuf,
}

impl Default for Linux {
    fn default() -> Self {
        Self { boot_id: PathBuf::from("/proc/sys/kernel/random/boot_id") }
    }
}

async fn on_host(what: &str, command: &[&str], input: &[u8], deadline: Duration) -> Result<process::Ended, HostError> {
    let arguments: Vec<&str> = ENTER.iter().chain(command).copied().collect();
    process::run(what, "nsenter", &arguments, input, deadline).await
}

fn done(what: &str, ended: &process::Ended) -> Result<(), HostError> {
    if ended.exit_status == Some(0) {
        return Ok(());
    }
    let status = ended.exit_status.map_or("a signal".to_owned(), |status| status.to_string());
    let stderr = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    Err(HostError::Refused { what: what.to_owned(), status, stderr })
}

impl Host for Linux {
    fn boot_id(&self) -> Result<String, HostError> {
        std::fs::read_to_string(&self.boot_id)
            .map(|text| text.trim().to_owned())
            .map_err(|source| HostError::BootID { path: self.boot_id.display().to_string(), source })
    }

    async fn reboot(&self, order: &str) -> Result<(), HostError> {
        let message = format!("--message=OSSCI Ops repair order {order}");
        let ended = on_host("systemctl reboot", &["systemctl", "reboot", "--no-wall", &message], b"", REBOOT).await?;
        done("systemctl reboot", &ended)
    }

    async fn kernel_log(&self) -> Result<String, HostError> {
        let ended = on_host("dmesg", &["dmesg", "--time-format", "iso"], b"", LOG).await?;
        done("dmesg", &ended).map(|()| String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    async fn run_script(&self, order: &str, script: &str, deadline_seconds: u64) -> Result<ScriptOutcome, HostError> {
        let what = format!("the reimage script of order {order}");
        let ended = on_host(&what, &["bash", "-s"], script.as_bytes(), Duration::from_secs(deadline_seconds)).await?;
        let mut output = ended.stdout;
        output.extend_from_slice(&ended.stderr);
        let output = String::from_utf8_lossy(&output);
        Ok(ScriptOutcome { exit_status: ended.exit_status, tail: capture::tail(&output, TAIL).trim().to_owned() })
    }
}
