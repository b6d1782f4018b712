//! Pure: `rocm-smi ... --json`, ROCm 5.3 to 7.x. One document at the very end of the run, one object `card<N>` a device, all values
//! strings. Key names changed with the releases, so each fact has a list of names. Decides nothing.

use super::{Document, Exit, Output, Parsed, Reading, first_document, number, plain, quote, text};
use crate::verdict::{Facts, Gpu, Temperatures};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Asks for the facts and nothing heavier: `-a`, `--showmemuse` (one bad GPU takes the data of all away), `--showtopo` and
/// `--showpids` are avoided on purpose.
pub const ARGUMENTS: [&str; 12] = [
    "--showid",
    "--showuniqueid",
    "--showserial",
    "--showbus",
    "--showtemp",
    "--showpower",
    "--showuse",
    "--showmeminfo",
    "vram",
    "--showproductname",
    "--showdriverversion",
    "--json",
];

// Outside of these a value is a sensor's nonsense and is dropped.
const CELSIUS: RangeInclusive<f64> = -20.0..=150.0;
const WATTS: RangeInclusive<f64> = 0.0..=2000.0;
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
const BYTES: RangeInclusive<f64> = 0.0..=1e15;

/// Reads one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    match first_document(&stdout) {
        Document::Whole { value: Value::Object(document), rest } => cards(&document, rest),
        Document::Whole { .. } => Reading::Foreign(quote(&stdout)).into(),
        Document::Cut => Reading::Cut.into(),
        Document::Absent => without_document(&stdout, &stderr, output.exit).into(),
    }
}

fn without_document(stdout: &str, stderr: &str, exit: Exit) -> Reading {
    if let Some(line) = line_with(stderr, "Driver not initialized").or(line_with(stdout, "Driver not initialized")) {
        Reading::DriverNotLoaded(quote(line))
    } else if stderr.contains("No JSON data to report") {
        Reading::Foreign("the tool had nothing to report in JSON".to_string())
    } else if exit != Exit::Status(0) || stdout.trim().is_empty() {
        Reading::Nothing
    } else {
        Reading::Foreign(quote(stdout))
    }
}

fn line_with<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(words))
}

fn cards(document: &Map<String, Value>, rest: usize) -> Parsed {
    let mut not_understood = Vec::new();
    if rest > 0 {
        not_understood.push(format!("{rest} bytes after the document"));
    }
    let mut rows = Vec::new();
    for (key, value) in document {
        match (key.strip_prefix("card").and_then(|number| number.parse::<u32>().ok()), value) {
            (Some(card), Value::Object(fields)) => rows.push((card, Row::new(key, fields, &mut not_understood))),
            _ if key == "system" => {}
            _ => not_understood.push(format!("key {}", quote(key))),
        }
    }
    if rows.is_empty() && !document.contains_key("system") {
        return Parsed { reading: Reading::Foreign("a JSON object without cards".to_string()), not_understood };
    }
    rows.sort_by_key(|(card, _)| *card);
    Parsed { reading: Reading::Whole(Facts::Gpus(physical(rows))), not_understood }
}

/// One device of the document: a GPU, a die, or a partition of a GPU.
struct Row(Gpu);

impl Row {
    fn new(card: &str, fields: &Map<String, Value>, odd: &mut Vec<String>) -> Row {
        let fields: BTreeMap<String, &Value> = fields.iter().map(|(key, value)| (normalised(key), value)).collect();
        let word = |names: &[&str]| names.iter().find_map(|name| fields.get(*name).and_then(|value| text(value)));
        let mut measure = |names: &[&str], range: RangeInclusive<f64>| {
            let (name, value) = names.iter().find_map(|name| Some((name, fields.get(*name)?)))?;
            match number(value) {
                Ok(Some(number)) if range.contains(&number) => Some(number),
                Ok(Some(number)) => {
                    odd.push(format!("{card}: {name} is {number}"));
                    None
                }
                Ok(None) => None,
                Err(other) => {
                    odd.push(format!("{card}: {name} is {}", quote(&other)));
                    None
                }
            }
        };
        let total = measure(&["vram total memory (b)"], BYTES).filter(|total| *total > 0.0);
        let used = measure(&["vram total used memory (b)"], BYTES);
        Row(Gpu {
            pci_bus: word(&["pci bus"]).map(|bus| bus.to_ascii_lowercase()),
            unique_id: word(&["unique id"]).map(|id| id.to_ascii_lowercase()),
            serial: word(&["serial number"]),
            name: word(&["card series", "device name", "card model", "device id", "gpu id"]),
            temperature_celsius: Temperatures {
                edge: measure(&["temperature (sensor edge) (c)"], CELSIUS),
                junction: measure(&["temperature (sensor junction) (c)"], CELSIUS),
                memory: measure(&["temperature (sensor memory) (c)"], CELSIUS),
            },
            power_watts: measure(
                &["current socket graphics package power (w)", "average graphics package power (w)"],
                WATTS,
            ),
            use_ratio: measure(&["gpu use (%)"], PERCENT).map(ratio),
            memory_use_ratio: measure(&["gpu memory allocated (vram%)"], PERCENT).map(ratio),
            memory_used_bytes: used.filter(|used| total.is_some_and(|total| *used <= total)),
            memory_total_bytes: total,
            partitions: 1,
        })
    }
}

fn ratio(percent: f64) -> f64 {
    percent / 100.0
}

/// Lower case, single blanks, no colon at the end.
fn normalised(key: &str) -> String {
    let words: Vec<&str> = key.trim_end_matches(':').split_whitespace().collect();
    words.join(" ").to_ascii_lowercase()
}

/// Devices to physical GPUs in bus order. Partitions differ in the function digit alone; releases before 6.4.1 repeat the parent's
/// values on each, later ones give them on the first only: of each fact the first one that is there counts.
fn physical(rows: Vec<(u32, Row)>) -> Vec<Gpu> {
    let mut gpus: BTreeMap<String, Gpu> = BTreeMap::new();
    for (card, Row(row)) in rows {
        let place = match &row.pci_bus {
            Some(bus) => bus.rsplit_once('.').map_or(bus.as_str(), |(device, _)| device).to_string(),
            // After every bus address, in the tool's own order.
            None => format!("~{card:08}"),
        };
        match gpus.get_mut(&place) {
            Some(gpu) => merge(gpu, row),
            None => {
                gpus.insert(place, row);
            }
        }
    }
    gpus.into_values().collect()
}

fn merge(gpu: &mut Gpu, partition: Gpu) {
    gpu.partitions += 1;
    gpu.unique_id = gpu.unique_id.take().or(partition.unique_id);
    gpu.serial = gpu.serial.take().or(partition.serial);
    gpu.name = gpu.name.take().or(partition.name);
    let here = &mut gpu.temperature_celsius;
    here.edge = here.edge.or(partition.temperature_celsius.edge);
    here.junction = here.junction.or(partition.temperature_celsius.junction);
    here.memory = here.memory.or(partition.temperature_celsius.memory);
    gpu.power_watts = gpu.power_watts.or(partition.power_watts);
    gpu.use_ratio = gpu.use_ratio.or(partition.use_ratio);
    gpu.memory_use_ratio = gpu.memory_use_ratio.or(partition.memory_use_ratio);
    gpu.memory_used_bytes = gpu.memory_used_bytes.or(partition.memory_used_bytes);
    gpu.memory_total_bytes = gpu.memory_total_bytes.or(partition.memory_total_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stdout: &str, stderr: &str) -> Parsed {
        parse(Output { stdout: stdout.as_bytes(), stderr: stderr.as_bytes(), exit: Exit::Status(0) })
    }

    fn gpus(stdout: &str) -> (Vec<Gpu>, Vec<String>) {
        match read(stdout, "") {
            Parsed { reading: Reading::Whole(Facts::Gpus(gpus)), not_understood } => (gpus, not_understood),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn eight_gpus_come_in_bus_order_with_base_units() {
        let (gpus, odd) = gpus(include_str!("../../testdata/rocm-smi/healthy.json"));
        assert_eq!(gpus.len(), 8);
        assert!(odd.is_empty(), "{odd:?}");
        let first = &gpus[0];
        assert_eq!(first.pci_bus.as_deref(), Some("0000:05:00.0"));
        assert_eq!(first.temperature_celsius.junction, Some(41.0));
        assert_eq!(first.power_watts, Some(133.0));
        assert_eq!(first.memory_total_bytes, Some(206_141_652_992.0));
        assert_eq!(first.use_ratio, Some(0.0));
        assert_eq!(gpus[5].pci_bus.as_deref(), Some("0000:a6:00.0"));
    }

    #[test]
    fn a_dead_gpu_has_no_temperature_rather_than_zero() {
        let (gpus, _) = gpus(include_str!("../../testdata/rocm-smi/gpu-not-responding.json"));
        let dead: Vec<_> = gpus.iter().filter(|gpu| !gpu.responds()).collect();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].pci_bus.as_deref(), Some("0000:65:00.0"));
    }

    #[test]
    fn sixty_four_partitions_are_eight_gpus() {
        let (gpus, _) = gpus(include_str!("../../testdata/rocm-smi/partitioned.json"));
        assert_eq!(gpus.len(), 8);
        assert!(gpus.iter().all(|gpu| gpu.partitions == 8 && gpu.responds()));
    }

    #[test]
    fn one_odd_field_costs_one_fact() {
        let (gpus, odd) = gpus(
            r#"{"card0": {"PCI Bus": "0000:05:00.0", "Temperature (Sensor junction) (C)": "4l.0",
                "GPU use (%)": "101", "Average Graphics Package Power (W)": "88.0"}}"#,
        );
        assert_eq!(gpus[0].power_watts, Some(88.0));
        assert_eq!((gpus[0].temperature_celsius.junction, gpus[0].use_ratio), (None, None));
        assert_eq!(odd.len(), 2, "{odd:?}");
    }

    #[test]
    fn a_gpu_without_a_bus_address_is_still_counted() {
        assert_eq!(gpus(r#"{"card0": {}, "card1": {}, "system": {"PID1": "x"}}"#).0.len(), 2);
    }

    #[test]
    fn every_prefix_of_a_whole_document_is_cut_or_nothing() {
        let whole = include_str!("../../testdata/rocm-smi/healthy.json").trim_end();
        for end in (0..whole.len()).step_by(97) {
            let reading = read(&whole[..end], "").reading;
            assert!(matches!(reading, Reading::Cut | Reading::Nothing), "{end}: {reading:?}");
        }
    }

    #[test]
    fn a_document_of_something_else_is_foreign() {
        assert!(matches!(read("{\"a\": 1}", "").reading, Reading::Foreign(_)));
        assert!(matches!(read("hello", "").reading, Reading::Foreign(_)));
    }
}
