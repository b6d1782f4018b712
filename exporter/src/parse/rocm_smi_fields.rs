//! Facts of one `rocm-smi` device, from its keys, which all output formats share. Decides nothing.

use std::fmt;
use std::ops::RangeInclusive;

use super::devices::bus_address;
use super::leaf::{BYTES, CELSIUS, PERCENT, WATTS, quantity, within, word};
use super::rocm_smi_json::Fields;
use crate::facts::{Gpu, Temperatures};

/// Returns the facts of one device.
pub fn gpu(card: &dyn fmt::Display, fields: &Fields<'_>, odd: &mut Vec<String>) -> Gpu {
    let word = |names: &[&str]| names.iter().find_map(|name| word(fields.get(name)?)).map(str::to_string);
    let bus = word(&["pci bus"]).and_then(|bus| bus_address(&bus, odd));
    let mut asked = false;
    let mut measure = |names: &[&str], range: &RangeInclusive<f64>, sensor: bool| {
        let (name, value) = names.iter().find_map(|name| Some((name, fields.get(name)?)))?;
        asked |= sensor;
        let mut said = Vec::new();
        let measured = within(name, quantity(value), range, &mut said);
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
