//! The one seam between the agent and the machine it runs on.
//!
//! The shipped binary holds one implementation, [`super::linux::Linux`]; the lab's simulated host is the second.
//! Nothing here decides: the order loop has already checked every guard when it calls.

use std::future::Future;
use std::time::Duration;

use super::driver::Driver;
use super::evidence::Section;
use super::process::HostError;

/// What came of a script that ran to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Exit status; `None` when nobody knows it.
    pub exit_status: Option<i32>,
    /// It was ended at its deadline.
    pub too_long: bool,
    /// The last lines of its output, bounded, for the record.
    pub tail: String,
}

/// A machine that the agent can look at and act on.
pub trait Host: Send + Sync + 'static {
    /// The kernel's boot id (`/proc/sys/kernel/random/boot_id`), as the kubelet reports it in `status.nodeInfo.bootID`.
    fn boot_id(&self) -> Result<String, HostError>;

    /// Asks the host to end this boot: in an orderly way, and by force when that has not come to its end `within` so long,
    /// whatever has become of this process by then. Returns when the host has taken the request: the process is then ended
    /// by the shutdown itself. After [`HostError::TooLong`] nobody knows whether it has. `order` names the order, for the host's journal and for whoever is logged in.
    fn reboot(&self, order: &str, within: Duration) -> impl Future<Output = Result<(), HostError>> + Send;

    /// What the host can say of itself when `within` is over: the kernel's log ([`KERNEL`]) and whatever else there is.
    ///
    /// [`KERNEL`]: super::evidence::KERNEL
    fn evidence(&self, within: Duration) -> impl Future<Output = Vec<Section>> + Send;

    /// What is known of the GPUs' driver; `None`: this host cannot say.
    fn driver(&self) -> impl Future<Output = Option<Driver>> + Send;

    /// Runs a site's load test on the host, as root, ended after `within`. One that an earlier process began for the same
    /// order is ended first.
    fn load_test(
        &self,
        key: &str,
        command: &[String],
        within: Duration,
    ) -> impl Future<Output = Result<ScriptOutcome, HostError>> + Send;

    /// Ends an order's load test, if one runs.
    fn end_load_test(&self, key: &str) -> impl Future<Output = Result<(), HostError>> + Send;

    /// Starts a reimage script on the host, as root, ended after `seconds`. It runs on whatever becomes of this process; `key`
    /// is the order's, and no other order ever has it. After [`HostError::TooLong`] nobody knows whether it runs.
    fn start_script(&self, key: &str, script: &str, seconds: u64)
    -> impl Future<Output = Result<(), HostError>> + Send;

    /// Waits for the end of a script that was started, by this process or an earlier one, on this boot or an earlier one.
    /// `None`: it does not run, and nobody knows how it ended.
    fn script_ended(&self, key: &str) -> impl Future<Output = Result<Option<ScriptOutcome>, HostError>> + Send;
}
