//! RDMA ports of the node, from sysfs: its fabric, as InfiniBand or RoCE. A read may ask the
//! adapter, and hang with it.

use std::path::Path;

/// One port of an RDMA adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct FabricPort {
    /// The adapter, such as `mlx5_0`.
    pub device: String,
    pub port: String,
    /// Whether its link is up.
    pub is_active: bool,
    /// Speed of the link as negotiated; `None` if the driver reports none.
    pub bits_per_second: Option<f64>,
}

/// Returns the ports in order of their names; none without `SYSFS/class/infiniband`.
pub fn ports(sysfs: &Path) -> Vec<FabricPort> {
    let devices = sysfs.join("class/infiniband");
    let mut ports = Vec::new();
    for device in names(&devices) {
        let folder = devices.join(&device).join("ports");
        for port in names(&folder) {
            let line = |name: &str| std::fs::read_to_string(folder.join(&port).join(name)).unwrap_or_default();
            let is_active = line("state").trim().ends_with("ACTIVE");
            ports.push(FabricPort { device: device.clone(), is_active, bits_per_second: rate(&line("rate")), port });
        }
    }
    ports
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Parses a rate as the kernel writes it: `400 Gb/sec (4X NDR)`, `2.5 Gb/sec (1X SDR)`.
fn rate(line: &str) -> Option<f64> {
    let gigabits: f64 = line.split_once(" Gb/sec")?.0.trim().parse().ok()?;
    Some(gigabits * 1e9).filter(|bits| bits.is_finite() && *bits > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;

    #[test]
    fn the_rate_and_the_state_of_each_port_are_read() {
        let sysfs = scratch("fabric");
        let port = |device: &str, port: &str, state: &str, rate: &str| {
            let path = sysfs.join("class/infiniband").join(device).join("ports").join(port);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("state"), format!("{state}\n")).unwrap();
            std::fs::write(path.join("rate"), format!("{rate}\n")).unwrap();
        };
        port("mlx5_1", "1", "1: DOWN", "2.5 Gb/sec (1X SDR)");
        port("mlx5_0", "1", "4: ACTIVE", "400 Gb/sec (4X NDR)");
        port("bnxt_re0", "1", "4: ACTIVE", "???");
        let of = |device: &str, is_active, bits_per_second| FabricPort {
            device: device.to_string(),
            port: "1".to_string(),
            is_active,
            bits_per_second,
        };
        let wanted = [of("bnxt_re0", true, None), of("mlx5_0", true, Some(4e11)), of("mlx5_1", false, Some(2.5e9))];
        assert_eq!(ports(&sysfs), wanted);
        assert!(ports(Path::new("/nonexistent")).is_empty());
    }
}
