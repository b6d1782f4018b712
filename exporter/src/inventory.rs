//! Expected number of GPUs of this node. Configuration wins over the file in the run directory,
//! which the agent writes from a node label. The file wins over the number learned from the last
//! healthy run. Pure: no I/O.

use ossci_base::contract::inventory::Inventory;

use crate::facts::Gpu;
use crate::run::Run;
use crate::verdict::Check;

/// A GPU on the PCI bus, with or without a driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PciGpu {
    /// `domain:bus:device.function`, lower case.
    pub address: String,
    pub driver: Option<String>,
}

/// Source of the expected number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Configuration,
    RunDirectory,
    Learned,
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Configuration => "configured",
            Source::RunDirectory => "by the inventory file",
            Source::Learned => "learned",
        }
    }
}

/// The number of physical GPUs below which a run fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub gpus: u32,
    pub source: Source,
}

/// Returns the number of the first source that has one.
pub fn expected(configured: Option<u32>, file: Option<u32>, learned: Option<&Inventory>) -> Option<Expected> {
    let of = |source| move |gpus| Expected { gpus, source };
    configured
        .map(of(Source::Configuration))
        .or(file.map(of(Source::RunDirectory)))
        .or(learned.map(|learned| learned.gpus).map(of(Source::Learned)))
}

/// Returns the inventory to store after a healthy run; `None` if it is unchanged. rocm-smi and
/// amd-smi report bus addresses and always count; rocminfo counts only while nothing is stored.
pub fn learn(check: Check, before: Option<&Inventory>, gpus: &[Gpu]) -> Option<Inventory> {
    match (check, before) {
        (Check::RocmSmi | Check::AmdSmi, _) | (Check::Rocminfo, None) => {}
        _ => return None,
    }
    let now = Inventory {
        gpus: u32::try_from(gpus.len()).unwrap_or(u32::MAX),
        pci: gpus.iter().filter_map(|gpu| gpu.pci_bus.clone()).collect(),
    };
    (before != Some(&now)).then_some(now)
}

/// Returns the GPUs that these runs found; `None` if none found any. A tool that reports bus
/// addresses is preferred.
pub fn seen(runs: &[Run]) -> Option<Inventory> {
    let seen = |run: &Run| learn(run.check, None, run.facts.as_ref()?.gpus()?);
    let named = |run: &&Run| run.check != Check::Rocminfo;
    runs.iter().filter(named).find_map(seen).or_else(|| runs.iter().find_map(seen))
}

/// Returns the learned addresses that a run does not show; empty if a GPU of the run has no
/// address.
pub fn missing<'a>(learned: &'a Inventory, gpus: &[Gpu]) -> Vec<&'a str> {
    if gpus.iter().any(|gpu| gpu.pci_bus.is_none()) {
        return Vec::new();
    }
    let shown: Vec<&str> = gpus.iter().filter_map(|gpu| gpu.pci_bus.as_deref()).collect();
    learned.pci.iter().map(String::as_str).filter(|address| !shown.contains(address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(addresses: &[&str]) -> Vec<Gpu> {
        addresses.iter().map(|bus| Gpu { pci_bus: Some(bus.to_string()), ..Gpu::default() }).collect()
    }

    #[test]
    fn configuration_wins_over_file_and_file_over_learned() {
        let learned = Inventory { gpus: 6, pci: Vec::new() };
        let of = |configured, file, learned| expected(configured, file, learned).map(|e| (e.gpus, e.source));
        assert_eq!(of(Some(8), Some(7), Some(&learned)), Some((8, Source::Configuration)));
        assert_eq!(of(None, Some(7), Some(&learned)), Some((7, Source::RunDirectory)));
        assert_eq!(of(None, None, Some(&learned)), Some((6, Source::Learned)));
        assert_eq!(of(None, None, None), None);
    }

    #[test]
    fn the_same_gpus_are_learned_once() {
        let seen = gpus(&["0000:05:00.0"]);
        let learned = learn(Check::RocmSmi, None, &seen).unwrap();
        assert_eq!(learned, Inventory { gpus: 1, pci: vec!["0000:05:00.0".to_string()] });
        assert_eq!(learn(Check::RocmSmi, Some(&learned), &seen), None);
    }

    #[test]
    fn rocminfo_is_learned_only_if_nothing_is_stored() {
        let learned = Inventory { gpus: 8, pci: Vec::new() };
        assert_eq!(learn(Check::Rocminfo, Some(&learned), &gpus(&["x"])), None);
        assert_eq!(learn(Check::Rocminfo, None, &[Gpu::default()]).map(|learned| learned.gpus), Some(1));
    }

    #[test]
    fn a_run_without_addresses_names_no_missing_gpu() {
        let learned = Inventory { gpus: 2, pci: vec!["a".to_string(), "b".to_string()] };
        assert_eq!(missing(&learned, &gpus(&["a"])), ["b"]);
        assert!(missing(&learned, &[Gpu::default()]).is_empty());
    }
}
