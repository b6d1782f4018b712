//! Pure: flags of where single tools lie.

use crate::verdict::ToolName;
use clap::Args;
use std::path::{Path, PathBuf};

/// `--tool.*`.
#[derive(Debug, Clone, Args)]
pub struct Tools {
    /// Path of rocm-smi below the root. Looked for in opt/rocm/bin, usr/bin and usr/local/bin unless set.
    #[arg(long = "tool.rocm-smi", value_name = "PATH")]
    pub rocm_smi: Option<PathBuf>,

    /// Path of amd-smi below the root. It is used where rocm-smi is not there, or when asked for with --collector.amd-smi.
    #[arg(long = "tool.amd-smi", value_name = "PATH")]
    pub amd_smi: Option<PathBuf>,

    /// Path of rocminfo below the root.
    #[arg(long = "tool.rocminfo", value_name = "PATH")]
    pub rocminfo: Option<PathBuf>,

    /// Path of iperf3 below the root.
    #[arg(long = "tool.iperf3", value_name = "PATH")]
    pub iperf3: Option<PathBuf>,

    /// Path of Ookla's speedtest below the root.
    #[arg(long = "tool.speedtest", value_name = "PATH")]
    pub speedtest: Option<PathBuf>,

    /// Path of speedtest-cli below the root.
    #[arg(long = "tool.speedtest-cli", value_name = "PATH")]
    pub speedtest_cli: Option<PathBuf>,

    /// Path of librespeed-cli below the root.
    #[arg(long = "tool.librespeed-cli", value_name = "PATH")]
    pub librespeed_cli: Option<PathBuf>,
}

impl Tools {
    /// The configured path of a tool.
    pub fn path(&self, tool: ToolName) -> Option<&Path> {
        let path = match tool {
            ToolName::RocmSmi => &self.rocm_smi,
            ToolName::AmdSmi => &self.amd_smi,
            ToolName::Rocminfo => &self.rocminfo,
            ToolName::Speedtest => &self.speedtest,
            ToolName::SpeedtestCli => &self.speedtest_cli,
            ToolName::LibrespeedCli => &self.librespeed_cli,
            ToolName::Iperf3 => &self.iperf3,
        };
        path.as_deref()
    }
}
