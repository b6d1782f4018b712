//! Flags of `ossci-exporter parse`.

use clap::Args;
use std::path::PathBuf;

use crate::parse::ToolName;

/// Prints the exporter's verdict on the output of a tool. Exit status 0 passed, 1 failed, 3
/// unknown, 2 usage.
#[derive(Debug, Clone, Args)]
pub struct ParseArguments {
    /// The tool that printed it, such as rocm-smi.
    #[arg(value_name = "TOOL", value_parser = tool)]
    pub tool: ToolName,

    /// Exit status of the tool; above 128, the signal that ended it plus 128.
    #[arg(long, value_name = "N", default_value = "0")]
    pub exit_status: i32,

    /// Standard error of the tool.
    #[arg(long, value_name = "FILE")]
    pub stderr: Option<PathBuf>,

    /// Number of GPUs that the node must show.
    #[arg(long, value_name = "N")]
    pub expect_gpus: Option<u32>,

    /// Standard output of the tool; - is the standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

fn tool(name: &str) -> Result<ToolName, String> {
    ToolName::from_name(name).ok_or_else(|| format!("write {}", ToolName::names(|_| true)))
}
