//! The interface between the agent and the machine it runs on.
//!
//! The shipped binary has one implementation, [`super::linux::Linux`]; the lab's simulated host is
//! the second. It decides nothing: the order loop has checked every guard before it calls.

use std::future::Future;
use std::time::Duration;

use super::driver::Driver;
use super::evidence::Section;
use super::process::HostError;

/// The outcome of a script that has exited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Exit status; `None` if it is unknown.
    pub exit_status: Option<i32>,
    /// Whether it was ended at its deadline.
    pub too_long: bool,
    /// The last lines of its output, bounded, for the record.
    pub tail: String,
    /// More of its output, for the evidence.
    pub output: String,
}

/// What a script is for, which decides what it may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptKind {
    /// It builds kernel modules and must leave enough for the machine.
    Reimage,
    /// It may take everything.
    LoadTest,
}

/// A machine that the agent can inspect and act on.
pub trait Host: Send + Sync + 'static {
    /// Returns the kernel's boot ID (`/proc/sys/kernel/random/boot_id`), which the kubelet reports
    /// in `status.nodeInfo.bootID`.
    fn boot_id(&self) -> Result<String, HostError>;

    /// Asks the host to end this boot: by an orderly shutdown, and by force if that takes longer
    /// than `within`, even if this process has exited. Returns when the host has accepted the
    /// request; the shutdown itself then ends the process. After an error that [may be
    /// done](HostError::may_be_done) it is unknown whether the host accepted it. After
    /// [`HostError::Inhibited`] it did not, for now. `order` names the order in the host's journal
    /// and for logged-in users.
    fn reboot(&self, order: &str, within: Duration) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Returns what the host can report within `within`: the kernel log ([`KERNEL`]) and the other
    /// evidence.
    ///
    /// [`KERNEL`]: super::evidence::KERNEL
    fn evidence(&self, within: Duration) -> impl Future<Output = Vec<Section>> + Send;

    /// Whether a crash kernel is loaded, so that a panic is followed by a dump (kdump).
    fn crash_kernel(&self) -> bool;

    /// Returns what is known of the GPU driver; `None`: this host cannot tell.
    fn driver(&self) -> impl Future<Output = Option<Driver>> + Send;

    /// Starts a bash script on the host as root, with these settings in its environment; it is
    /// ended after `seconds`. It continues when this process exits. `key` belongs to this order and
    /// no other. After an error that [may be done](HostError::may_be_done) it is unknown whether it
    /// runs.
    fn start_script(
        &self,
        kind: ScriptKind,
        key: &str,
        script: &str,
        settings: &[(&str, &str)],
        seconds: u64,
    ) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Waits for the end of a started script, from this process or an earlier one, on this boot or
    /// an earlier one. `None`: it does not run, and its outcome is unknown.
    fn script_ended(&self, key: &str) -> impl Future<Output = Result<Option<ScriptOutcome>, HostError>> + Send;

    /// Ends a script, if it runs, and waits until it has ended.
    fn end_script(&self, key: &str) -> impl Future<Output = Result<(), HostError>> + Send;
}
