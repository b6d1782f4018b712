//! Pure: how many GPUs this node should show. Configuration wins over the run directory's file (the agent writes it from a node
//! label), which wins over what was learned from the last healthy run. Reads and writes nothing.

use ossci_base::contract::inventory::Inventory;

use crate::facts::Gpu;
use crate::run::Run;
use crate::verdict::Check;

/// A GPU on the PCI bus, whether or not a driver took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PciGpu {
    /// `domain:bus:device.function`, lower case.
    pub address: String,
    pub driver: Option<String>,
}

/// Where the expected number comes from.
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

/// The first of the three that says something.
pub fn expected(configured: Option<u32>, file: Option<u32>, learned: Option<&Inventory>) -> Option<Expected> {
    let of = |source| move |gpus| Expected { gpus, source };
    configured
        .map(of(Source::Configuration))
        .or(file.map(of(Source::RunDirectory)))
        .or(learned.map(|learned| learned.gpus).map(of(Source::Learned)))
}

/// What is to be remembered after a healthy run; `None` when that is what is remembered already. rocm-smi and amd-smi name bus
/// addresses and have the last word; rocminfo fills the gap where neither ever passed.
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

/// What these runs saw: the tool that names bus addresses has the last word here as well. `None`: none of them saw anything.
pub fn seen(runs: &[Run]) -> Option<Inventory> {
    let seen = |run: &Run| learn(run.check, None, run.facts.as_ref()?.gpus()?);
    let named = |run: &&Run| run.check != Check::Rocminfo;
    runs.iter().filter(named).find_map(seen).or_else(|| runs.iter().find_map(seen))
}

/// The learned addresses that a run does not show. Empty when the run names none.
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
    fn configuration_wins_over_the_file_and_the_file_over_what_was_learned() {
        let learned = Inventory { gpus: 6, pci: Vec::new() };
        let of = |configured, file, learned| expected(configured, file, learned).map(|e| (e.gpus, e.source));
        assert_eq!(of(Some(8), Some(7), Some(&learned)), Some((8, Source::Configuration)));
        assert_eq!(of(None, Some(7), Some(&learned)), Some((7, Source::RunDirectory)));
        assert_eq!(of(None, None, Some(&learned)), Some((6, Source::Learned)));
        assert_eq!(of(None, None, None), None);
    }

    #[test]
    fn the_same_run_teaches_nothing_new() {
        let seen = gpus(&["0000:05:00.0"]);
        let learned = learn(Check::RocmSmi, None, &seen).unwrap();
        assert_eq!(learned, Inventory { gpus: 1, pci: vec!["0000:05:00.0".to_string()] });
        assert_eq!(learn(Check::RocmSmi, Some(&learned), &seen), None);
    }

    #[test]
    fn rocminfo_only_fills_the_gap() {
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
