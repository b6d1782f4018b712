//! Flags of the check intervals and timeouts. Pure: no I/O.

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

    /// Interval of amd-smi where it runs beside rocm-smi, to read the health of the memory and of
    /// the links. Default: that of the other checks, and at least 5m.
    #[arg(
        long = "check.amd-smi.interval",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub beside_interval: Option<Duration>,

    /// Timeout of one run; shortened if it does not fit in the interval.
    #[arg(
        long = "check.timeout",
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration
    )]
    pub timeout: Duration,

    /// Interval of the network check. Default: that of the other checks, and at least 30m for a
    /// public test.
    #[arg(
        long = "check.network.interval",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_interval: Option<Duration>,

    /// Timeout of one run of the network check. Default: that of the other checks, and 2m for a
    /// public test.
    #[arg(
        long = "check.network.timeout",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_timeout: Option<Duration>,

    /// For this long after the boot a failed run is no strike, unless the check has passed on this
    /// boot; twice as long for a driver that is not loaded. Not below the controller's
    /// `times.stabiliseSeconds`.
    #[arg(
        long = "check.boot-grace",
        value_name = "DURATION",
        default_value = "5m",
        value_parser = duration_or_zero
    )]
    pub boot_grace: Duration,
}
