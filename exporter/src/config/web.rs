//! Flags of the web server and its addresses.

use super::values::url_path;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

/// `--web.*`.
#[derive(Debug, Clone, Args)]
pub struct Web {
    /// Address of the metrics and the pages. May be given more than once.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "0.0.0.0:19400"
    )]
    pub listen_addresses: Vec<SocketAddr>,

    /// Path of the metrics page.
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = url_path
    )]
    pub telemetry_path: String,

    /// TLS, client certificates and users, in the format of the Prometheus exporter toolkit. Read
    /// again on SIGHUP and every 5 s.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,

    /// Unix socket on which the node's agent requests a check. Mode 0600.
    #[arg(long = "web.probe-socket", value_name = "PATH", default_value = ossci_base::contract::run_dir::PROBE_SOCKET)]
    pub probe_socket: PathBuf,
}
