//! Parser of `rocm-smi` without `--json`, ROCm 1.x to 7.x, and of `amd-smi --rocm-smi`: the concise
//! tables of all layouts, `--showhw`, and the blocks of `--showX`. An output begins with the banner
//! and ends with `End of ROCm SMI Log`. Decides nothing.

use super::devices::{Device, physical};
use super::leaf::{CELSIUS, COUNT, PERCENT, WATTS, is_bus_address, quantity, within, word};
use super::output::{Parsed, Reading};
use super::rocm_smi_fields::gpu as gpu_of_fields;
use super::rocm_smi_json::Fields;
use super::text::quote;
use crate::facts::Facts;
use std::collections::BTreeMap;

/// Title at the start of each output.
const BANNER: &str = "ROCm System Management Interface";
const END: &str = "End of ROCm SMI Log";

/// Layout of the next rows.
#[derive(Debug, Clone, PartialEq)]
enum Table {
    None,
    /// Up to 5.7: `GPU  Temp  AvgPwr ...`, one word per cell.
    Gpu {
        columns: Vec<String>,
    },
    /// 6.0 and later: `Device ...`; identity first, then temperature, power, partitions and seven
    /// cells.
    Device {
        junction: bool,
    },
    /// `--showhw`.
    Hardware,
    /// `--showrasinfo`, of one GPU.
    Ras(u32),
    /// `--showpagesinfo`, of one GPU.
    Pages(u32),
}

/// Returns whether an output has this format: banner, title or end is present. People paste outputs
/// without their first line.
pub fn is_it(text: &str) -> bool {
    [BANNER, "= Concise Info =", END].iter().any(|words| text.contains(words))
}

/// Parses a text in this format.
pub fn parse(text: &str) -> Parsed {
    let mut page =
        Page { table: Table::None, devices: BTreeMap::new(), listed: false, excerpt: false, odd: Vec::new() };
    let mut whole = false;
    for line in text.lines() {
        if line.contains(END) {
            (whole, page.table) = (true, Table::None);
        } else {
            page.line(line);
        }
    }
    let Page { devices, listed, excerpt, odd: not_understood, .. } = page;
    let reading = match whole {
        false => Reading::Cut,
        true => {
            let facts = Facts::Gpus(physical(devices.into_values().collect()));
            if excerpt && !listed { Reading::Excerpt(facts) } else { Reading::Whole(facts) }
        }
    };
    Parsed { reading, not_understood }
}

struct Page {
    table: Table,
    devices: BTreeMap<u32, Device>,
    /// Whether a table or block that lists every GPU was found.
    listed: bool,
    /// Whether a block that lists only affected GPUs was found.
    excerpt: bool,
    odd: Vec<String>,
}

impl Page {
    fn device(&mut self, index: u32) -> &mut Device {
        self.devices.entry(index).or_insert_with(|| Device { index, ..Device::default() })
    }

    fn line(&mut self, line: &str) {
        let bare = line.trim();
        if let Some((index, rest)) = block_line(bare) {
            self.block(index, rest);
        } else if bare.starts_with("GPU ") && bare.contains("Temp") {
            let columns = bare.split("  ").map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect();
            (self.table, self.listed) = (Table::Gpu { columns }, true);
        } else if bare.starts_with("GPU ") && bare.contains(" BUS") {
            (self.table, self.listed) = (Table::Hardware, true);
        } else if bare.starts_with("Device") && bare.contains("Temp") {
            (self.table, self.listed) = (Table::Device { junction: false }, true);
        } else if bare.contains("(Junction)") {
            self.table = Table::Device { junction: true };
        } else if bare.contains("RAS Info") || bare.contains("Pages Info") {
            self.excerpt = true;
        } else if self.table != Table::None && bare.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            self.row(bare);
        }
    }

    fn row(&mut self, row: &str) {
        let row = &row.replace("N/A (Secondary die)", "N/A");
        let cells: Vec<&str> = row.split_whitespace().collect();
        match self.table.clone() {
            Table::None => {}
            Table::Ras(index) => self.ras(index, &cells),
            Table::Pages(index) => self.page(index, &cells),
            table => {
                // The second line of a 6.0 row is the name of the GPU; it does not begin with a
                // number.
                let Some(index) = cells.first().and_then(|cell| cell.parse::<u32>().ok()) else { return };
                let read = match table {
                    Table::Gpu { columns } => self.gpu_row(index, &columns, &cells),
                    Table::Device { junction } => self.device_row(index, junction, &cells),
                    _ => self.hardware_row(index, &cells),
                };
                if read.is_none() {
                    self.device(index).gpu.unreadable = true;
                    self.odd.push(format!("row {}", quote(row)));
                }
            }
        }
    }

    fn gpu_row(&mut self, index: u32, columns: &[String], cells: &[&str]) -> Option<()> {
        let cell = |name: &str| columns.iter().position(|column| column.starts_with(name)).map(|at| cells[at]);
        if columns.len() != cells.len() {
            return None;
        }
        let sensors = Sensors {
            temperature: cell("Temp")?,
            power: cell("AvgPwr")?,
            clocks: [cell("SCLK"), cell("MCLK")],
            memory: cell("VRAM%"),
            load: cell("GPU%"),
        };
        self.sensors(index, false, &sensors);
        Some(())
    }

    /// Parses `index node did, guid temp power mem, compute, id sclk mclk fan perf pwrcap vram
    /// gpu`; 6.0 has `[did : rev]` and no id.
    fn device_row(&mut self, index: u32, junction: bool, cells: &[&str]) -> Option<()> {
        let (front, partition) = match (cells.len(), cells.get(1)?.starts_with('[')) {
            (16, false) => (8, cells[8].parse().ok()),
            (15, true) => (7, None),
            _ => return None,
        };
        let tail = &cells[cells.len() - 7..];
        let sensors = Sensors {
            temperature: cells[4],
            power: cells[5],
            clocks: [Some(tail[0]), Some(tail[1])],
            memory: Some(tail[5]),
            load: Some(tail[6]),
        };
        let device = self.device(index);
        device.partition = partition;
        device.mode = word(cells[7].trim_end_matches(',')).map(str::to_string);
        device.gpu.name = word(cells[if front == 8 { 2 } else { 1 }].trim_matches(['[', ','])).map(str::to_string);
        self.sensors(index, junction, &sensors);
        Some(())
    }

    fn hardware_row(&mut self, index: u32, cells: &[&str]) -> Option<()> {
        let bus = cells.iter().find(|cell| is_bus_address(cell))?;
        let device = self.device(index);
        device.gpu.pci_bus = Some(bus.to_ascii_lowercase());
        device.partition = cells.last().and_then(|cell| cell.parse().ok());
        Some(())
    }

    fn sensors(&mut self, index: u32, junction: bool, cells: &Sensors<'_>) {
        let mut odd = Vec::new();
        let mut read = |name: &str, cell: &str, range: &_| within(name, quantity(cell), range, &mut odd);
        let celsius = read("temperature", cells.temperature, &CELSIUS);
        let watts = read("power", cells.power, &WATTS);
        let load = cells.load.and_then(|cell| read("GPU%", cell, &PERCENT)).map(|percent| percent / 100.0);
        let memory = cells.memory.and_then(|cell| read("VRAM%", cell, &PERCENT)).map(|percent| percent / 100.0);
        let gpu = &mut self.device(index).gpu;
        match junction {
            true => gpu.temperature_celsius.junction = celsius,
            false => gpu.temperature_celsius.edge = celsius,
        }
        (gpu.power_watts, gpu.use_ratio, gpu.memory_use_ratio) = (watts, load, memory);
        gpu.asked_for_sensors = true;
        gpu.other_sign_of_life = cells.clocks.iter().flatten().any(|clock| word(clock).is_some());
        self.odd.extend(odd.into_iter().map(|said| format!("GPU {index}: {said}")));
    }

    /// Parses a line `GPU[n] ...: ...`: a key and its value, the heading of a table of one GPU, or
    /// a message.
    fn block(&mut self, index: u32, rest: &str) {
        if rest.ends_with("RAS INFO") {
            self.table = Table::Ras(index);
        } else if rest.ends_with("PAGES INFO") {
            self.table = Table::Pages(index);
        } else if let Some((key, value)) = rest.split_once(": ").or(rest.strip_suffix(':').map(|key| (key, ""))) {
            self.listed = true;
            let fields = Fields::of_pair(key, value.trim());
            let gpu = gpu_of_fields(&format_args!("GPU[{index}]"), &fields, &mut self.odd);
            let device = self.device(index);
            device.partition = None;
            super::devices::add(&mut device.gpu, gpu);
        }
    }

    /// Parses `block status [correctable uncorrectable]`. Releases up to 5.4 swap the names in the
    /// header, not the numbers.
    fn ras(&mut self, index: u32, cells: &[&str]) {
        let [_, status, correctable, uncorrectable] = *cells else { return };
        // The counters of a block that is off hold anything.
        if matches!(status, "DISABLED" | "NONE") || correctable.parse::<f64>().is_err() {
            return;
        }
        let mut odd = Vec::new();
        let mut count = |name: &str, cell: &str| within(name, quantity(cell), &COUNT, &mut odd);
        let counts = (count("correctable errors", correctable), count("uncorrectable errors", uncorrectable));
        let gpu = &mut self.device(index).gpu;
        for (sum, count) in [(&mut gpu.correctable_errors, counts.0), (&mut gpu.uncorrectable_errors, counts.1)] {
            *sum = count.map(|count| sum.unwrap_or(0.0) + count).or(*sum);
        }
        self.odd.extend(odd.into_iter().map(|said| format!("GPU {index}: {said}")));
    }

    /// Parses `address size status`.
    fn page(&mut self, index: u32, cells: &[&str]) {
        let [address, _, status] = *cells else { return };
        if !address.starts_with("0x") {
            return;
        }
        let pages = &mut self.device(index).gpu.bad_pages;
        let count = match status {
            "reserved" => &mut pages.retired,
            "pending" => &mut pages.pending,
            "unreservable" => &mut pages.unreservable,
            _ => {
                self.odd.push(format!("GPU {index}: page {}", quote(status)));
                return;
            }
        };
        *count = Some(count.unwrap_or(0.0) + 1.0);
    }
}

struct Sensors<'a> {
    temperature: &'a str,
    power: &'a str,
    clocks: [Option<&'a str>; 2],
    memory: Option<&'a str>,
    load: Option<&'a str>,
}

/// Splits `GPU[n]`, an optional ` XCP[m]`, blanks, a colon and the rest. Values of a single
/// partition are skipped.
fn block_line(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.strip_prefix("GPU[")?.split_once(']')?;
    let rest = rest.trim_start().strip_prefix(':')?;
    Some((number.parse().ok()?, rest.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Gpu;

    fn read(body: &str) -> (Vec<Gpu>, Vec<String>) {
        let text = format!("=== {BANNER} ===\n{body}\n=== {END} ===\n");
        match parse(&text) {
            Parsed { reading: Reading::Whole(Facts::Gpus(gpus)), not_understood } => (gpus, not_understood),
            other => panic!("{other:?}"),
        }
    }

    const NEW: &str = "Device  Node  IDs  Temp  Power  Partitions  SCLK  MCLK  Fan  Perf  PwrCap  VRAM%  GPU%\n  \
                       (DID, GUID)  (Junction)  (Socket)  (Mem, Compute, ID)\n====\n";

    #[test]
    fn all_layouts_give_temperature_power_and_load() {
        let old = "GPU  Temp (DieEdge)  AvgPwr  SCLK    MCLK     Fan  Perf  PwrCap  VRAM%  GPU%\n\
                   0    39.0c           41.0W   800Mhz  1600Mhz  0%   auto  300.0W    7%   12%";
        let middle = "Device  [Model : Revision]    Temp        Power     Partitions  SCLK  MCLK  Fan  Perf  PwrCap  VRAM%  GPU%\n\
                      Name (20 chars)       (Junction)  (Socket)  (Mem, Compute)\n====\n\
                      0  [0x74a1 : 0x00]  39.0°C  41.0W  NPS1, SPX  131Mhz  900Mhz  0%  auto  750.0W  7%  12%\n\
                      AMD Instinct MI300X";
        let new =
            format!("{NEW}0  2  0x74a1,  28851  39.0C  41.0W  NPS1, SPX, 0  1Mhz  9Mhz  0%  auto  750.0W  7%  12%");
        for (text, junction) in [(old, false), (middle, true), (&new, true)] {
            let (gpus, odd) = read(text);
            let [gpu] = gpus.as_slice() else { panic!("{text}") };
            let there = gpu.temperature_celsius;
            assert_eq!(if junction { there.junction } else { there.edge }, Some(39.0), "{text}");
            assert_eq!((gpu.power_watts, gpu.use_ratio, gpu.memory_use_ratio), (Some(41.0), Some(0.12), Some(0.07)));
            assert!(gpu.responds() && gpu.asked_for_sensors && odd.is_empty(), "{odd:?}");
        }
    }

    #[test]
    fn the_oldest_table_has_no_load() {
        let (gpus, _) = read(
            "GPU  Temp    AvgPwr   SCLK     MCLK     Fan      Perf    SCLK OD    MCLK OD\n\
             0   34c     11.190W  300Mhz   601Mhz   47.84%   auto      0%         0%",
        );
        assert_eq!((gpus[0].power_watts, gpus[0].use_ratio), (Some(11.19), None));
    }

    #[test]
    fn partitions_without_values_belong_to_the_row_above() {
        let (gpus, _) = read(&format!(
            "{NEW}0 2 0x74a1, 1 41.0°C 133.0W NPS4, CPX, 0 1Mhz 9Mhz 0% auto 750.0W 0% 0%\n\
             1 3 N/A, 2 N/A N/A N/A, N/A, 1 N/A N/A 0% n/a N/A 2% N/A\n\
             2 4 0x74a1, 3 N/A N/A NPS4, CPX, 0 None None 0% unknown Unsupported 0% 0%"
        ));
        assert_eq!(
            gpus.iter().map(|gpu| (gpu.partitions, gpu.responds())).collect::<Vec<_>>(),
            [(2, true), (1, false)]
        );
    }

    #[test]
    fn blocks_give_the_same_facts_as_json_and_messages_none() {
        let (gpus, odd) = read(
            "GPU[0]\t\t: get_name, Error when calling libdrm\nGPU[0]\t\t: Device Name: \t\tN/A\n\
             GPU[0]\t\t: Temperature (Sensor junction) (C): 41.0\nGPU[0]\t\t: PCI Bus: 0000:05:00.0\n\
             GPU[0] XCP[1]\t: x: 1\nERROR: GPU[1]   : sclk clock is unsupported\n\t\tPrimary die shows total",
        );
        assert_eq!(gpus[0].temperature_celsius.junction, Some(41.0));
        assert_eq!((gpus.len(), gpus[0].pci_bus.as_deref(), odd.len()), (1, Some("0000:05:00.0"), 0));
    }

    #[test]
    fn errors_and_bad_pages_are_counted_and_name_no_missing_gpu() {
        let ras = "== RAS Info ==\nGPU[3]: \tRAS INFO\n Block Status uncorrectable err correctable err\n  UMC ENABLED 17 2\n GFX ENABLED 1 1\n DF ENABLED\n";
        let pages = "== Pages Info ==\nGPU[5]: \tALL PAGES INFO\n Page address Page size Status\n 0x1a 0x1000 reserved\n 0x1b 0x1000 unreservable\n";
        for (body, wanted) in [(ras, (Some(3.0), None)), (pages, (None, Some(1.0)))] {
            let Reading::Excerpt(Facts::Gpus(gpus)) = parse(&format!("{BANNER}\n{body}{END}")).reading else {
                panic!("{body}")
            };
            assert_eq!((gpus[0].uncorrectable_errors, gpus[0].bad_pages.unreservable), wanted, "{body}");
            assert_eq!(gpus[0].correctable_errors, wanted.0.map(|_| 18.0), "{body}");
        }
    }

    #[test]
    fn a_table_without_its_end_is_cut() {
        assert_eq!(parse(&format!("{BANNER}\n{NEW}")).reading, Reading::Cut);
    }

    #[test]
    fn a_row_in_an_unknown_layout_is_a_gpu_that_cannot_be_read() {
        let (gpus, odd) = read(&format!("{NEW}0 2 0x74a1, 1 41.0°C"));
        assert_eq!((gpus.len(), odd.len()), (1, 1));
        assert!(gpus[0].unreadable);
    }
}
