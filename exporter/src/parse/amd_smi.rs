//! Parser of `amd-smi --json`, 23.4 to 27.x: any of its JSON documents, also several in a row,
//! merged by the number of the GPU. The array of old releases, the object with `gpu_data` of new
//! ones and a bare object are equivalent here. Text: [`super::amd_smi_text`]. Decides nothing.

use super::amd_smi_fields::device;
use super::amd_smi_keys::Fields;
use super::devices::{Device, add, physical};
use super::documents::{Wanted, documents};
use super::leaf::{is_bus_address, text};
use super::output::{Output, Parsed, Reading};
use super::text::{line_with, never_asked, plain, quote, traceback};
use super::{amd_smi_text, rocm_smi_text};
use crate::facts::Facts;
use crate::health::Errors;
use serde_json::Value;
use std::collections::BTreeMap;

/// The calls of a run where the tool judges the GPUs: identity and limits, state, bad pages. The
/// flags of single sections of `static` changed between releases; all together work in each.
pub const CALLS: [&[&str]; 3] = [
    &["static", "--json"],
    &["metric", "--power", "--temperature", "--usage", "--mem-usage", "--ecc", "--json"],
    &["bad-pages", "--json"],
];

/// The first two of them are needed.
pub const NEEDED: usize = 2;

/// The further calls for wear and links. Each may be refused: the links need 6.4.
pub const DETAILS: [&[&str]; 3] =
    [&["metric", "--json"], &["xgmi", "--link-status", "--json"], &["firmware", "--json"]];

/// The calls beside another tool. Only the first is needed: it has the errors of the memory.
pub const BESIDE: [&[&str]; 5] = [
    &["metric", "--json"],
    &["bad-pages", "--json"],
    &["static", "--json"],
    &["xgmi", "--link-status", "--json"],
    &["firmware", "--json"],
];

/// Parses one run: the output of one call, or of several in sequence.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    if rocm_smi_text::is_it(&stdout) {
        return rocm_smi_text::parse(&stdout);
    }
    let found = documents(&stdout, Wanted::All);
    let mut not_understood = Vec::new();
    let mut entries: Vec<&Value> = Vec::new();
    for document in &found.whole {
        match list(document) {
            Some(list) => entries.extend(list),
            // One call was refused; the others may have answered.
            None if document.get("error").is_some() => {}
            None => not_understood.push(format!("document {}", quote(&document.to_string()))),
        }
    }
    let devices = devices(entries, &mut not_understood);
    if found.cut {
        return Reading::Cut.into();
    }
    if devices.is_empty() {
        let text = if found.whole.is_empty() { amd_smi_text::parse(&stdout) } else { None };
        return text.unwrap_or_else(|| without_devices(&stdout, &stderr, &found.whole).into());
    }
    Parsed { reading: Reading::Whole(Facts::Gpus(physical(devices))), not_understood }
}

fn without_devices(stdout: &str, stderr: &str, whole: &[Value]) -> Reading {
    let both = [stderr, stdout];
    let line = |words: &str| both.iter().find_map(|text| line_with(text, words)).map(quote);
    if let Some(said) = line("driver not initialized") {
        return Reading::DriverNotLoaded(said);
    }
    // The driver is loaded and has no GPU.
    if line("Unable to detect any GPU devices").is_some() {
        return Reading::Whole(Facts::Gpus(Vec::new()));
    }
    for words in ["missing the following required groups", "Permission denied", "PermissionError", "ermission"] {
        if let Some(said) = line(words) {
            return Reading::Denied(said);
        }
    }
    if let Some(said) = both.iter().find_map(|text| never_asked(text)) {
        return Reading::NeverAsked(said);
    }
    if let Some(error) = whole.iter().find_map(|document| document.get("error")) {
        return Reading::Foreign(quote(&text(error).unwrap_or_default()));
    }
    if let Some(said) = line("AmdSmiLibraryException") {
        return Reading::ToolFailed(said);
    }
    if let Some(said) = line("amdsmi_cli_exceptions") {
        return Reading::Foreign(said);
    }
    if let Some(said) = traceback(stdout).or_else(|| traceback(stderr)) {
        return Reading::ToolFailed(said);
    }
    if stdout.trim().is_empty() {
        return Reading::Nothing;
    }
    Reading::Foreign(quote(stdout))
}

/// Returns the devices of a document, at any of their positions.
fn list(document: &Value) -> Option<Vec<&Value>> {
    let numbered = |value: &Value| value.get("gpu").is_some();
    match document {
        Value::Array(all) if all.iter().any(numbered) => Some(all.iter().filter(|value| numbered(value)).collect()),
        Value::Object(fields) => match fields.get("gpu_data").or(fields.get("link_status")) {
            Some(Value::Array(all)) if all.iter().any(numbered) => {
                Some(all.iter().filter(|value| numbered(value)).collect())
            }
            _ if numbered(document) => Some(vec![document]),
            _ => None,
        },
        _ => None,
    }
}

fn devices(entries: Vec<&Value>, odd: &mut Vec<String>) -> Vec<Device> {
    let mut devices: BTreeMap<u32, Device> = BTreeMap::new();
    // Without /dev/dri the library prints uninitialised memory; if one address is invalid, all are.
    let address =
        |entry: &&Value| text(entry.get("bdf").or_else(|| entry.pointer("/bus/bdf"))?).map(|bus| bus.into_owned());
    let rubbish = entries.iter().filter_map(address).any(|bus| !is_bus_address(&bus) || bus == "0000:00:00.0");
    for entry in entries {
        let Some(index) = entry.get("gpu").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok()) else {
            odd.push(format!("gpu {}", quote(&entry["gpu"].to_string())));
            continue;
        };
        let mut new = device(index, &Fields::Json(entry), odd);
        new.gpu.pci_bus = new.gpu.pci_bus.filter(|_| !rubbish);
        match devices.get_mut(&index) {
            Some(device) => {
                device.partition = device.partition.or(new.partition);
                add(&mut device.gpu, new.gpu);
            }
            None => {
                devices.insert(index, new);
            }
        }
    }
    devices.into_values().map(with_totals).collect()
}

/// Adds the totals that the tool does not report: the sums over the blocks that count. Which of
/// them count has to be known for errors that fail a node.
fn with_totals(mut device: Device) -> Device {
    let gpu = &mut device.gpu;
    let sum = |kind: fn(Errors) -> Option<f64>| {
        gpu.health.counted_blocks().filter_map(|(_, errors)| kind(errors)).reduce(|one, two| one + two)
    };
    let (correctable, deferred) = (sum(|errors| errors.correctable), sum(|errors| errors.deferred));
    let uncorrectable = sum(|errors| errors.uncorrectable).filter(|_| gpu.health.blocks_off.is_some());
    gpu.correctable_errors = gpu.correctable_errors.or(correctable);
    gpu.uncorrectable_errors = gpu.uncorrectable_errors.or(uncorrectable);
    gpu.health.deferred_errors = gpu.health.deferred_errors.or(deferred);
    device
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;
    use crate::facts::{BadPages, Gpu, Throttled};

    fn read(stdout: &str, stderr: &str) -> Parsed {
        parse(Output { stdout: stdout.as_bytes(), stderr: stderr.as_bytes(), exit: Exit::Status(0) })
    }

    fn gpus(stdout: &str) -> Vec<Gpu> {
        match read(stdout, "").reading {
            Reading::Whole(Facts::Gpus(gpus)) => gpus,
            other => panic!("{other:?}"),
        }
    }

    const METRIC: &str = r#"{"gpu": 0, "power": {"socket_power": {"value": 140, "unit": "W"}}, "usage": {"gfx_activity": {"value": 50, "unit": "%"}},
        "temperature": {"edge": "N/A", "hotspot": {"value": 44, "unit": "C"}, "mem": {"value": 36, "unit": "C"}},
        "mem_usage": {"total_vram": {"value": 200, "unit": "MB"}, "used_vram": {"value": 50, "unit": "MB"}},
        "ecc": {"total_correctable_count": 7, "total_uncorrectable_count": 2, "cache_uncorrectable_count": -2}}"#;

    #[test]
    fn array_wrapper_and_bare_object_are_the_same() {
        for form in [METRIC.to_string(), format!("[{METRIC}]"), format!("{{\"gpu_data\": [{METRIC}]}}")] {
            let gpus = gpus(&format!("Failed to open file: /sys/class/drm//device/max_link_width \n{form}\n"));
            let gpu = &gpus[0];
            assert_eq!((gpu.temperature_celsius.junction, gpu.power_watts), (Some(44.0), Some(140.0)));
            assert_eq!((gpu.use_ratio, gpu.memory_total_bytes), (Some(0.5), Some(200.0 * 1_048_576.0)));
            assert_eq!(gpu.memory_use_ratio, Some(0.25));
            assert_eq!((gpu.uncorrectable_errors, gpu.correctable_errors), (Some(2.0), Some(7.0)));
        }
    }

    #[test]
    fn errors_without_a_total_are_summed_over_the_blocks() {
        let gpu = &gpus(
            r#"[{"gpu": 0, "ecc": {"total_correctable_count": "N/A"}, "ecc_blocks": {
                "UMC": {"correctable_count": 2, "uncorrectable_count": 1, "deferred_count": 4},
                "GFX": {"correctable_count": 1, "uncorrectable_count": "N/A"}}}]"#,
        )[0];
        assert_eq!((gpu.correctable_errors, gpu.health.deferred_errors), (Some(3.0), Some(4.0)));
        // Whether these blocks count is not known.
        assert_eq!(gpu.uncorrectable_errors, None);
        let gpu = &gpus(
            r#"[{"gpu": 0, "ras": {"ecc_block_state": {"UMC": "ENABLED", "HDP": "DISABLED"}}},
                {"gpu": 0, "ecc_blocks": {"UMC": {"uncorrectable_count": 1}, "HDP": {"uncorrectable_count": 9}}}]"#,
        )[0];
        assert_eq!(gpu.uncorrectable_errors, Some(1.0));
    }

    #[test]
    fn a_limit_is_active_or_inactive_or_unknown() {
        let Parsed { reading: Reading::Whole(Facts::Gpus(gpus)), not_understood } = read(
            r#"{"gpu_data": [{"gpu": 0, "power": {"throttle_status": "THROTTLED"}, "throttle": {
                "ppt_accumulated": 5, "ppt_violation_status": "ACTIVE", "socket_thermal_violation_status": "NOT ACTIVE",
                "hbm_thermal_violation_status": "N/A", "vr_thermal_violation_status": "FALSE", "prochot_violation_status": "MAYBE"}}]}"#,
            "",
        ) else {
            panic!()
        };
        let wanted = Throttled {
            power: Some(true),
            socket_thermal: Some(false),
            vr_thermal: Some(false),
            ..Throttled::default()
        };
        assert_eq!(
            (gpus[0].throttled, not_understood.as_slice()),
            (wanted, &["gpu 0: prochot violation is MAYBE".to_string()][..])
        );
    }

    #[test]
    fn documents_in_a_row_are_merged_by_number() {
        let list =
            r#"[{"gpu": 0, "bdf": "0000:05:00.0", "uuid": "8dff74a1-0000-1000-8014-57e2c20f59d2", "partition_id": 0}]"#;
        let pages =
            r#"[{"gpu": 0, "retired": "No bad pages found.", "pending": "N/A", "un_res": [{"page_address": 1}]}]"#;
        let gpus = gpus(&format!("{list}\n[{METRIC}]\n{pages}"));
        let [gpu] = gpus.as_slice() else { panic!("{gpus:?}") };
        assert_eq!((gpu.pci_bus.as_deref(), gpu.power_watts, gpu.partitions), (Some("0000:05:00.0"), Some(140.0), 1));
        assert_eq!(gpu.unique_id.as_deref(), Some("0x8d1457e2c20f59d2"));
        assert_eq!(gpu.bad_pages, BadPages { retired: Some(0.0), unreservable: Some(1.0), ..BadPages::default() });
    }

    #[test]
    fn uninitialised_addresses_are_dropped_and_reported() {
        let Parsed { reading: Reading::Whole(Facts::Gpus(gpus)), not_understood } = read(
            r#"[{"gpu": 0, "bdf": "64695f757067:2f:07.1"}, {"gpu": 1, "bdf": "0000:00:00.0"}, {"gpu": 2, "bdf": "0000:00:00.0"}]"#,
            "",
        ) else {
            panic!()
        };
        assert_eq!((gpus.len(), not_understood.len()), (3, 1));
        assert!(gpus.iter().all(|gpu| gpu.pci_bus.is_none() && gpu.partitions == 1));
    }

    #[test]
    fn a_section_that_is_na_counts_as_requested() {
        let gpu = &gpus(r#"[{"gpu": 3, "usage": "N/A", "power": "N/A", "temperature": {"hotspot": "N/A"}}]"#)[0];
        assert!(gpu.asked_for_sensors && !gpu.responds());
    }

    #[test]
    fn errors_are_classified() {
        let stderr = |said: &str| read("AMDSMI Tool: 26.1.0 | ROCm version: N/A\n", said).reading;
        assert!(matches!(
            stderr("ERROR:root:Unable to get devices, driver not initialized"),
            Reading::DriverNotLoaded(_)
        ));
        assert_eq!(
            stderr("ERROR:root:Unable to detect any GPU devices, check"),
            Reading::Whole(Facts::Gpus(Vec::new()))
        );
        assert!(matches!(stderr("amdsmi_cli_exceptions.AmdSmiInvalidParameterException: x"), Reading::Foreign(_)));
        assert!(matches!(read("", "").reading, Reading::Nothing));
        assert!(matches!(read(r#"{"error": "Can not find a device", "code": -3}"#, "").reading, Reading::Foreign(_)));
        assert_eq!(read(&METRIC[..80], "").reading, Reading::Cut);
    }
}
