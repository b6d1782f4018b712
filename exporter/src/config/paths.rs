//! Flags of the paths on this node. Pure: no I/O.

use clap::Args;
use std::path::PathBuf;

/// `--path.*`.
#[derive(Debug, Clone, Args)]
pub struct Paths {
    /// Root of the host's file system. When it is not `/`, tools are started by `chroot PATH TOOL`.
    #[arg(long = "path.rootfs", value_name = "PATH", default_value = "/")]
    pub rootfs: PathBuf,

    /// Mount point of sysfs. Only the PCI bus below it is read.
    #[arg(long = "path.sysfs", value_name = "PATH", default_value = "/sys")]
    pub sysfs: PathBuf,

    /// Mount point of procfs. The boot ID is read from sys/kernel/random/boot_id below it.
    #[arg(long = "path.procfs", value_name = "PATH", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Directory in which the agent writes the files `pause` and `inventory`.
    #[arg(long = "path.run-dir", value_name = "PATH", default_value = ossci_base::contract::run_dir::RUN_DIR)]
    pub run_dir: PathBuf,

    /// Directory of the files that survive a restart: strikes.json and inventory.json.
    #[arg(long = "path.state-dir", value_name = "PATH", default_value = "/var/lib/ossci")]
    pub state_dir: PathBuf,
}
