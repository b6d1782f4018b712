//! Parser of `rocm-smi --json`, ROCm 4.x to 7.x: one document at the very end of the run, one
//! object `card<N>` per device, all values strings. Key names changed between releases, so each
//! fact has a list of names. Tables and text blocks: [`super::rocm_smi_text`]. Decides nothing.

use super::devices::{Device, physical};
use super::documents::{Wanted, documents_of};
use super::output::{Output, Parsed, Reading};
use super::rocm_smi_fields::gpu;
use super::rocm_smi_json::{Cards, Document, Fields};
use super::rocm_smi_text;
use super::text::{line_with, never_asked, plain, quote, traceback};
use crate::ending::Exit;
use crate::facts::{Facts, Gpu};

/// Requests the facts and nothing heavier. Avoided on purpose: `-a`, `--showmemuse` (one bad GPU
/// hides the data of all), `--showtopo` and `--showpids`.
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

/// Parses one run.
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
    let found = documents_of::<Document<'_>>(&stdout, Wanted::First);
    match found.whole.first() {
        Some(Document::Cards(cards)) => read(cards, found.rest),
        Some(Document::Other) => Reading::Foreign(quote(&stdout)).into(),
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
    } else if let Some(said) = never_asked(stderr).or_else(|| never_asked(stdout)) {
        Reading::NeverAsked(said)
    } else if let Some(said) = traceback(stdout) {
        Reading::ToolFailed(said)
    } else if exit != Exit::Status(0) || stdout.trim().is_empty() {
        Reading::Nothing
    } else {
        Reading::Foreign(quote(stdout))
    }
}

fn read(cards: &Cards<'_>, rest: usize) -> Parsed {
    let mut not_understood = cards.odd.clone();
    if rest > 0 {
        not_understood.push(format!("{rest} bytes after the document"));
    }
    if cards.cards.is_empty() && !cards.system {
        return Parsed { reading: Reading::Foreign("a JSON object without cards".to_string()), not_understood };
    }
    let device = |(index, fields): &(u32, Option<Fields<'_>>)| {
        let gpu = match fields {
            Some(fields) => gpu(&format_args!("card{index}"), fields, &mut not_understood),
            None => Gpu { unreadable: true, ..Gpu::default() },
        };
        Device { index: *index, gpu, ..Device::default() }
    };
    let mut devices: Vec<Device> = cards.cards.iter().map(device).collect();
    // A sensor that cannot be read has no key at all: a key of one card was requested of all.
    let asked = devices.iter().any(|device| device.gpu.asked_for_sensors);
    devices.iter_mut().for_each(|device| device.gpu.asked_for_sensors = asked);
    Parsed { reading: Reading::Whole(Facts::Gpus(physical(devices))), not_understood }
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
    fn sensors_of_one_card_were_requested_of_all_cards() {
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
