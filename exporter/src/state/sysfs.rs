//! AMD GPUs on the PCI bus, from sysfs: the only place that still shows a GPU without a driver.
//! Reads only attributes and links that the kernel holds in memory. No driver or GPU stands behind
//! them, so a read cannot hang with one.

use crate::inventory::PciGpu;
use std::path::Path;

const AMD: &str = "0x1002";

/// PCI classes of display controllers and processing accelerators; Instinct GPUs are the latter.
const CLASSES: [&str; 3] = ["0x0300", "0x0380", "0x1200"];

/// Returns the AMD GPUs in bus order; `None` if `SYSFS/bus/pci/devices` cannot be read.
pub fn pci_gpus(sysfs: &Path) -> Option<Vec<PciGpu>> {
    let entries = std::fs::read_dir(sysfs.join("bus/pci/devices")).ok()?;
    let mut gpus: Vec<PciGpu> = entries.flatten().filter_map(|entry| gpu(&entry.path())).collect();
    gpus.sort_by(|one, two| one.address.cmp(&two.address));
    Some(gpus)
}

fn gpu(device: &Path) -> Option<PciGpu> {
    let line = |name: &str| std::fs::read_to_string(device.join(name)).ok();
    if line("vendor")?.trim() != AMD {
        return None;
    }
    let class = line("class")?;
    if !CLASSES.iter().any(|known| class.trim().starts_with(known)) {
        return None;
    }
    let address = device.file_name()?.to_str()?.to_ascii_lowercase();
    let driver = std::fs::read_link(device.join("driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_str()?.to_string()));
    Some(PciGpu { address, driver })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_amd_gpus_are_listed_with_their_driver() {
        let sysfs = scratch("sysfs");
        let device = |address: &str, vendor: &str, class: &str| {
            let path = sysfs.join("bus/pci/devices").join(address);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("vendor"), format!("{vendor}\n")).unwrap();
            std::fs::write(path.join("class"), format!("{class}\n")).unwrap();
            path
        };
        symlink("../../../drivers/amdgpu", device("0000:65:00.0", "0x1002", "0x120000").join("driver")).unwrap();
        device("0000:05:00.0", "0x1002", "0x120000");
        device("0000:c4:00.0", "0x1a03", "0x030000");
        device("0000:00:01.0", "0x1002", "0x060400");
        let gpus = pci_gpus(&sysfs).unwrap();
        let found: Vec<_> = gpus.iter().map(|gpu| (gpu.address.as_str(), gpu.driver.as_deref())).collect();
        assert_eq!(found, [("0000:05:00.0", None), ("0000:65:00.0", Some("amdgpu"))]);
        assert_eq!(pci_gpus(Path::new("/nonexistent")), None);
    }
}
