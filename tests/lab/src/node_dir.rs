//! The directory of one simulated node. Its files are the only state that the lab, the node's
//! processes and a person in another terminal share.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Faults};

/// The tools that a simulated node has stand-ins for.
pub const TOOLS: [&str; 3] = ["rocm-smi", "rocminfo", "iperf3"];

/// A tool that a person may install on a simulated node.
pub const INSTALLABLE: &str = "amd-smi";

/// The addresses of a node's GPUs, as its tools print them.
const GPUS: [&str; 8] = [
    "0000:05:00.0",
    "0000:26:00.0",
    "0000:46:00.0",
    "0000:65:00.0",
    "0000:85:00.0",
    "0000:a6:00.0",
    "0000:c6:00.0",
    "0000:e5:00.0",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDir(PathBuf);

/// One line of `boots.jsonl`: a boot that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootEnd {
    pub at: Timestamp,
    pub boot_id: String,
    /// The order that ended it, or `power`.
    pub by: String,
}

/// The agent's request to the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RebootRequest {
    pub order: String,
    pub boot_id: String,
}

impl NodeDir {
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    pub fn of(lab: &Path, node: &str) -> Self {
        Self(lab.join("nodes").join(node))
    }

    /// Creates the directory of a node before its first boot. `stand_in`, which is `ossci-lab`,
    /// provides its tools.
    pub fn create(lab: &Path, node: &str, stand_in: &Path) -> Result<Self> {
        let dir = Self::of(lab, node);
        for folder in ["proc/sys/kernel/random", "sys/bus/pci/devices", "run", "state", "bin", "logs", "secrets"] {
            let folder = dir.0.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        for tool in TOOLS {
            dir.install(tool, stand_in)?;
        }
        dir.begin_boot()?;
        Ok(dir)
    }

    /// Installs the stand-in for a tool.
    pub fn install(&self, tool: &str, stand_in: &Path) -> Result<()> {
        let script = format!(
            "#!/bin/sh\nexec '{}' stand-in {tool} --node-dir '{}' -- \"$@\"\n",
            stand_in.display(),
            self.0.display()
        );
        let path = self.tool(tool);
        fs::write(&path, script).with_context(|| format!("writing {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("making a tool executable")
    }

    /// Shows the PCI bus of a node whose GPUs virtual machines have. The bus of another node is
    /// empty, as that of the machine that runs the lab.
    pub fn show_bus(&self) -> Result<()> {
        let bus = self.sys().join("bus/pci/devices");
        fs::remove_dir_all(&bus).context("emptying the PCI bus")?;
        fs::create_dir_all(&bus).context("creating the PCI bus")?;
        for address in GPUS.into_iter().filter(|_| self.faults().is_ok_and(|faults| faults.has(Fault::Lent))) {
            let gpu = bus.join(address);
            fs::create_dir(&gpu).context("creating a GPU on the PCI bus")?;
            fs::write(gpu.join("vendor"), "0x1002\n").context("writing a GPU's vendor")?;
            fs::write(gpu.join("class"), "0x120000\n").context("writing a GPU's class")?;
            symlink("../../../drivers/vfio-pci", gpu.join("driver")).context("binding a GPU")?;
        }
        Ok(())
    }

    pub fn sys(&self) -> PathBuf {
        self.0.join("sys")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The node's name, which is that of its folder.
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub fn proc(&self) -> PathBuf {
        self.0.join("proc")
    }

    pub fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("run/exporter.sock")
    }

    pub fn tool(&self, tool: &str) -> PathBuf {
        self.0.join("bin").join(tool)
    }

    pub fn log(&self, program: &str) -> PathBuf {
        self.0.join("logs").join(format!("{program}.log"))
    }

    pub fn boot_id_file(&self) -> PathBuf {
        self.0.join("proc/sys/kernel/random/boot_id")
    }

    pub fn boot_id(&self) -> std::io::Result<String> {
        Ok(fs::read_to_string(self.boot_id_file())?.trim().to_owned())
    }

    /// Gives the machine a new boot ID.
    pub fn begin_boot(&self) -> Result<String> {
        let id = uuid::Uuid::new_v4().to_string();
        replace(&self.boot_id_file(), &format!("{id}\n"))?;
        replace(&self.kernel_log_file(), &format!("Linux version 6.8.0-sim\n{}", self.faults()?.kernel_log()))?;
        Ok(id)
    }

    pub fn record_boot_end(&self, end: &BootEnd) -> Result<()> {
        let path = self.0.join("boots.jsonl");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).context("opening boots.jsonl")?;
        let line = format!("{}\n", serde_json::to_string(end)?);
        file.write_all(line.as_bytes()).with_context(|| format!("writing {}", path.display()))
    }

    /// All boots that ended, oldest first.
    pub fn boot_ends(&self) -> Result<Vec<BootEnd>> {
        let text = read_if_there(&self.0.join("boots.jsonl"))?.unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("reading boot end {line}")))
            .collect()
    }

    pub fn request_reboot(&self, request: &RebootRequest) -> Result<()> {
        replace(&self.reboot_request_file(), &serde_json::to_string(request)?)
    }

    pub fn reboot_request(&self) -> Result<Option<RebootRequest>> {
        let Some(text) = read_if_there(&self.reboot_request_file())? else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).context("reading the reboot request")?))
    }

    pub fn clear_reboot_request(&self) -> Result<()> {
        remove_if_there(&self.reboot_request_file())
    }

    fn reboot_request_file(&self) -> PathBuf {
        self.0.join("reboot-request.json")
    }

    /// Marks that the next boot has a new disk.
    pub fn mark_new_disk(&self) -> Result<()> {
        replace(&self.0.join("new-disk"), "")
    }

    /// Whether the disk is new, without our programs' files. Removes the mark.
    pub fn take_new_disk(&self) -> Result<bool> {
        let mark = self.0.join("new-disk");
        let there = mark.exists();
        if there {
            fs::remove_dir_all(self.state()).context("removing the old disk")?;
            fs::create_dir(self.state()).context("creating the new disk")?;
        }
        remove_if_there(&mark)?;
        Ok(there)
    }

    /// Whether a reimage has run since the last reboot. Removes the mark.
    pub fn take_reimaged(&self) -> Result<bool> {
        let mark = self.0.join("reimaged");
        let there = mark.exists();
        remove_if_there(&mark)?;
        Ok(there)
    }

    pub fn faults(&self) -> Result<Faults> {
        match read_if_there(&self.fault_file())? {
            Some(text) => {
                serde_json::from_str(&text).with_context(|| format!("reading {}", self.fault_file().display()))
            }
            None => Ok(Faults::default()),
        }
    }

    pub fn set_faults(&self, faults: &Faults) -> Result<()> {
        replace(&self.fault_file(), &serde_json::to_string(faults)?)?;
        let said = self.kernel_log()?;
        replace(&self.kernel_log_file(), &format!("{said}{}", faults.kernel_log()))
    }

    /// The kernel log of this boot.
    pub fn kernel_log(&self) -> Result<String> {
        Ok(read_if_there(&self.kernel_log_file())?.unwrap_or_default())
    }

    fn kernel_log_file(&self) -> PathBuf {
        self.0.join("proc/kernel.log")
    }

    fn fault_file(&self) -> PathBuf {
        self.0.join("fault.json")
    }
}

/// Writes a file by rename: a reader sees the old or the new text.
fn replace(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, path)).with_context(|| format!("writing {}", path.display()))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
