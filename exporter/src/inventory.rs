//! Expected number of GPUs of this node. Configuration wins over the file in the run directory,
//! which the agent writes from a node label. The file wins over the number learned from the last
//! healthy run. Pure: no I/O.

use ossci_base::contract::inventory::Inventory;
use serde::{Deserialize, Serialize};

use crate::facts::{Gpu, Limits};
use crate::run::Run;
use crate::verdict::Check;

/// A GPU on the PCI bus, with or without a driver.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PciGpu {
    /// `domain:bus:device.function`, lower case.
    pub address: String,
    pub driver: Option<String>,
    /// A processing accelerator without a display, as all Instinct GPUs are.
    pub accelerator: bool,
    /// The kernel has suspended it: its sensors cannot be read until a program uses it.
    pub suspended: bool,
    /// Its temperature limits, as its driver knows them.
    pub limits_celsius: Limits,
}

impl PciGpu {
    /// Returns whether a driver other than `amdgpu` has the GPU, as `vfio-pci` has one that a
    /// virtual machine uses. It is none of this node's.
    pub fn is_foreign(&self) -> bool {
        self.driver.as_deref().is_some_and(|driver| driver != DRIVER)
    }
}

/// Whether the GPU with this address has another driver than `amdgpu`.
pub fn is_lent(address: &str, pci: &[PciGpu]) -> bool {
    pci.iter().any(|gpu| gpu.is_foreign() && gpu.address == address)
}

/// The kernel's driver of AMD GPUs.
pub const DRIVER: &str = "amdgpu";

/// Adds the temperature limits that the drivers know, where the tool reports none.
pub fn add_limits(gpus: &mut [Gpu], pci: &[PciGpu]) {
    for gpu in gpus {
        if let Some(at) = pci.iter().find(|at| gpu.pci_bus.as_deref() == Some(at.address.as_str())) {
            gpu.limits_celsius = gpu.limits_celsius.or(at.limits_celsius);
        }
    }
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

impl Expected {
    /// Whether an administrator set the number.
    pub fn is_set(self) -> bool {
        self.source != Source::Learned
    }
}

/// Returns the number of the first source that has one.
pub fn expected(configured: Option<u32>, file: Option<u32>, learned: Option<&Inventory>) -> Option<Expected> {
    let of = |source| move |gpus| Expected { gpus, source };
    configured
        .map(of(Source::Configuration))
        .or(file.map(of(Source::RunDirectory)))
        .or(learned.map(|learned| learned.gpus).map(of(Source::Learned)))
}

/// Returns the inventory that a run of this check shows; `None` if it cannot be learned from.
/// rocm-smi and amd-smi name the bus address of each GPU: a device without one may be no GPU.
/// rocminfo names no PCI domain, so only its number counts.
pub fn of_run(check: Check, gpus: &[Gpu]) -> Option<Inventory> {
    let pci: Vec<String> = match check {
        Check::RocmSmi | Check::AmdSmi => gpus.iter().map(|gpu| gpu.pci_bus.clone()).collect::<Option<_>>()?,
        Check::Rocminfo => Vec::new(),
        Check::Network => return None,
    };
    Some(Inventory { gpus: u32::try_from(gpus.len()).unwrap_or(u32::MAX), pci })
}

/// Runs in a row that have to show the same GPUs before they are learned.
pub const EQUAL_RUNS: u32 = 5;

/// What one check has learned, and what it is about to learn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Learning {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Inventory>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next: Option<Candidate>,
}

/// GPUs that the last runs in a row have shown, and that are not learned yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    shown: Inventory,
    runs: u32,
}

impl Learning {
    pub fn of(learned: Inventory) -> Self {
        Self { learned: Some(learned), next: None }
    }

    /// Nothing is learned, but this was seen: fewer GPUs are no pass.
    pub fn suspecting(shown: Inventory) -> Self {
        Self { learned: None, next: Some(Candidate { shown, runs: 0 }) }
    }

    /// Returns the number that the last passed runs have shown, while nothing is learned.
    pub fn suspected(&self) -> Option<u32> {
        self.next.as_ref().filter(|_| self.learned.is_none()).map(|next| next.shown.gpus)
    }

    /// Returns what is learned; until then what the last passed runs have shown.
    pub fn known(&self) -> Option<&Inventory> {
        self.learned.as_ref().or(self.next.as_ref().map(|next| &next.shown))
    }

    /// Takes in what a passed run has shown. Returns whether anything changed.
    pub fn hear(&mut self, shown: Option<Inventory>) -> bool {
        let Some(shown) = shown.filter(|shown| self.learned.as_ref() != Some(shown)) else {
            return self.next.take().is_some();
        };
        let runs = match self.next.take() {
            Some(before) if before.shown == shown => before.runs + 1,
            _ => 1,
        };
        match runs >= EQUAL_RUNS {
            true => self.learned = Some(shown),
            false => self.next = Some(Candidate { shown, runs }),
        }
        true
    }
}

/// Returns the GPUs that these runs found; `None` if none found any. A tool that reports bus
/// addresses is preferred.
pub fn seen(runs: &[Run]) -> Option<Inventory> {
    let seen = |run: &Run| {
        let gpus = run.facts.as_ref()?.gpus()?;
        let pci = gpus.iter().filter_map(|gpu| gpu.pci_bus.clone()).collect();
        Some(Inventory { gpus: u32::try_from(gpus.len()).unwrap_or(u32::MAX), pci })
    };
    let named = |run: &&Run| run.check != Check::Rocminfo;
    runs.iter().filter(named).find_map(seen).or_else(|| runs.iter().find_map(seen))
}

/// How many GPUs a run has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Fewer are a fault.
    pub least: u32,
    /// Fewer than these prove nothing: some may belong to virtual machines.
    pub all: u32,
}

/// Returns how many GPUs count of the expected ones: not those with another driver. `addresses` are
/// those of the expected GPUs, if they are known.
pub fn wanted(expected: Expected, addresses: Option<&[String]>, pci: Option<&[PciGpu]>) -> Wanted {
    let pci = pci.unwrap_or_default();
    let (foreign, own): (Vec<&PciGpu>, Vec<&PciGpu>) = pci.iter().partition(|gpu| gpu.is_foreign());
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let exactly = |gpus| Wanted { least: gpus, all: gpus };
    let all = expected.gpus;
    if foreign.is_empty() {
        return exactly(all);
    }
    if let Some(addresses) = addresses.filter(|addresses| count(addresses.len()) == all) {
        let lent = addresses.iter().filter(|address| is_lent(address, pci)).count();
        return exactly(all.saturating_sub(count(lent)));
    }
    // Displays and integrated GPUs beside accelerators are rarely meant.
    let accelerators = pci.iter().any(|gpu| gpu.accelerator);
    let meant = |gpus: &[&PciGpu]| count(gpus.iter().filter(|gpu| gpu.accelerator == accelerators).count());
    let (lent, own) = (meant(&foreign), meant(&own));
    match expected.source {
        Source::Learned => Wanted { least: all.saturating_sub(count(foreign.len())), all },
        _ if own >= all => exactly(all),
        _ if own + lent == all => exactly(own),
        _ => Wanted { least: own.min(all.saturating_sub(lent)), all },
    }
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
    fn only_five_equal_runs_are_learned() {
        let shown = |addresses: &[&str]| of_run(Check::RocmSmi, &gpus(addresses));
        let mut learning = Learning::default();
        for addresses in [&["a"], &["a"], &["a"], &["a"], &["b"]] {
            assert!(learning.hear(shown(addresses)));
        }
        for run in 1..=EQUAL_RUNS {
            assert_eq!(learning.learned, None, "{run}");
            assert!(learning.hear(shown(&["a"])));
        }
        assert!(!learning.hear(shown(&["a"])));
        assert_eq!(learning.learned, Some(Inventory { gpus: 1, pci: vec!["a".to_string()] }));
    }

    #[test]
    fn a_device_without_an_address_teaches_nothing_except_to_rocminfo() {
        let one = [gpus(&["a"]), vec![Gpu::default()]].concat();
        assert_eq!(of_run(Check::RocmSmi, &one), None);
        assert_eq!(of_run(Check::Rocminfo, &one), Some(Inventory { gpus: 2, pci: Vec::new() }));
    }

    #[test]
    fn gpus_of_virtual_machines_are_taken_off_once() {
        let on_bus = |own: &[&str], lent: &[&str]| -> Vec<PciGpu> {
            let gpu = |driver: &'static str| {
                move |address: &&str| PciGpu {
                    address: address.to_string(),
                    driver: Some(driver.to_string()),
                    ..PciGpu::default()
                }
            };
            own.iter().map(gpu(DRIVER)).chain(lent.iter().map(gpu("vfio-pci"))).collect()
        };
        let of = |gpus, source, addresses: &[&str], pci: &[PciGpu]| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let Wanted { least, all } = wanted(Expected { gpus, source }, Some(&addresses), Some(pci));
            (least, all)
        };
        let (set, learned) = (Source::RunDirectory, Source::Learned);
        assert_eq!(of(2, learned, &["a", "b"], &on_bus(&["a"], &["b"])), (1, 1));
        // Lent for ever: they were never among the learned ones.
        assert_eq!(of(2, learned, &["a", "b"], &on_bus(&["a", "b"], &["c", "d"])), (2, 2));
        assert_eq!(of(2, learned, &[], &on_bus(&["a", "b"], &["c", "d"])), (0, 2));
        assert_eq!(of(2, set, &[], &on_bus(&["a", "b"], &["c", "d"])), (2, 2));
        assert_eq!(of(4, set, &[], &on_bus(&["a", "b"], &["c", "d"])), (2, 2));
        assert_eq!(of(4, set, &[], &on_bus(&["a"], &["c", "d"])), (1, 4), "one is off the bus");
        assert_eq!(of(4, set, &[], &on_bus(&["a", "b", "c", "d"], &["e"])), (4, 4), "four are left");
    }

    #[test]
    fn fewer_gpus_than_were_seen_are_suspected_until_something_is_learned() {
        let mut learning = Learning::default();
        learning.hear(of_run(Check::RocmSmi, &gpus(&["a", "b"])));
        assert_eq!(learning.suspected(), Some(2));
        for _ in 1..EQUAL_RUNS {
            learning.hear(of_run(Check::RocmSmi, &gpus(&["a", "b"])));
        }
        assert_eq!((learning.suspected(), learning.learned.map(|learned| learned.gpus)), (None, Some(2)));
    }

    #[test]
    fn a_run_without_addresses_names_no_missing_gpu() {
        let learned = Inventory { gpus: 2, pci: vec!["a".to_string(), "b".to_string()] };
        assert_eq!(missing(&learned, &gpus(&["a"])), ["b"]);
        assert!(missing(&learned, &[Gpu::default()]).is_empty());
    }
}
