//! The agent of one node. It carries out the orders in its node's record, and writes the exporter's
//! pause file.

mod capture;
pub mod driver;
pub mod evidence;
mod guards;
pub mod host;
mod inventory;
mod keep;
pub mod linux;
mod load_test;
mod newest;
mod node_files;
mod orders;
mod probe;
pub mod process;
mod prove;
mod redact;
mod report;
mod request;
mod run;
pub mod script_files;
mod server;
mod systemd;

pub use run::run;

use std::net::SocketAddr;
use std::path::PathBuf;

use ossci_base::contract::run_dir;

#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The node of this agent.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// The exporter's socket on this node.
    #[arg(long, env = "OSSCI_EXPORTER_SOCKET", default_value = run_dir::PROBE_SOCKET)]
    pub exporter_socket: PathBuf,
    /// Folder of the pause file and the inventory file, which the exporter reads.
    #[arg(long, env = "OSSCI_RUN_DIR", default_value = run_dir::RUN_DIR)]
    pub run_dir: PathBuf,
    /// Folder for the evidence on this node.
    #[arg(long, env = "OSSCI_STATE_DIR", default_value = "/var/lib/ossci")]
    pub state_dir: PathBuf,
    /// The namespace of the ConfigMaps with the reimage script and the evidence.
    #[arg(long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    pub namespace: String,
    /// Listen address for metrics and health, without TLS.
    #[arg(long = "metrics.listen-address", env = "OSSCI_METRICS_ADDRESS", default_value = "0.0.0.0:19403")]
    pub metrics_address: SocketAddr,
    /// A DNS prefix for all four taints, as in the policy file. Absent: none.
    #[arg(long, env = "OSSCI_TAINT_PREFIX")]
    pub taint_prefix: Option<String>,
}
