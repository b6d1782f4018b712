//! Facts about the wear of a GPU and about its links, which only `amd-smi` reports: errors of its
//! memory and of its other blocks, PCIe, XGMI, clocks, energy, versions. No parsing, no judging, no
//! I/O.

use std::collections::{BTreeMap, BTreeSet};

/// Wear and links of one GPU. A value that the tool did not report is `None` or absent, never zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Health {
    /// Errors since boot by block, such as `UMC`, the memory.
    pub blocks: BTreeMap<String, Errors>,
    /// Blocks whose error counting is off: their numbers mean nothing. `None`: not reported.
    pub blocks_off: Option<BTreeSet<String>>,
    /// Whether the output has fields for the errors, even without a value.
    pub errors_asked: bool,
    /// Errors since boot that corrupted data which nothing has used yet, all blocks together.
    pub deferred_errors: Option<f64>,
    pub pcie: Pcie,
    pub xgmi: Option<Xgmi>,
    pub clocks: Clocks,
    /// Since the driver was loaded.
    pub energy_joules: Option<f64>,
    /// Versions by component: `driver`, `vbios`, and each firmware by the tool's name for it.
    pub versions: BTreeMap<String, String>,
}

/// Error counts of one block since boot.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Errors {
    pub correctable: Option<f64>,
    pub uncorrectable: Option<f64>,
    pub deferred: Option<f64>,
}

impl Errors {
    /// Returns each count with its kind, a closed list of label values.
    pub fn kinds(self) -> [(&'static str, Option<f64>); 3] {
        [("correctable", self.correctable), ("uncorrectable", self.uncorrectable), ("deferred", self.deferred)]
    }

    fn any(self) -> bool {
        self.kinds().into_iter().any(|(_, count)| count.is_some_and(|count| count > 0.0))
    }
}

/// The link between the GPU and its host.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pcie {
    /// Lanes in use.
    pub width: Option<f64>,
    /// Lanes of the GPU.
    pub max_width: Option<f64>,
    /// Transfers per second on each lane. Radeons lower it while they idle.
    pub speed: Option<f64>,
    pub max_speed: Option<f64>,
    /// Packets sent again since boot.
    pub replays: Option<f64>,
}

/// Number of links to other GPUs, by state. Some are down or disabled on healthy GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Xgmi {
    pub up: f64,
    pub down: f64,
    pub disabled: f64,
}

/// Current clocks, in hertz.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Clocks {
    /// The slowest of the graphics clocks.
    pub graphics: Option<f64>,
    pub memory: Option<f64>,
}

impl Health {
    /// Adds the facts of `more` that `self` lacks.
    pub fn add(&mut self, more: Health) {
        for (block, errors) in more.blocks {
            self.blocks.entry(block).or_insert(errors);
        }
        self.blocks_off = self.blocks_off.take().or(more.blocks_off);
        self.errors_asked |= more.errors_asked;
        self.deferred_errors = self.deferred_errors.or(more.deferred_errors);
        let (here, there) = (&mut self.pcie, more.pcie);
        here.width = here.width.or(there.width);
        here.max_width = here.max_width.or(there.max_width);
        here.speed = here.speed.or(there.speed);
        here.max_speed = here.max_speed.or(there.max_speed);
        here.replays = here.replays.or(there.replays);
        self.xgmi = self.xgmi.or(more.xgmi);
        self.clocks.graphics = self.clocks.graphics.or(more.clocks.graphics);
        self.clocks.memory = self.clocks.memory.or(more.clocks.memory);
        self.energy_joules = self.energy_joules.or(more.energy_joules);
        for (component, version) in more.versions {
            self.versions.entry(component).or_insert(version);
        }
    }

    /// Returns the counts to show: those of the memory, and those of other blocks with errors. All
    /// of them would be fifty series for each GPU.
    pub fn shown_blocks(&self) -> impl Iterator<Item = (&str, Errors)> {
        self.counted_blocks().filter(|(block, errors)| *block == MEMORY || errors.any())
    }

    /// Returns the blocks that count their errors.
    pub fn counted_blocks(&self) -> impl Iterator<Item = (&str, Errors)> {
        let blocks = self.blocks.iter().map(|(block, errors)| (block.as_str(), *errors));
        blocks.filter(|(block, _)| self.blocks_off.as_ref().is_none_or(|off| !off.contains(*block)))
    }
}

/// The block that controls the memory.
const MEMORY: &str = "UMC";

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(uncorrectable: f64) -> Errors {
        Errors { uncorrectable: Some(uncorrectable), ..Errors::default() }
    }

    #[test]
    fn the_memory_and_blocks_with_errors_are_shown_unless_they_are_off() {
        let blocks = [("UMC", 0.0), ("GFX", 0.0), ("SDMA", 1.0), ("XGMI_WAFL", 7.0)];
        let health = Health {
            blocks: blocks.map(|(block, count)| (block.to_string(), errors(count))).into(),
            blocks_off: Some(["XGMI_WAFL".to_string()].into()),
            ..Health::default()
        };
        let shown: Vec<&str> = health.shown_blocks().map(|(block, _)| block).collect();
        assert_eq!(shown, ["SDMA", "UMC"]);
    }

    #[test]
    fn the_first_value_of_a_fact_counts() {
        let mut first = Health { energy_joules: Some(1.0), ..Health::default() };
        first.blocks.insert("UMC".to_string(), errors(1.0));
        let mut more = Health { energy_joules: Some(2.0), deferred_errors: Some(3.0), ..Health::default() };
        more.blocks.insert("UMC".to_string(), errors(2.0));
        first.add(more);
        assert_eq!((first.energy_joules, first.deferred_errors), (Some(1.0), Some(3.0)));
        assert_eq!(first.blocks["UMC"], errors(1.0));
    }
}
