//! Pure: `rocm-smi`, ROCm 4.x to 7.x. With `--json` one document at the very end of the run, one object `card<N>` a device, all values
//! strings. Key names changed with the releases, so each fact has a list of names. Tables and text blocks: [`super::rocm_smi_text`].
//! Decides nothing.

use super::devices::{Device, bus_address, physical};
use super::documents::{Wanted, documents};
use super::leaf::{BYTES, CELSIUS, PERCENT, WATTS, number, text, within};
use super::{Exit, Output, Parsed, Reading, line_with, plain, quote, rocm_smi_text, traceback};
use crate::verdict::{Facts, Gpu, Temperatures};
use serde_json::{Map, Value};
use std::borrow::Cow;
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

/// Reads one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    if rocm_smi_text::is_it(&stdout) {
        let parsed = rocm_smi_text::parse(&stdout);
        return match (&parsed.reading, traceback(&stderr)) {
            (Reading::Cut, Some(said)) => Reading::ToolFailed(said).into(),
            _ => parsed,
        };
    }
    let found = documents(&stdout, Wanted::First);
    match found.whole.first() {
        Some(Value::Object(document)) => cards(document, found.rest),
        Some(_) => Reading::Foreign(quote(&stdout)).into(),
        None if found.cut => Reading::Cut.into(),
        None => without_document(&stdout, &stderr, output.exit).into(),
    }
}

fn without_document(stdout: &str, stderr: &str, exit: Exit) -> Reading {
    if let Some(line) = line_with(stderr, "Driver not initialized").or(line_with(stdout, "Driver not initialized")) {
        Reading::DriverNotLoaded(quote(line))
    } else if stderr.contains("No JSON data to report") {
        Reading::Foreign("the tool had nothing to report in JSON".to_string())
    } else if let Some(said) = line_with(stdout, "rsmi_init() failed") {
        Reading::ToolFailed(quote(said))
    } else if let Some(said) = traceback(stdout) {
        Reading::ToolFailed(said)
    } else if exit != Exit::Status(0) || stdout.trim().is_empty() {
        Reading::Nothing
    } else {
        Reading::Foreign(quote(stdout))
    }
}

fn cards(document: &Map<String, Value>, rest: usize) -> Parsed {
    let mut not_understood = Vec::new();
    if rest > 0 {
        not_understood.push(format!("{rest} bytes after the document"));
    }
    let mut devices = Vec::new();
    for (key, value) in document {
        match (key.strip_prefix("card").and_then(|number| number.parse::<u32>().ok()), value) {
            (Some(index), Value::Object(fields)) => {
                let gpu = gpu(key, &Fields::of_object(fields), &mut not_understood);
                devices.push(Device { index, gpu, ..Device::default() });
            }
            _ if key == "system" => {}
            _ => not_understood.push(format!("key {}", quote(key))),
        }
    }
    if devices.is_empty() && !document.contains_key("system") {
        return Parsed { reading: Reading::Foreign("a JSON object without cards".to_string()), not_understood };
    }
    // A sensor that cannot be read has no key at all: what one card has was asked of all.
    let asked = devices.iter().any(|device| device.gpu.asked_for_sensors);
    devices.iter_mut().for_each(|device| device.gpu.asked_for_sensors = asked);
    Parsed { reading: Reading::Whole(Facts::Gpus(physical(devices))), not_understood }
}

/// The keys of one device that mean something to us, in the order of [`KEYS`].
#[derive(Debug, Default)]
pub struct Fields<'a>([Option<Cow<'a, Value>>; KEYS.len()]);

/// Keys in their normalised form: lower case, single blanks, no colon at the end.
const KEYS: [&str; 17] = [
    "pci bus",
    "unique id",
    "serial number",
    "card series",
    "device name",
    "card model",
    "device id",
    "gpu id",
    "temperature (sensor edge) (c)",
    "temperature (sensor junction) (c)",
    "temperature (sensor memory) (c)",
    "current socket graphics package power (w)",
    "average graphics package power (w)",
    "gpu use (%)",
    "gpu memory allocated (vram%)",
    "vram total memory (b)",
    "vram total used memory (b)",
];

impl<'a> Fields<'a> {
    fn of_object(object: &'a Map<String, Value>) -> Fields<'a> {
        let mut fields = Fields::default();
        for (key, value) in object {
            fields.set(key, Cow::Borrowed(value));
        }
        fields
    }

    /// One key of a text block.
    pub fn of_pair(key: &str, value: &str) -> Fields<'static> {
        let mut fields = Fields::default();
        fields.set(key, Cow::Owned(Value::from(value)));
        fields
    }

    fn set(&mut self, key: &str, value: Cow<'a, Value>) {
        if let Some(at) = KEYS.iter().position(|known| is_key(key, known)) {
            self.0[at].get_or_insert(value);
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        KEYS.iter().position(|known| *known == name).and_then(|at| self.0[at].as_deref())
    }
}

/// Whether a key as printed is this one in its normalised form.
fn is_key(printed: &str, known: &str) -> bool {
    let mut known = known.bytes();
    let mut blank = false;
    for byte in printed.trim().trim_end_matches(':').trim_end().bytes() {
        if byte.is_ascii_whitespace() {
            blank = true;
            continue;
        }
        if blank && known.next() != Some(b' ') {
            return false;
        }
        blank = false;
        if known.next() != Some(byte.to_ascii_lowercase()) {
            return false;
        }
    }
    known.next().is_none()
}

/// The facts of one device.
pub fn gpu(card: &str, fields: &Fields<'_>, odd: &mut Vec<String>) -> Gpu {
    let word = |names: &[&str]| names.iter().find_map(|name| Some(text(fields.get(name)?)?.into_owned()));
    let bus = word(&["pci bus"]).and_then(|bus| bus_address(&bus, odd));
    let mut asked = false;
    let mut measure = |names: &[&str], range: &RangeInclusive<f64>, sensor: bool| {
        let (name, value) = names.iter().find_map(|name| Some((name, fields.get(name)?)))?;
        asked |= sensor;
        let mut said = Vec::new();
        let measured = within(name, number(value), range, &mut said);
        odd.extend(said.into_iter().map(|said| format!("{card}: {said}")));
        measured
    };
    let temperature_celsius = Temperatures {
        edge: measure(&["temperature (sensor edge) (c)"], &CELSIUS, true),
        junction: measure(&["temperature (sensor junction) (c)"], &CELSIUS, true),
        memory: measure(&["temperature (sensor memory) (c)"], &CELSIUS, true),
    };
    let power = ["current socket graphics package power (w)", "average graphics package power (w)"];
    let power_watts = measure(&power, &WATTS, true);
    let ratio = |percent: f64| percent / 100.0;
    let use_ratio = measure(&["gpu use (%)"], &PERCENT, false).map(ratio);
    let memory_use_ratio = measure(&["gpu memory allocated (vram%)"], &PERCENT, false).map(ratio);
    let memory_total_bytes = measure(&["vram total memory (b)"], &BYTES, false);
    let memory_used_bytes = measure(&["vram total used memory (b)"], &BYTES, false);
    Gpu {
        pci_bus: bus,
        unique_id: word(&["unique id"]).map(|id| id.to_ascii_lowercase()),
        serial: word(&["serial number"]),
        name: word(&["card series", "device name", "card model", "device id", "gpu id"]),
        temperature_celsius,
        power_watts,
        use_ratio,
        memory_use_ratio,
        memory_used_bytes,
        memory_total_bytes,
        asked_for_sensors: asked,
        ..Gpu::default()
    }
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
    fn a_key_is_known_in_any_case_and_spacing() {
        assert!(is_key(" GPU  use (%):", "gpu use (%)"));
        assert!(!is_key("GPU use", "gpu use (%)") && !is_key("GPU use (%) x", "gpu use (%)"));
    }

    #[test]
    fn sensors_that_one_card_has_were_asked_of_all_and_without_any_their_absence_means_nothing() {
        let dead = r#"{"card0": {"Temperature (Sensor edge) (C)": "40.0"}, "card1": {"GPU use (%)": "0"}}"#;
        assert!(gpus(dead).0.iter().all(|gpu| gpu.asked_for_sensors));
        assert!(!gpus(r#"{"card0": {"PCI Bus": "0000:05:00.0"}}"#).0[0].asked_for_sensors);
    }

    #[test]
    fn a_document_of_something_else_is_foreign() {
        assert!(matches!(read("{\"a\": 1}", "").reading, Reading::Foreign(_)));
        assert!(matches!(read("hello", "").reading, Reading::Foreign(_)));
    }
}
