//! The real host: a privileged pod in the host's pid namespace reaches systemd and the root file system through pid 1's
//! namespaces.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::capture;
use super::host::{Host, HostError, ScriptOutcome};
use crate::process;

const SYSTEMCTL: Duration = Duration::from_secs(30);
const LOG: Duration = Duration::from_secs(10);
/// So much of a script's output is kept: its last words.
const TAIL: usize = 2_000;
/// Every namespace of pid 1 that decides what a command sees.
const ENTER: [&str; 7] = ["--target", "1", "--mount", "--uts", "--ipc", "--net", "--"];

/// The machine that this process runs on.
#[derive(Debug, Clone)]
pub struct Linux {
    boot_id: PathBuf,
    /// A drop-in of the host's reboot.target.
    reboot_bound: PathBuf,
}

impl Default for Linux {
    fn default() -> Self {
        Self {
            boot_id: PathBuf::from("/proc/sys/kernel/random/boot_id"),
            reboot_bound: PathBuf::from("/proc/1/root/run/systemd/system/reboot.target.d/50-ossci.conf"),
        }
    }
}

impl Linux {
    /// systemd stops containers first, this one among them, so what ends a shutdown that hangs has to be the host's own: the
    /// time that systemd gives its reboot. When it is over systemd goes on by force: it kills what is left, unmounts, boots.
    /// A unit of ours that sleeps and then asks the kernel (SysRq) would do too, but has to survive that very killing, needs
    /// a shell for it, and unmounts nothing; neither helps where process 1 is dead: that is for the BMC.
    ///
    /// Source: systemd.unit(5), `JobTimeoutSec=` and `JobTimeoutAction=`. In /run: it is gone with this boot.
    async fn bound_the_reboot(&self, within: Duration) -> Result<(), HostError> {
        let text = format!("[Unit]\nJobTimeoutSec={}s\nJobTimeoutAction=reboot-force\n", within.as_secs().max(1));
        let write = |path: &Path| {
            std::fs::create_dir_all(path.parent().unwrap_or(path))?;
            std::fs::write(path, text)
        };
        let path = &self.reboot_bound;
        write(path).map_err(|source| HostError::Write { path: path.display().to_string(), source })?;
        systemctl(&["daemon-reload"]).await
    }

    async fn unbound(&self) {
        let gone = std::fs::remove_file(&self.reboot_bound);
        if let Err(error) = systemctl(&["daemon-reload"]).await {
            tracing::warn!(error = %error, removed = gone.is_ok(), "a reboot that was not taken leaves its bound behind");
        }
    }
}

async fn systemctl(arguments: &[&str]) -> Result<(), HostError> {
    let what = format!("systemctl {}", arguments[0]);
    let command: Vec<&str> = ["systemctl"].iter().chain(arguments).copied().collect();
    let ended = on_host(&what, &command, b"", SYSTEMCTL).await?;
    done(&what, &ended)
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

    async fn reboot(&self, order: &str, within: Duration) -> Result<(), HostError> {
        self.bound_the_reboot(within).await?;
        let message = format!("--message=OSSCI Ops repair order {order}");
        match systemctl(&["reboot", &message]).await {
            Ok(()) => Ok(()),
            Err(error) => {
                // Somebody else's reboot is none of ours to bound.
                self.unbound().await;
                Err(error)
            }
        }
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
