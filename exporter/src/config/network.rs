//! Flags of the network test and of its limits. Pure: no I/O.

use super::values::{duration, host, network_tool, not_negative, ports, share, volume};
use crate::parse::ToolName;
use clap::Args;
use std::time::Duration;

/// `--network.*`.
#[derive(Debug, Clone, Args)]
pub struct Network {
    /// Tool of the network check: iperf3, or one that tests against a public server (speedtest,
    /// speedtest-cli, librespeed-cli). Public tests run every 30 minutes: their operators block
    /// more frequent clients, and count all nodes behind one address together.
    #[arg(
        long = "network.tool",
        value_name = "TOOL",
        default_value = "iperf3",
        value_parser = network_tool
    )]
    pub tool: ToolName,

    /// Host of iperf3 servers; several are separated by commas, or the flag is repeated. A run asks
    /// the next one if one does not answer. Required for a network check with iperf3.
    #[arg(long = "network.target", value_name = "HOST", value_parser = host, value_delimiter = ',')]
    pub targets: Vec<String>,

    /// Port of the iperf3 server of each host, or a range of ports with a server on each.
    #[arg(
        long = "network.ports",
        value_name = "PORT[-PORT]",
        default_value = "5201",
        value_parser = ports
    )]
    pub ports: (u16, u16),

    /// Volume of one iperf3 run, in the notation of iperf3.
    #[arg(
        long = "network.bytes",
        value_name = "BYTES",
        default_value = "8M",
        value_parser = volume
    )]
    pub bytes: String,

    /// Allows a public test to run more often than every 30 minutes.
    #[arg(
        long = "network.public-often",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub public_often: bool,

    /// A download below this many bits per second fails the network check; 0 accepts any. The
    /// default is far below the rate of a working link of a GPU node, even under load. With 8 MiB
    /// per run, values above 600000000 need an iperf3 older than 3.16.
    #[arg(
        long = "network.min-download",
        value_name = "BITS_PER_SECOND",
        default_value = "100000000",
        value_parser = not_negative
    )]
    pub min_download: f64,

    /// An upload below this many bits per second fails the network check; 0 accepts any.
    #[arg(
        long = "network.min-upload",
        value_name = "BITS_PER_SECOND",
        default_value = "0",
        value_parser = not_negative
    )]
    pub min_upload: f64,

    /// A latency above this fails the network check, if the tool measures it.
    #[arg(
        long = "network.max-latency",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub max_latency: Option<Duration>,

    /// A packet loss above this fails the network check, if the tool measures it: 0 to 1.
    #[arg(
        long = "network.max-loss",
        value_name = "RATIO",
        default_value = "0.05",
        value_parser = share
    )]
    pub max_loss: f64,
}

impl Network {
    /// Returns whether a test has a server. A public test runs only if its tool was configured by
    /// name.
    pub fn can_run(&self) -> bool {
        self.tool.is_public() || !self.targets.is_empty()
    }
}
