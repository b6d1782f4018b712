//! Pure: `amd-smi`, 23.4 to 27.x: any of its JSON documents, several of them in a row too, put together by the number of the GPU. The
//! array of old releases, the object with `gpu_data` of new ones and a bare object are the same here. Text: [`super::amd_smi_text`].
//! Decides nothing.

use super::devices::{Device, add, bus_address, physical};
use super::documents::{Wanted, documents};
use super::leaf::{BYTES, CELSIUS, COUNT, PERCENT, WATTS, is_bus_address, is_sentinel, number, text, within};
use super::{Output, Parsed, Reading, amd_smi_text, line_with, plain, quote, rocm_smi_text, traceback};
use crate::verdict::{BadPages, Facts, Gpu, Temperatures, Throttled};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// One run is three calls, of which each knows a part: who the GPUs are, how they are, and which pages they lost. The last may be refused.
pub const CALLS: [&[&str]; 3] = [
    &["static", "--asic", "--bus", "--board", "--limit", "--json"],
    &["metric", "--power", "--temperature", "--usage", "--mem-usage", "--ecc", "--json"],
    &["bad-pages", "--json"],
];

/// One call more where somebody wants to know about throttling. Its flag is `--throttle` up to 25 and `--violation` later, and a wrong
/// one is refused: all metrics together have it in every release, at the price of whatever else they ask the device.
pub const ALL_METRICS: &[&str] = &["metric", "--json"];

/// Reads one run: the output of one call, or of several behind one another.
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
    // The driver is there and has no GPU.
    if line("Unable to detect any GPU devices").is_some() {
        return Reading::Whole(Facts::Gpus(Vec::new()));
    }
    for words in ["missing the following required groups", "Permission denied", "PermissionError", "ermission"] {
        if let Some(said) = line(words) {
            return Reading::Denied(said);
        }
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

/// The devices of a document, wherever they stand in it.
fn list(document: &Value) -> Option<Vec<&Value>> {
    let numbered = |value: &Value| value.get("gpu").is_some();
    match document {
        Value::Array(all) if all.iter().any(numbered) => Some(all.iter().filter(|value| numbered(value)).collect()),
        Value::Object(fields) => match fields.get("gpu_data") {
            Some(Value::Array(all)) => Some(all.iter().filter(|value| numbered(value)).collect()),
            _ if numbered(document) => Some(vec![document]),
            _ => None,
        },
        _ => None,
    }
}

fn devices(entries: Vec<&Value>, odd: &mut Vec<String>) -> Vec<Device> {
    let mut devices: BTreeMap<u32, Device> = BTreeMap::new();
    // Without /dev/dri the library prints uninitialised memory; where one address is rubbish the others are too.
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
    devices.into_values().collect()
}

/// What the tool says of one device, in either form.
pub enum Fields<'a> {
    Json(&'a Value),
    /// `section.key` in lower case.
    Text(&'a BTreeMap<String, Value>),
}

impl Fields<'_> {
    fn get(&self, path: &str) -> Option<&Value> {
        match self {
            Fields::Json(value) => path.split('.').try_fold(*value, |value, key| value.get(key)),
            Fields::Text(fields) => fields.get(path),
        }
    }

    /// Whether a section is there, be it "N/A" as a whole.
    fn has(&self, section: &str) -> bool {
        match self {
            Fields::Json(value) => value.get(section).is_some(),
            Fields::Text(fields) => {
                fields.contains_key(section) || fields.keys().any(|key| key.split('.').next() == Some(section))
            }
        }
    }
}

/// The facts of one device. Names changed with the releases, so each fact has a list of names.
pub fn device(index: u32, fields: &Fields<'_>, odd: &mut Vec<String>) -> Device {
    let first = |paths: &[&str]| paths.iter().find_map(|path| fields.get(path));
    let word = |paths: &[&str]| paths.iter().find_map(|path| Some(text(fields.get(path)?)?.into_owned()));
    let bus = word(&["bdf", "bus.bdf"]).and_then(|bus| bus_address(&bus, odd));
    let mut measure = |paths: &[&str], range: &RangeInclusive<f64>| {
        let value = first(paths)?;
        let mut said = Vec::new();
        let measured = within(paths[0], number(value), range, &mut said);
        odd.extend(said.into_iter().map(|said| format!("gpu {index}: {said}")));
        measured
    };
    let ratio = |percent: f64| percent / 100.0;
    let temperature_celsius = Temperatures {
        edge: measure(&["temperature.edge", "temperature.edge_temperature"], &CELSIUS),
        junction: measure(
            &["temperature.hotspot", "temperature.hotspot_temperature", "temperature.junction"],
            &CELSIUS,
        ),
        memory: measure(
            &["temperature.mem", "temperature.vram", "temperature.vram_temperature", "temperature.mem_temperature"],
            &CELSIUS,
        ),
    };
    let power =
        ["power.socket_power", "power.current_socket_power", "power.average_socket_power", "power.current_power"];
    let power_watts = measure(&power, &WATTS);
    let use_ratio = measure(&["usage.gfx_activity", "usage.gfx_usage"], &PERCENT).map(ratio);
    let memory_total_bytes = measure(&["mem_usage.total_vram", "vram.size", "vram.vram_total"], &BYTES);
    let memory_used_bytes = measure(&["mem_usage.used_vram", "vram.vram_used"], &BYTES);
    let critical = ["limit.slowdown_hotspot_temperature", "limit.slowdown_junction_temperature"];
    let critical_junction_celsius = measure(&critical, &CELSIUS).filter(|limit| *limit > 0.0);
    let partition = measure(&["partition_id", "partition.partition_id"], &COUNT).map(|number| number as u32);
    Device {
        index,
        partition,
        mode: None,
        gpu: Gpu {
            pci_bus: bus,
            unique_id: unique_id(word(&["uuid"]).as_deref(), word(&["asic.asic_serial"]).as_deref()),
            serial: word(&["board.product_serial"]).filter(|serial| serial != "0"),
            name: word(&["asic.market_name", "board.product_name", "asic.device_id"]),
            temperature_celsius,
            power_watts,
            use_ratio,
            memory_total_bytes,
            memory_used_bytes,
            critical_junction_celsius,
            uncorrectable_errors: errors(fields, "uncorrectable"),
            correctable_errors: errors(fields, "correctable"),
            throttled: throttled(index, fields, odd),
            bad_pages: bad_pages(fields),
            asked_for_sensors: fields.has("power") || fields.has("temperature"),
            ..Gpu::default()
        },
    }
}

/// Counts of errors. Negative ones are differences of unreadable totals, and the largest number of a width means that there is none.
fn errors(fields: &Fields<'_>, kind: &str) -> Option<f64> {
    let count =
        |value: &Value| number(value).ok().flatten().filter(|count| COUNT.contains(count) && !is_sentinel(*count));
    if let Some(total) = fields.get(&format!("ecc.total_{kind}_count")).and_then(count) {
        return Some(total);
    }
    let blocks = fields.get("ecc_blocks").and_then(Value::as_object)?;
    let key = format!("{kind}_count");
    let counts = blocks.values().filter_map(|block| count(block.get(&key)?));
    counts.reduce(|one, two| one + two)
}

/// The state of each limit at this moment. `power.throttle_status` names no cause, and Radeons set it when they are idle: it is not read.
fn throttled(index: u32, fields: &Fields<'_>, odd: &mut Vec<String>) -> Throttled {
    let mut active = |limit: &str| {
        let said = text(fields.get(&format!("throttle.{limit}_violation_status"))?)?;
        match said.to_ascii_uppercase().as_str() {
            "ACTIVE" | "TRUE" => Some(true),
            "NOT ACTIVE" | "FALSE" => Some(false),
            _ => {
                odd.push(format!("gpu {index}: {limit} violation is {}", quote(&said)));
                None
            }
        }
    };
    Throttled {
        power: active("ppt"),
        socket_thermal: active("socket_thermal"),
        memory_thermal: active("hbm_thermal"),
        vr_thermal: active("vr_thermal"),
        prochot: active("prochot"),
    }
}

fn bad_pages(fields: &Fields<'_>) -> BadPages {
    let count = |path: &str| match fields.get(path)? {
        Value::Array(pages) => Some(pages.len() as f64),
        Value::String(said) if said.starts_with("No bad pages") => Some(0.0),
        _ => None,
    };
    let exceeded = fields.get("ras.bad_page_threshold_exceeded").and_then(text);
    BadPages {
        retired: count("retired"),
        pending: count("pending"),
        unreservable: count("un_res"),
        threshold_exceeded: exceeded.is_some_and(|said| said.eq_ignore_ascii_case("true")),
    }
}

/// The id under which the other tools know the GPU. The library makes its UUID out of it: byte, `ff` for the physical function and the
/// device, version, then the other seven bytes.
fn unique_id(uuid: Option<&str>, serial: Option<&str>) -> Option<String> {
    let hex = |digits: &str| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(digits) = serial.and_then(|serial| serial.strip_prefix("0x")).filter(|digits| hex(digits)) {
        return Some(format!("0x{}", digits.to_ascii_lowercase()));
    }
    let uuid = uuid?.to_ascii_lowercase();
    let parts: Vec<&str> = uuid.split('-').collect();
    let [front, _, _, middle, back] = parts.as_slice() else { return None };
    let whole = front.is_ascii() && middle.is_ascii() && front.len() == 8 && middle.len() == 4 && &front[2..4] == "ff";
    let digits = whole.then(|| format!("{}{}{back}", &front[..2], &middle[2..]))?;
    hex(&digits).then(|| format!("0x{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Exit;

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
    fn errors_without_a_total_are_those_of_the_blocks() {
        let gpu = &gpus(
            r#"[{"gpu": 0, "ecc": {"total_correctable_count": "N/A"}, "ecc_blocks": {
                "UMC": {"correctable_count": 2, "uncorrectable_count": 0}, "GFX": {"correctable_count": 1, "uncorrectable_count": "N/A"}}}]"#,
        )[0];
        assert_eq!((gpu.correctable_errors, gpu.uncorrectable_errors), (Some(3.0), Some(0.0)));
    }

    #[test]
    fn a_limit_is_active_or_not_or_nothing_is_said_of_it() {
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
    fn documents_in_a_row_are_put_together_by_number() {
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
    fn uninitialised_addresses_are_none_and_said() {
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
    fn a_section_that_is_na_as_a_whole_was_asked_for() {
        let gpu = &gpus(r#"[{"gpu": 3, "usage": "N/A", "power": "N/A", "temperature": {"hotspot": "N/A"}}]"#)[0];
        assert!(gpu.asked_for_sensors && !gpu.responds());
    }

    #[test]
    fn complaints_are_sorted() {
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
