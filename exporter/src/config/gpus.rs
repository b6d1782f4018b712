//! Pure: flags of what the GPUs must show.

use super::values::not_negative;
use clap::Args;

/// `--gpus.*`.
#[derive(Debug, Clone, Args)]
pub struct Gpus {
    /// How many GPUs this node must show. Otherwise the file `inventory` of the run directory says it, or the last healthy run.
    #[arg(long = "gpus.expected", value_name = "NUMBER")]
    pub expected: Option<u32>,

    /// How many partitions all GPUs of this node must show together. Not looked at unless set.
    #[arg(long = "gpus.expected-partitions", value_name = "NUMBER")]
    pub expected_partitions: Option<u32>,

    /// A GPU whose junction is this hot fails the check. The device's own critical value unless set, and 105 where the tool does not
    /// say it.
    #[arg(
        long = "gpus.max-junction-celsius",
        value_name = "DEGREES",
        value_parser = not_negative
    )]
    pub max_junction_celsius: Option<f64>,

    /// Asks amd-smi for all its metrics too, which is where it says whether and why a GPU throttles itself. One call more in each run; the
    /// driver takes two samples for it, a tenth of a second apart. Without effect on rocm-smi, which does not say it.
    #[arg(
        long = "gpus.throttling",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub throttling: bool,
}
