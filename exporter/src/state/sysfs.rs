//! AMD GPUs on the PCI bus, from sysfs: the only place that still shows a GPU without a driver.
//! Reads only attributes and links that the kernel or the driver hold in memory. No GPU stands
//! behind them, so a read does not hang with one.

use crate::facts::Limits;
use crate::inventory::PciGpu;
use std::collections::BTreeMap;
use std::path::Path;

/// Returns the names of the slots by what stands in them: `domain:bus:device`. An empty slot that
/// can be plugged keeps its address.
///
/// Source: the kernel's Documentation/ABI/testing/sysfs-bus-pci, `/sys/bus/pci/slots`.
pub fn slots(sysfs: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = std::fs::read_dir(sysfs.join("bus/pci/slots")) else { return BTreeMap::new() };
    let slot = |entry: std::fs::DirEntry| {
        let address = std::fs::read_to_string(entry.path().join("address")).ok()?;
        Some((address.trim().to_ascii_lowercase(), entry.file_name().to_str()?.to_string()))
    };
    entries.flatten().filter_map(slot).collect()
}

const AMD: &str = "0x1002";

/// PCI classes of display controllers and processing accelerators; Instinct GPUs are the latter.
const CLASSES: [&str; 3] = ["0x0300", "0x0380", ACCELERATOR];
const ACCELERATOR: &str = "0x1200";

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
    let accelerator = class.trim().starts_with(ACCELERATOR);
    let suspended = line("power/runtime_status").is_some_and(|status| status.trim() == "suspended");
    Some(PciGpu { address, driver, accelerator, suspended, limits_celsius: limits(device) })
}

/// Returns the limits of the driver's sensors. The kernel's interface for sensors (hwmon) gives
/// them in thousandths of a degree, beside a label for each sensor.
fn limits(device: &Path) -> Limits {
    let mut limits = Limits::default();
    let Ok(monitors) = std::fs::read_dir(device.join("hwmon")) else { return limits };
    for monitor in monitors.flatten() {
        for sensor in 1..=3 {
            let line = |name: &str| std::fs::read_to_string(monitor.path().join(format!("temp{sensor}_{name}"))).ok();
            let Some(label) = line("label") else { continue };
            for (name, of) in [("crit", &mut limits.slowdown), ("emergency", &mut limits.shutdown)] {
                let millidegrees: Option<f64> = line(name).and_then(|value| value.trim().parse().ok());
                let limit = millidegrees.map(|value| value / 1e3).filter(|limit| CELSIUS.contains(limit));
                match label.trim() {
                    "edge" => of.edge = limit,
                    "junction" => of.junction = limit,
                    "mem" => of.memory = limit,
                    _ => {}
                }
            }
        }
    }
    limits
}

/// A limit outside is none: drivers show 0, or a number that no GPU survives.
const CELSIUS: std::ops::RangeInclusive<f64> = 60.0..=150.0;

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
        let asleep = device("0000:05:00.0", "0x1002", "0x030000");
        std::fs::create_dir(asleep.join("power")).unwrap();
        std::fs::write(asleep.join("power/runtime_status"), "suspended\n").unwrap();
        let sensors = asleep.join("hwmon/hwmon3");
        std::fs::create_dir_all(&sensors).unwrap();
        for (name, value) in [
            ("temp2_label", "junction"),
            ("temp2_crit", "100000"),
            ("temp2_emergency", "110000"),
            ("temp3_label", "mem"),
            ("temp3_crit", "0"),
            ("temp3_emergency", "105000"),
        ] {
            std::fs::write(sensors.join(name), format!("{value}\n")).unwrap();
        }
        device("0000:c4:00.0", "0x1a03", "0x030000");
        device("0000:00:01.0", "0x1002", "0x060400");
        let slot = sysfs.join("bus/pci/slots/7");
        std::fs::create_dir_all(&slot).unwrap();
        std::fs::write(slot.join("address"), "0000:65:00\n").unwrap();
        assert_eq!(slots(&sysfs), BTreeMap::from([("0000:65:00".to_string(), "7".to_string())]));
        assert!(slots(Path::new("/nonexistent")).is_empty());
        let gpus = pci_gpus(&sysfs).unwrap();
        let shown = |gpu: &PciGpu| (gpu.driver.clone(), gpu.accelerator, gpu.suspended);
        let found: Vec<_> = gpus.iter().map(|gpu| (gpu.address.as_str(), shown(gpu))).collect();
        let driver = Some("amdgpu".to_string());
        assert_eq!(found, [("0000:05:00.0", (None, false, true)), ("0000:65:00.0", (driver, true, false))]);
        let Limits { slowdown, shutdown } = gpus[0].limits_celsius;
        assert_eq!((slowdown.junction, slowdown.memory), (Some(100.0), None));
        assert_eq!((shutdown.junction, shutdown.memory), (Some(110.0), Some(105.0)));
        assert_eq!(pci_gpus(Path::new("/nonexistent")), None);
    }
}
