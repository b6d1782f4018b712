//! The one seam between the agent and the machine it runs on.
//!
//! The shipped binary holds one implementation, [`super::linux::Linux`]; the lab's simulated host is the second.
//! Nothing here decides: the order loop has already checked every guard when it calls.

use std::future::Future;
use std::time::Duration;

/// What came of a script that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Exit status; `None` when a signal ended the script.
    pub exit_status: Option<i32>,
    /// The last lines of its output, bounded, for the record.
    pub tail: String,
}

/// Why the host could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("reading the boot id from {path}")]
    BootID { path: String, source: std::io::Error },
    #[error("writing {path}")]
    Write { path: String, source: std::io::Error },
    #[error("starting {what}")]
    Start { what: String, source: std::io::Error },
    #[error("{what} ended with status {status}: {stderr}")]
    Refused { what: String, status: String, stderr: String },
    #[error("{what} took longer than {seconds} s")]
    TooLong { what: String, seconds: u64 },
}

/// A machine that the agent can look at and act on.
pub trait Host: Send + Sync + 'static {
    /// The kernel's boot id (`/proc/sys/kernel/random/boot_id`), as the kubelet reports it in `status.nodeInfo.bootID`.
    fn boot_id(&self) -> Result<String, HostError>;

    /// Asks the host to end this boot: in an orderly way, and by force when that has not come to its end `within` so long,
    /// whatever has become of this process by then. Returns when the host has taken the request: the process is then ended
    /// by the shutdown itself. `order` names the order, for the host's journal and for whoever is logged in.
    fn reboot(&self, order: &str, within: Duration) -> impl Future<Output = Result<(), HostError>> + Send;

    /// What the kernel said during this boot, oldest line first.
    fn kernel_log(&self) -> impl Future<Output = Result<String, HostError>> + Send;

    /// Runs a reimage script on the host, as root, and waits for its end, at most `deadline_seconds`.
    fn run_script(
        &self,
        order: &str,
        script: &str,
        deadline_seconds: u64,
    ) -> impl Future<Output = Result<ScriptOutcome, HostError>> + Send;
}
