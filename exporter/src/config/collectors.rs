//! Flags that switch single checks on and off. Pure: no I/O.

use crate::verdict::Check;
use clap::Args;

/// Enabled checks. Default: rocm-smi and amd-smi, as far as they are installed; rocminfo; the
/// network check if it has a target.
#[derive(Debug, Clone, Default, Args)]
pub struct Collectors {
    /// Runs rocm-smi, even if it is not installed.
    #[arg(
        id = "collector_rocm_smi",
        long = "collector.rocm-smi",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        overrides_with = "no_collector_rocm_smi"
    )]
    rocm_smi: Option<bool>,
    /// Never runs rocm-smi.
    #[arg(id = "no_collector_rocm_smi", long = "no-collector.rocm-smi")]
    no_rocm_smi: bool,
    /// Runs amd-smi even if it is not installed. Beside rocm-smi it reads wear and links.
    #[arg(
        id = "collector_amd_smi",
        long = "collector.amd-smi",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        overrides_with = "no_collector_amd_smi"
    )]
    amd_smi: Option<bool>,
    /// Never runs amd-smi.
    #[arg(id = "no_collector_amd_smi", long = "no-collector.amd-smi")]
    no_amd_smi: bool,
    /// Runs rocminfo.
    #[arg(
        id = "collector_rocminfo",
        long = "collector.rocminfo",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        overrides_with = "no_collector_rocminfo"
    )]
    rocminfo: Option<bool>,
    /// Never runs rocminfo.
    #[arg(id = "no_collector_rocminfo", long = "no-collector.rocminfo")]
    no_rocminfo: bool,
    /// Tests the network.
    #[arg(
        id = "collector_network",
        long = "collector.network",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        overrides_with = "no_collector_network"
    )]
    network: Option<bool>,
    /// Never tests the network.
    #[arg(id = "no_collector_network", long = "no-collector.network")]
    no_network: bool,
}

impl Collectors {
    /// Returns whether this check was switched on or off; `None` if no flag is set.
    pub fn choice(&self, check: Check) -> Option<bool> {
        let (on, off) = match check {
            Check::RocmSmi => (self.rocm_smi, self.no_rocm_smi),
            Check::AmdSmi => (self.amd_smi, self.no_amd_smi),
            Check::Rocminfo => (self.rocminfo, self.no_rocminfo),
            Check::Network => (self.network, self.no_network),
        };
        if off { Some(false) } else { on }
    }
}
