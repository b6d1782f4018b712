//! Facts of one `amd-smi` device, from its keys, which both output formats share. Decides nothing.

use serde_json::Value;
use std::ops::RangeInclusive;

use super::amd_smi_health::health;
use super::amd_smi_keys::Fields;
use super::devices::{Device, bus_address};
use super::leaf::{BYTES, CELSIUS, COUNT, PERCENT, WATTS, count, text};
use super::text::quote;
use crate::facts::{BadPages, Gpu, Limits, Temperatures, Throttled};

/// Returns the facts of one device. Names changed between releases, so each fact has a list of
/// names.
pub fn device(index: u32, fields: &Fields<'_>, odd: &mut Vec<String>) -> Device {
    let word = |paths: &[&str]| paths.iter().find_map(|path| Some(text(fields.get(path)?)?.into_owned()));
    let bus = word(&["bdf", "bus.bdf"]).and_then(|bus| bus_address(&bus, odd));
    let mut measure = |paths: &[&str], range: &RangeInclusive<f64>| fields.measure(index, paths, range, odd);
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
    let mut limit = |paths: &[&str]| measure(paths, &CELSIUS).filter(|limit| *limit > 0.0);
    let slowdown = Temperatures {
        edge: None,
        junction: limit(&["limit.slowdown_hotspot_temperature", "limit.slowdown_junction_temperature"]),
        memory: limit(&["limit.slowdown_vram_temperature", "limit.slowdown_mem_temperature"]),
    };
    let shutdown = Temperatures {
        edge: None,
        junction: limit(&["limit.shutdown_hotspot_temperature", "limit.shutdown_junction_temperature"]),
        memory: limit(&["limit.shutdown_vram_temperature", "limit.shutdown_mem_temperature"]),
    };
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
            limits_celsius: Limits { slowdown, shutdown },
            uncorrectable_errors: fields.get("ecc.total_uncorrectable_count").and_then(count),
            correctable_errors: fields.get("ecc.total_correctable_count").and_then(count),
            throttled: throttled(index, fields, odd),
            bad_pages: bad_pages(fields),
            health: health(index, fields, odd),
            asked_for_sensors: fields.has("power") || fields.has("temperature"),
            ..Gpu::default()
        },
    }
}

/// Returns the current state of each limit. `power.throttle_status` is not read: it names no cause,
/// and idle Radeons set it.
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
        // The tool prints a list of one element without its brackets.
        Value::Object(_) => Some(1.0),
        Value::String(said) if said.starts_with("No bad pages") => Some(0.0),
        _ => None,
    };
    let exceeded = fields.get("ras.bad_page_threshold_exceeded").and_then(text);
    BadPages {
        retired: count("retired"),
        pending: count("pending"),
        unreservable: count("un_res"),
        threshold_exceeded: exceeded.map(|said| said.eq_ignore_ascii_case("true")),
    }
}

/// Returns the ID under which the other tools know the GPU. The library builds its UUID from it:
/// the first byte, `ff` for the physical function and the device, the version, then the other seven
/// bytes.
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
