//! Flags of what the GPUs must show. Pure: no I/O.

use super::values::not_negative;
use clap::Args;

/// `--gpus.*`.
#[derive(Debug, Clone, Args)]
pub struct Gpus {
    /// Number of GPUs that this node must show. Default: the file `inventory` of the run directory,
    /// otherwise the last healthy run.
    #[arg(long = "gpus.expected", value_name = "NUMBER")]
    pub expected: Option<u32>,

    /// Total number of partitions of this node's GPUs. Not checked unless set.
    #[arg(long = "gpus.expected-partitions", value_name = "NUMBER")]
    pub expected_partitions: Option<u32>,

    /// Junction temperature at which a GPU fails the check. Default: the temperature at which the
    /// device switches itself off, or 110 if neither the tool nor the driver reports one.
    #[arg(
        long = "gpus.max-junction-celsius",
        value_name = "DEGREES",
        value_parser = not_negative
    )]
    pub max_junction_celsius: Option<f64>,
}
