//! Boot ID, uptime and host name of the node, from procfs. Reads, never writes.

use std::path::Path;
use std::time::Duration;
use thiserror::Error;

#[derive(Debug, Error)]
#[error("cannot read the boot ID from {path}")]
pub struct BootError {
    path: String,
    #[source]
    source: std::io::Error,
}

/// Returns the kernel's random ID of this boot: `PROCFS/sys/kernel/random/boot_id`.
pub fn boot_id(procfs: &Path) -> Result<String, BootError> {
    let path = procfs.join("sys/kernel/random/boot_id");
    let read = std::fs::read_to_string(&path).and_then(|text| match text.trim() {
        "" => Err(std::io::ErrorKind::UnexpectedEof.into()),
        id => Ok(id.to_string()),
    });
    read.map_err(|source| BootError { path: path.display().to_string(), source })
}

/// Returns the time since boot: the first number of `PROCFS/uptime`. `None` if it cannot be read;
/// the boot then counts as an old one.
pub fn uptime(procfs: &Path) -> Option<Duration> {
    let text = std::fs::read_to_string(procfs.join("uptime")).ok()?;
    let seconds = text.split_whitespace().next()?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Returns the kernel's host name: `PROCFS/sys/kernel/hostname`.
pub fn hostname(procfs: &Path) -> Option<String> {
    let text = std::fs::read_to_string(procfs.join("sys/kernel/hostname")).ok()?;
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_string())
}
