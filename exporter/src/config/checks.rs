//! Pure: flags of when the checks run and how long they may take.

use super::values::{duration, duration_or_zero};
use clap::Args;
use std::time::Duration;

/// `--check.*`.
#[derive(Debug, Clone, Args)]
pub struct Checks {
    /// How often each check runs.
    #[arg(
        long = "check.interval",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub interval: Duration,

    /// How long one run may take; never more than the interval allows.
    #[arg(
        long = "check.timeout",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration
    )]
    pub timeout: Duration,

    /// How often the network check runs. As often as the others unless set.
    #[arg(
        long = "check.network.interval",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_interval: Option<Duration>,

    /// How long one run of the network check may take; that of the others unless set, and 2 minutes for a public test.
    #[arg(
        long = "check.network.timeout",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_timeout: Option<Duration>,

    /// So long after the boot a failed run is no strike, unless the check has passed on this boot: drivers take their time.
    #[arg(
        long = "check.boot-grace",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration_or_zero
    )]
    pub boot_grace: Duration,
}
