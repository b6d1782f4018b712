//! Verdict on the GPUs that a tool shows: missing, not responding, too hot, or with memory faults.
//! Pure; knows no process and no format.

use super::{Bounds, Known, failed, own_trouble, passed};
use crate::facts::Gpu;
use crate::inventory::{self, PciGpu};
use crate::parse::ToolName;
use crate::verdict::{Check, Fault, Judgement};

/// Default limit. An Instinct GPU throttles at 100 and switches itself off at 105 to 110. A node
/// this hot in three runs in a row has a cooling fault.
pub const HOT_CELSIUS: f64 = 105.0;

/// Judges a list of all GPUs of the node. The first fault counts: missing, not responding, too hot,
/// memory.
pub fn judge_gpus(tool: ToolName, gpus: &[Gpu], known: Known<'_>, bounds: Bounds) -> Judgement {
    let found = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    let wanted = known.expected.map(|expected| expected.gpus);
    // A node with this exporter has a GPU, unless 0 is configured.
    if found < wanted.unwrap_or(1) {
        return failed(Fault::GpuMissing, missing(found, gpus, known));
    }
    let partitions = gpus.iter().fold(0u32, |sum, gpu| sum.saturating_add(gpu.partitions));
    if let Some(wanted) = known.expected_partitions.filter(|wanted| partitions < *wanted) {
        return failed(Fault::GpuMissing, format!("{partitions} of {wanted} partitions (configured)"));
    }
    silent(tool, gpus, known)
        .or_else(|| too_hot(gpus, bounds))
        .or_else(|| memory_fault(gpus))
        .unwrap_or_else(|| passed(format!("{found} GPUs")))
}

/// Judges a list of affected GPUs only; it cannot show that a GPU is missing.
pub fn judge_excerpt(gpus: &[Gpu], bounds: Bounds) -> Judgement {
    let fault = too_hot(gpus, bounds).or_else(|| memory_fault(gpus));
    fault.unwrap_or_else(|| passed("no fault among the listed GPUs".to_string()))
}

/// Finds GPUs without temperature and power, if the output has fields for them.
fn silent(tool: ToolName, gpus: &[Gpu], known: Known<'_>) -> Option<Judgement> {
    let wanted = known.sensors_wanted && matches!(tool.check(), Check::RocmSmi | Check::AmdSmi);
    let dead: Vec<(usize, &Gpu)> =
        gpus.iter().enumerate().filter(|(_, gpu)| (wanted || gpu.asked_for_sensors) && !gpu.responds()).collect();
    if dead.is_empty() {
        return None;
    }
    if dead.len() == gpus.len() {
        // If no GPU ever showed a sensor, the sensors are hidden or this tool cannot read them.
        if !known.passed_before {
            return Some(own_trouble("no GPU shows a temperature or a power, and none ever did on this node"));
        }
        if gpus.iter().any(|gpu| gpu.other_sign_of_life) {
            return Some(own_trouble(
                "no GPU shows a temperature or a power, but clocks: the tool does not fit the driver",
            ));
        }
    }
    let names: Vec<String> = dead.iter().copied().map(name).collect();
    let detail = format!("{} of {} GPUs without temperature and power: {}", dead.len(), gpus.len(), names.join(", "));
    Some(failed(Fault::GpuNotResponding, detail))
}

fn too_hot(gpus: &[Gpu], bounds: Bounds) -> Option<Judgement> {
    let hot = gpus.iter().enumerate().filter_map(|(index, gpu)| {
        let celsius = gpu.temperature_celsius.junction?;
        let limit = bounds.max_junction_celsius.or(gpu.critical_junction_celsius).unwrap_or(HOT_CELSIUS);
        (celsius >= limit).then(|| (limit, format!("{} at {celsius} C", name((index, gpu)))))
    });
    let (limits, names): (Vec<f64>, Vec<String>) = hot.unzip();
    let limit = limits.first()?;
    Some(failed(Fault::OverTemperature, format!("junction at or above {limit} C: {}", names.join(", "))))
}

/// Finds memory that lost data, and bad pages that are still in use. Retired pages and corrected
/// errors are no fault: the repair works.
fn memory_fault(gpus: &[Gpu]) -> Option<Judgement> {
    let those = |fault: fn(&Gpu) -> Option<String>| -> Option<String> {
        let said =
            gpus.iter().enumerate().filter_map(|(index, gpu)| Some(format!("{}: {}", name((index, gpu)), fault(gpu)?)));
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| said.join(", "))
    };
    let errors = those(|gpu| {
        let count = gpu.uncorrectable_errors.filter(|count| *count > 0.0)?;
        Some(format!("{count} uncorrectable errors"))
    });
    let pages = those(|gpu| match gpu.bad_pages.unreservable {
        _ if gpu.bad_pages.threshold_exceeded => Some("more bad pages than the device allows".to_string()),
        Some(count) if count > 0.0 => Some(format!("{count} bad pages still in use")),
        _ => None,
    });
    let errors = errors.map(|detail| failed(Fault::EccUncorrectable, detail));
    errors.or_else(|| pages.map(|detail| failed(Fault::BadPages, detail)))
}

fn missing(found: u32, gpus: &[Gpu], known: Known<'_>) -> String {
    let count = match known.expected {
        Some(expected) => format!("{found} of {} GPUs ({})", expected.gpus, expected.source.as_str()),
        None => "no GPU".to_string(),
    };
    let gone = known.learned.map(|learned| inventory::missing(learned, gpus)).unwrap_or_default();
    let gone: Vec<String> = gone.into_iter().map(|address| whereabouts(address, known.pci)).collect();
    if !gone.is_empty() {
        return format!("{count}, missing {}", gone.join(", "));
    }
    match known.pci {
        Some(pci) if pci.len() > gpus.len() => format!("{count}, {} on the PCI bus", pci.len()),
        _ => count,
    }
}

/// Describes where a missing GPU is. One on the bus without a driver may come back with a reboot.
fn whereabouts(address: &str, pci: Option<&[PciGpu]>) -> String {
    let Some(pci) = pci else { return address.to_string() };
    match pci.iter().find(|gpu| gpu.address == address) {
        None => format!("{address} (not on the PCI bus)"),
        Some(PciGpu { driver: None, .. }) => format!("{address} (on the PCI bus, without a driver)"),
        Some(PciGpu { driver: Some(driver), .. }) => format!("{address} (on the PCI bus, bound to {driver})"),
    }
}

fn name((index, gpu): (usize, &Gpu)) -> String {
    match gpu.pci_bus.as_deref().or(gpu.unique_id.as_deref()) {
        Some(address) => format!("GPU {index} ({address})"),
        None => format!("GPU {index}"),
    }
}
