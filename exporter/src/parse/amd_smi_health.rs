//! Wear and links of one `amd-smi` device, from its keys, which both output formats share. Decides
//! nothing.

use serde_json::Value;

use super::amd_smi_keys::Fields;
use super::leaf::{HERTZ, JOULES, LANES, TRANSFERS, count, number, text};
use crate::health::{Clocks, Errors, Health, Pcie, Xgmi};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Returns what one device reports.
pub fn health(index: u32, fields: &Fields<'_>, odd: &mut Vec<String>) -> Health {
    let mut measure = |path: &str, range: &RangeInclusive<f64>| fields.measure(index, &[path], range, odd);
    // A link that is not read has no lanes and no speed.
    let pcie = Pcie {
        width: measure("pcie.width", &LANES).filter(|lanes| *lanes > 0.0),
        max_width: measure("bus.max_pcie_width", &LANES).filter(|lanes| *lanes > 0.0),
        speed: measure("pcie.speed", &TRANSFERS).filter(|speed| *speed > 0.0),
        max_speed: measure("bus.max_pcie_speed", &TRANSFERS).filter(|speed| *speed > 0.0),
        replays: fields.get("pcie.replay_count").and_then(count),
    };
    Health {
        blocks: blocks(fields),
        blocks_off: blocks_off(fields),
        errors_asked: fields.has("ecc") || fields.has("ecc_blocks"),
        deferred_errors: fields.get("ecc.total_deferred_count").and_then(count),
        pcie,
        xgmi: fields.get("link_status").and_then(xgmi),
        clocks: Clocks { graphics: slowest(fields, "gfx_"), memory: slowest(fields, "mem_") },
        // Devices that do not count their energy print zero.
        energy_joules: measure("energy.total_energy_consumption", &JOULES).filter(|joules| *joules > 0.0),
        versions: versions(fields),
    }
}

fn blocks(fields: &Fields<'_>) -> BTreeMap<String, Errors> {
    let blocks = fields.get("ecc_blocks").and_then(Value::as_object);
    let errors = |block: &Value| {
        let of = |kind: &str| block.get(format!("{kind}_count")).and_then(count);
        Errors { correctable: of("correctable"), uncorrectable: of("uncorrectable"), deferred: of("deferred") }
    };
    blocks.into_iter().flatten().map(|(block, counts)| (block.clone(), errors(counts))).collect()
}

/// Returns the blocks that are off; `None` if the output has no states.
fn blocks_off(fields: &Fields<'_>) -> Option<BTreeSet<String>> {
    let states = fields.get("ras.ecc_block_state")?.as_object()?;
    let off = |state: &Value| text(state).is_some_and(|state| state.eq_ignore_ascii_case("disabled"));
    Some(states.iter().filter(|(_, state)| off(state)).map(|(block, _)| block.clone()).collect())
}

/// Counts the links by their letter: up, down or disabled (X). Several links to one GPU are one
/// cell, `U/D`; the GPU's own cell is `SELF`.
fn xgmi(status: &Value) -> Option<Xgmi> {
    let cells = status.as_array()?.iter().filter_map(Value::as_str);
    let letters: Vec<&str> = cells.flat_map(|cell| cell.split('/')).map(str::trim).collect();
    let with = |letter: &str| letters.iter().filter(|link| **link == letter).count() as f64;
    let xgmi = Xgmi { up: with("U"), down: with("D"), disabled: with("X") };
    (xgmi != Xgmi::default()).then_some(xgmi)
}

/// Returns the slowest clock whose name starts so, such as `gfx_3`.
fn slowest(fields: &Fields<'_>, prefix: &str) -> Option<f64> {
    let clocks = fields.get("clock").and_then(Value::as_object)?;
    let of_kind = clocks.iter().filter(|(name, _)| name.starts_with(prefix));
    let hertz = of_kind.filter_map(|(_, clock)| number(clock.get("clk")?).ok()?);
    hertz.filter(|hertz| HERTZ.contains(hertz)).reduce(f64::min)
}

fn versions(fields: &Fields<'_>) -> BTreeMap<String, String> {
    let word = |paths: &[&str]| paths.iter().find_map(|path| Some(text(fields.get(path)?)?.into_owned()));
    let named = [
        ("driver", word(&["driver.version", "driver.driver_version", "driver.VERSION"])),
        ("vbios", word(&["vbios.part_number", "ifwi.part_number", "vbios.name", "ifwi.name"])),
    ];
    let named = named.into_iter().filter_map(|(component, version)| Some((component.to_string(), version?)));
    let list = fields.get("fw_list").and_then(Value::as_array);
    let firmware = list.into_iter().flatten().filter_map(|firmware| {
        let component = text(firmware.get("fw_id")?)?.to_ascii_lowercase();
        Some((component, text(firmware.get("fw_version")?)?.into_owned()))
    });
    named.chain(firmware).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(device: &Value) -> (Health, Vec<String>) {
        let mut odd = Vec::new();
        (health(0, &Fields::Json(device), &mut odd), odd)
    }

    #[test]
    fn links_are_counted_by_state() {
        let links = |status: Value| read(&json!({"gpu": 0, "link_status": status})).0.xgmi;
        let wanted = Some(Xgmi { up: 3.0, down: 1.0, disabled: 1.0 });
        assert_eq!(links(json!(["SELF", "U", "U/D", "X", "U"])), wanted);
        assert_eq!((links(json!("N/A")), links(json!(["N/A"]))), (None, None));
    }

    #[test]
    fn pcie_energy_and_clocks_have_base_units_and_no_zeros_for_unread_values() {
        let (health, odd) = read(&json!({"gpu": 0,
            "pcie": {"width": 16, "speed": {"value": 32, "unit": "GT/s"}, "replay_count": 65535},
            "bus": {"max_pcie_width": 65535, "max_pcie_speed": {"value": 0, "unit": "GT/s"}},
            "energy": {"total_energy_consumption": {"value": 0.0, "unit": "J"}},
            "clock": {"gfx_0": {"clk": {"value": 2100, "unit": "MHz"}}, "gfx_1": {"clk": {"value": 132, "unit": "MHz"}},
                "gfx_2": {"clk": "N/A"}, "mem_0": {"clk": {"value": 900, "unit": "MHz"}}}}));
        assert_eq!((health.pcie.width, health.pcie.speed, health.pcie.max_width), (Some(16.0), Some(32e9), None));
        assert_eq!((health.pcie.max_speed, health.pcie.replays, health.energy_joules), (None, None, None));
        assert_eq!(health.clocks, Clocks { graphics: Some(132e6), memory: Some(900e6) });
        assert_eq!(odd, Vec::<String>::new());
    }

    #[test]
    fn versions_have_one_name_for_each_component() {
        let (health, _) = read(&json!({"gpu": 0, "driver": {"name": "amdgpu", "version": "6.16.13"},
            "ifwi": {"name": "AMD MI300X", "part_number": "113-M3000100-103"},
            "fw_list": [{"fw_id": "SMC", "fw_version": "85.121.0"}, {"fw_id": "CP_MEC1", "fw_version": "N/A"}]}));
        let versions: Vec<(&str, &str)> = health.versions.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(versions, [("driver", "6.16.13"), ("smc", "85.121.0"), ("vbios", "113-M3000100-103")]);
    }

    #[test]
    fn a_block_that_is_off_counts_nothing() {
        let (health, _) =
            read(&json!({"gpu": 0, "ras": {"ecc_block_state": {"UMC": "ENABLED", "XGMI_WAFL": "DISABLED"}},
            "ecc_blocks": {"UMC": {"correctable_count": 1, "uncorrectable_count": -2, "deferred_count": 4294967295u64},
                "XGMI_WAFL": {"uncorrectable_count": 3}}}));
        let counted: Vec<(&str, Errors)> = health.counted_blocks().collect();
        let umc = Errors { correctable: Some(1.0), ..Errors::default() };
        assert_eq!(counted, [("UMC", umc)]);
    }
}
