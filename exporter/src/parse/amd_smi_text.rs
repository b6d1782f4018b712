//! Parser of `amd-smi` without `--json`: indented keys (`metric`, `list`, `static`, `bad-pages`),
//! the table of `monitor`, and the box that 7.x prints without arguments. None of them marks its
//! end, which is why the check requests JSON. Decides nothing.

use super::amd_smi_fields::device;
use super::amd_smi_keys::Fields;
use super::devices::{Device, bus_address, physical};
use super::leaf::{BYTES, CELSIUS, COUNT, PERCENT, WATTS, quantity, within, word};
use super::output::{Parsed, Reading};
use super::text::quote;
use crate::facts::{Facts, Gpu};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Parses a text in any of the formats; `None` if it is in none.
pub fn parse(text: &str) -> Option<Parsed> {
    let mut not_understood = Vec::new();
    let devices = if text.contains("| AMD-SMI ") {
        if !text.trim_end().ends_with('+') {
            return Some(Reading::Cut.into());
        }
        boxed(text, &mut not_understood)
    } else if let Some(header) =
        text.lines().find(|line| line.trim_start().starts_with("GPU ") && line.contains("POWER"))
    {
        monitor(text, header, &mut not_understood)
    } else {
        keys(text, &mut not_understood)
    };
    let reading = Reading::Whole(Facts::Gpus(physical(devices)));
    (reading != Reading::Whole(Facts::Gpus(Vec::new()))).then_some(Parsed { reading, not_understood })
}

/// Sections with facts; other sections are skipped, at any depth.
const SECTIONS: [&str; 16] = [
    "usage",
    "power",
    "temperature",
    "ecc",
    "mem_usage",
    "limit",
    "asic",
    "bus",
    "board",
    "ras",
    "vram",
    "throttle",
    "pcie",
    "energy",
    "driver",
    "vbios",
];

/// Sections that list pages.
const PAGES: [&str; 3] = ["retired", "pending", "un_res"];

/// Parses `GPU: 0`, followed by keys indented by four, and sections with keys indented by eight.
fn keys(text: &str, odd: &mut Vec<String>) -> Vec<Device> {
    let mut devices: BTreeMap<u32, BTreeMap<String, Value>> = BTreeMap::new();
    let (mut current, mut section) = (None, String::new());
    for line in text.lines() {
        let bare = line.trim();
        let indent = line.len() - line.trim_start().len();
        if indent == 0 {
            if let Some(index) = device_title(bare) {
                (current, section) = (Some(index), String::new());
                devices.entry(index).or_default();
            } else if !bare.is_empty() && current.is_some() {
                odd.push(format!("line {}", quote(bare)));
            }
            continue;
        }
        let (Some(index), Some((key, value))) = (current, bare.split_once(':')) else { continue };
        let Some(fields) = devices.get_mut(&index) else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        if indent <= 4 {
            section.clone_from(&key);
            if !value.is_empty() {
                fields.entry(key).or_insert_with(|| Value::from(value));
            }
        } else if PAGES.contains(&section.as_str()) {
            // Each page begins with its address.
            if key == "page_address"
                && let Value::Array(pages) = fields.entry(section.clone()).or_insert_with(|| Value::Array(Vec::new()))
            {
                pages.push(Value::from(value));
            }
        } else if indent <= 8 && SECTIONS.contains(&section.as_str()) {
            fields.entry(format!("{section}.{key}")).or_insert_with(|| Value::from(value));
        }
    }
    devices.iter().map(|(index, fields)| device(*index, &Fields::Text(fields), odd)).collect()
}

/// Parses `GPU: 0`, or `GPU 0:` on an SR-IOV host.
fn device_title(line: &str) -> Option<u32> {
    let rest = line.strip_prefix("GPU")?;
    rest.trim_start_matches(':').trim_end_matches(':').trim().parse().ok()
}

/// One GPU of a table, cell by cell.
struct Cells<'a> {
    index: u32,
    gpu: Gpu,
    odd: &'a mut Vec<String>,
}

impl Cells<'_> {
    fn measure(&mut self, name: &str, cell: &str, range: &RangeInclusive<f64>) -> Option<f64> {
        let mut said = Vec::new();
        let measured = within(name, quantity(cell), range, &mut said);
        self.odd.extend(said.into_iter().map(|said| format!("gpu {}: {said}", self.index)));
        measured
    }

    fn set(&mut self, column: &str, cell: &str) {
        let ratio = |percent: f64| percent / 100.0;
        match column {
            "POWER" => {
                self.gpu.power_watts = self.measure(column, cell, &WATTS);
                self.gpu.asked_for_sensors = true;
            }
            "GPU_TEMP" | "GPU_T" | "HOTSPOT_TEMP" => {
                self.gpu.temperature_celsius.junction = self.measure(column, cell, &CELSIUS);
                self.gpu.asked_for_sensors = true;
            }
            "MEM_TEMP" | "MEM_T" => self.gpu.temperature_celsius.memory = self.measure(column, cell, &CELSIUS),
            "GFX_UTIL" | "GFX%" => self.gpu.use_ratio = self.measure(column, cell, &PERCENT).map(ratio),
            "VRAM_USED" => self.gpu.memory_used_bytes = self.measure(column, cell, &BYTES),
            "VRAM_TOTAL" => self.gpu.memory_total_bytes = self.measure(column, cell, &BYTES),
            "VRAM%" => self.gpu.memory_use_ratio = self.measure(column, cell, &PERCENT).map(ratio),
            "VRAM_USAGE" | "Mem-Usage" => {
                let Some((used, total)) = cell.split_once('/') else { return };
                let unit = total.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
                self.gpu.memory_used_bytes = self.measure(column, &format!("{used} {unit}"), &BYTES);
                self.gpu.memory_total_bytes = self.measure(column, total, &BYTES);
            }
            "UNCORRECTABLE_ECC" | "DOUBLE_ECC" | "UEC" => {
                self.gpu.uncorrectable_errors = self.measure(column, cell, &COUNT)
            }
            "CORRECTABLE_ECC" | "SINGLE_ECC" => self.gpu.correctable_errors = self.measure(column, cell, &COUNT),
            _ => {}
        }
    }
}

fn monitor(text: &str, header: &str, odd: &mut Vec<String>) -> Vec<Device> {
    let columns: Vec<&str> = header.split_whitespace().collect();
    let rows = text.lines().filter_map(|line| Some((line, line.split_whitespace().next()?.parse::<u32>().ok()?)));
    let mut devices = Vec::new();
    let mut whole: Option<Gpu> = None;
    for (line, index) in rows {
        let cells = cells(line);
        if cells.len() != columns.len() {
            odd.push(format!("row {}", quote(line)));
            let gpu = Gpu { unreadable: true, ..Gpu::default() };
            devices.push(Device { index, gpu, ..Device::default() });
            continue;
        }
        let mut row = Cells { index, gpu: Gpu::default(), odd };
        let mut partition = None;
        for (column, cell) in columns.iter().zip(&cells) {
            match *column {
                "XCP" => partition = cell.parse().ok(),
                column => row.set(column, cell),
            }
        }
        let gpu = row.gpu;
        match whole.as_ref().filter(|_| partition.is_none()) {
            Some(before) if is_a_part(&gpu, before) => partition = Some(1),
            _ => whole = Some(gpu.clone()),
        }
        devices.push(Device { index, partition, mode: None, gpu });
    }
    devices
}

/// Returns whether a row is a partition. 25.x does not number them: a partition after the first has
/// no sensors and a share of the memory. A dead GPU has all of its memory.
fn is_a_part(gpu: &Gpu, before: &Gpu) -> bool {
    let share = gpu.memory_total_bytes.zip(before.memory_total_bytes);
    !gpu.responds() && before.responds() && share.is_some_and(|(part, whole)| part <= whole / 2.0)
}

/// Splits a line into cells: a unit belongs to the number before it, and `0.5/ 48.0 GB` is one
/// cell.
fn cells(line: &str) -> Vec<String> {
    const UNITS: [&str; 11] = ["W", "°C", "C", "%", "MHz", "MB", "GB", "KB", "B", "Mb/s", "mJ"];
    let mut cells: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        match cells.last_mut() {
            Some(last) if UNITS.contains(&word) && last.ends_with(|c: char| c.is_ascii_digit()) => {
                last.push(' ');
                last.push_str(word);
            }
            Some(last) if last.ends_with('/') => last.push_str(word),
            _ => cells.push(word.to_string()),
        }
    }
    cells
}

/// Parses two lines per GPU between `|`: address, name, memory load, temperature, errors, power;
/// index, partition mode, load, fan, memory.
fn boxed(text: &str, odd: &mut Vec<String>) -> Vec<Device> {
    let body = text.split("|=").nth(1).unwrap_or_default();
    let mut devices = Vec::new();
    let mut first: Option<(&str, &str)> = None;
    for line in body.lines().skip(1) {
        let inner = line.trim().trim_matches('|');
        let Some((left, right)) = inner.split_once('|').filter(|_| line.starts_with("| ")) else {
            first = None;
            continue;
        };
        let (left, right) = (left.trim(), right.trim());
        let Some((identity, readings)) = first.take() else {
            first = Some((left, right));
            continue;
        };
        let Some(index) = left.split_whitespace().next().and_then(|index| index.parse().ok()) else {
            odd.push(format!("row {}", quote(left)));
            continue;
        };
        let (bus, name) = identity.split_once(' ').unwrap_or((identity, ""));
        let bus = word(bus).and_then(|bus| bus_address(bus, odd));
        let mut row = Cells { index, gpu: Gpu::default(), odd };
        (row.gpu.pci_bus, row.gpu.name) = (bus, word(name).map(str::to_string));
        if let [_, celsius, errors, watts, ..] = cells(readings).as_slice() {
            row.set("HOTSPOT_TEMP", celsius);
            row.set("UEC", errors);
            row.set("POWER", watts.split('/').next().unwrap_or_default());
        }
        if let [load, _, memory, ..] = cells(right).as_slice() {
            row.set("GFX%", load);
            row.set("Mem-Usage", memory);
        }
        let gpu = row.gpu;
        devices.push(Device { index, gpu, ..Device::default() });
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(text: &str) -> Vec<Gpu> {
        match parse(text) {
            Some(Parsed { reading: Reading::Whole(Facts::Gpus(gpus)), .. }) => gpus,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_by_indentation_give_the_same_facts_as_json() {
        let gpus = gpus(
            "GPU: 0\n    BDF: 0000:05:00.0\n    USAGE:\n        GFX_ACTIVITY: 50 %\n    POWER:\n        SOCKET_POWER: 140 W\n\
             \x20   TEMPERATURE:\n        EDGE: N/A\n        HOTSPOT: 44 °C\n    MEM_USAGE:\n        TOTAL_VRAM: 200 MB\n        USED_VRAM: 50 MB\n\
             \x20   ECC:\n        TOTAL_CORRECTABLE_COUNT: 4\n    THROTTLE:\n        PPT_ACCUMULATED: 0\n        PPT_VIOLATION_STATUS: NOT ACTIVE\n\
             \x20       GFX_CLK_BELOW_HOST_LIMIT_POWER_VIOLATION_STATUS:\n            XCP_0: [ACTIVE, N/A]\n\
             \x20   RETIRED: No bad pages found.\n\nGPU: 1\n    POWER: N/A\n",
        );
        assert_eq!((gpus[0].temperature_celsius.junction, gpus[0].power_watts), (Some(44.0), Some(140.0)));
        assert_eq!((gpus[0].use_ratio, gpus[0].memory_use_ratio), (Some(0.5), Some(0.25)));
        assert_eq!((gpus[0].pci_bus.as_deref(), gpus[0].bad_pages.retired), (Some("0000:05:00.0"), Some(0.0)));
        assert_eq!((gpus[0].correctable_errors, gpus[0].throttled.power), (Some(4.0), Some(false)));
        assert!(gpus[1].asked_for_sensors && !gpus[1].responds());
    }

    #[test]
    fn monitor_rows_follow_the_header_and_partitions_are_no_gpus() {
        let gpus = gpus(
            "GPU  XCP  POWER   GPU_T   MEM_T   GFX%      VRAM_USAGE\n  0    0  183 W   49 °C   48 °C    5 %    0.5/ 48.0 GB\n\
             \x20 1    1    N/A     N/A     N/A    N/A    0.5/ 48.0 GB\n  2    0    N/A     N/A     N/A    N/A    0.5/ 48.0 GB\n",
        );
        assert_eq!(
            gpus.iter().map(|gpu| (gpu.partitions, gpu.responds())).collect::<Vec<_>>(),
            [(2, true), (1, false)]
        );
        assert_eq!((gpus[0].use_ratio, gpus[0].memory_total_bytes), (Some(0.05), Some(48.0 * 1_073_741_824.0)));
    }

    #[test]
    fn partitions_without_a_number_are_found_by_their_memory() {
        let gpus = gpus(
            "GPU  POWER   GPU_T      VRAM_USAGE\n  0  202 W   46 °C    0.3/192.0 GB\n  1    N/A     N/A    0.5/ 24.0 GB\n\
             \x20 2    N/A     N/A    0.3/192.0 GB\n",
        );
        assert_eq!(
            gpus.iter().map(|gpu| (gpu.partitions, gpu.responds())).collect::<Vec<_>>(),
            [(2, true), (1, false)]
        );
    }

    const BOX: &str = "+---+\n| AMD-SMI 26.0.0+eaa54ecc      amdgpu version: 6.12.12  ROCm version: 7.0.0    |\n|=====+====|\n\
        | 0000:0c:00.0    AMD Instinct MI300X | 13 %     60 °C   2           734/750 W |\n\
        |   0       0       2        SPX/NPS1 | 98 %       N/A          4976/196592 MB |\n|----+---|\n\
        | N/A                             N/A | N/A        N/A   0           N/A/750 W |\n\
        |   1       1     N/A        SPX/NPS1 | N/A        N/A           283/196592 MB |\n+----+---+\n";

    #[test]
    fn the_box_has_two_lines_per_gpu() {
        let gpus = gpus(BOX);
        assert_eq!((gpus[0].temperature_celsius.junction, gpus[0].power_watts), (Some(60.0), Some(734.0)));
        assert_eq!((gpus[0].use_ratio, gpus[0].uncorrectable_errors), (Some(0.98), Some(2.0)));
        assert_eq!(
            (gpus[0].name.as_deref(), gpus[0].memory_used_bytes),
            (Some("AMD Instinct MI300X"), Some(4976.0 * 1_048_576.0))
        );
        assert!(gpus[1].asked_for_sensors && !gpus[1].responds());
        assert_eq!(parse(&BOX[..BOX.len() - 4]).unwrap().reading, Reading::Cut);
    }

    #[test]
    fn a_text_without_gpus_has_none_of_these_formats() {
        assert!(parse("hello\nworld\n").is_none());
    }
}
