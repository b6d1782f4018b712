//! Verdict on the GPUs that a tool shows: missing, not responding, too hot, or with memory faults.
//! Pure; knows no process and no format.

use super::{Bounds, Known, failed, own_trouble, passed};
use crate::facts::{Gpu, Temperatures};
use crate::inventory::{self, Expected, PciGpu, Wanted};
use crate::parse::ToolName;
use crate::verdict::{Check, Fault, Judgement, Verdict};

/// Limit of a junction whose device reports none: Instinct GPUs and Radeons switch themselves off
/// at 105 to 115, and throttle before. The memory's limits differ by 20 degrees between
/// generations, so it has no such limit.
pub const HOT_CELSIUS: f64 = 110.0;

/// Judges a list of all GPUs of the node. The first fault counts: missing, not responding, too hot,
/// memory.
///
/// What could not be read is no fault: a row without a value, and GPUs that the kernel suspended.
pub fn judge_gpus(tool: ToolName, gpus: &[Gpu], low_power: bool, known: Known<'_>, bounds: Bounds) -> Judgement {
    let found = u32::try_from(gpus.len()).unwrap_or(u32::MAX);
    if known.beside {
        return memory_fault(gpus).unwrap_or_else(|| match gpus.iter().any(|gpu| gpu.health.errors_asked) {
            true => passed(format!("the memory of {found} GPUs")),
            false => own_trouble("the errors of the memory were not read"),
        });
    }
    // A node with this exporter has a GPU, unless 0 is configured.
    let one = Wanted { least: 1, all: known.suspected.unwrap_or(1) };
    let wanted = known.expected.map_or(one, |expected| inventory::wanted(expected, known.addresses, known.pci));
    if found < wanted.least {
        return failed(Fault::GpuMissing, missing(found, gpus, known));
    }
    if found < wanted.all {
        let text = format!("{found} GPUs, and {} were seen or are expected; set their number", wanted.all);
        return own_trouble(text);
    }
    let partitions = gpus.iter().fold(0u32, |sum, gpu| sum.saturating_add(gpu.partitions));
    // How many partitions a lent GPU had is not known.
    let lent = known.expected.is_some_and(|expected| wanted.all < expected.gpus);
    if let Some(wanted) = known.expected_partitions.filter(|wanted| partitions < *wanted && !lent) {
        return failed(Fault::GpuMissing, format!("{partitions} of {wanted} partitions (configured)"));
    }
    // What is unknown hides no fault of another GPU.
    let (dead, silent) = match silent(tool, gpus, low_power, known) {
        Some(judgement) if matches!(judgement.verdict, Verdict::Failed(_)) => (Some(judgement), None),
        silent => (None, silent),
    };
    dead.or_else(|| too_hot(gpus, bounds))
        .or_else(|| memory_fault(gpus))
        .or(silent)
        .or_else(|| unreadable(gpus))
        .or_else(|| without_driver(tool, gpus, known))
        .unwrap_or_else(|| passed(format!("{found} GPUs")))
}

/// Finds GPUs that the tool lists, and of which nothing could be read.
fn unreadable(gpus: &[Gpu]) -> Option<Judgement> {
    let names: Vec<String> = gpus.iter().enumerate().filter(|(_, gpu)| gpu.unreadable).map(name).collect();
    (!names.is_empty()).then(|| own_trouble(format!("listed, but not understood: {}", names.join(", "))))
}

/// Finds accelerators on the bus that have no driver. Where no administrator said how many GPUs
/// there are, and none of them was ever seen, nothing else misses them.
fn without_driver(tool: ToolName, gpus: &[Gpu], known: Known<'_>) -> Option<Judgement> {
    let set = known.expected.is_some_and(Expected::is_set);
    if set || tool.check() == Check::Rocminfo {
        return None;
    }
    let shown = |gpu: &&PciGpu| gpus.iter().any(|shown| shown.pci_bus.as_deref() == Some(gpu.address.as_str()));
    let bare = known.pci.unwrap_or_default().iter().filter(|gpu| gpu.accelerator && gpu.driver.is_none());
    let bare: Vec<&str> = bare.filter(|gpu| !shown(gpu)).map(|gpu| gpu.address.as_str()).collect();
    (!bare.is_empty()).then(|| {
        own_trouble(format!(
            "{} GPUs, and without a driver on the PCI bus: {}; set their number if that is right",
            gpus.len(),
            bare.join(", ")
        ))
    })
}

/// Judges a list of affected GPUs only; it cannot show that a GPU is missing.
pub fn judge_excerpt(gpus: &[Gpu], bounds: Bounds) -> Judgement {
    let fault = too_hot(gpus, bounds).or_else(|| memory_fault(gpus));
    fault.unwrap_or_else(|| passed("no fault among the listed GPUs".to_string()))
}

/// Finds GPUs without temperature and power, if the output has fields for them.
fn silent(tool: ToolName, gpus: &[Gpu], low_power: bool, known: Known<'_>) -> Option<Judgement> {
    let wanted = known.sensors_wanted && matches!(tool.check(), Check::RocmSmi | Check::AmdSmi);
    let asked = |gpu: &Gpu| (wanted || gpu.asked_for_sensors) && !gpu.unreadable;
    let dead: Vec<(usize, &Gpu)> = gpus.iter().enumerate().filter(|(_, gpu)| asked(gpu) && !gpu.responds()).collect();
    if dead.is_empty() {
        return None;
    }
    if dead.len() == gpus.iter().filter(|gpu| !gpu.unreadable).count() {
        // If no GPU ever showed a sensor, the sensors are hidden or this tool cannot read them.
        if !known.passed_before {
            return Some(own_trouble("no GPU shows a temperature or a power, and none ever did on this node"));
        }
        if low_power {
            return Some(own_trouble("no GPU shows a temperature or a power; the tool says that a device sleeps"));
        }
        if gpus.iter().any(|gpu| gpu.other_sign_of_life) {
            return Some(own_trouble(
                "no GPU shows a temperature or a power, but clocks: the tool does not fit the driver",
            ));
        }
    }
    let asleep = |gpu: &Gpu| {
        let here = |at: &&PciGpu| gpu.pci_bus.as_deref() == Some(at.address.as_str());
        known.pci.unwrap_or_default().iter().find(here).is_some_and(|at| at.suspended)
    };
    if dead.iter().all(|(_, gpu)| asleep(gpu)) {
        return Some(own_trouble("GPUs without temperature and power that the kernel has suspended"));
    }
    let names: Vec<String> = dead.iter().copied().map(name).collect();
    let detail = format!("{} of {} GPUs without temperature and power: {}", dead.len(), gpus.len(), names.join(", "));
    Some(failed(Fault::GpuNotResponding, detail))
}

fn too_hot(gpus: &[Gpu], bounds: Bounds) -> Option<Judgement> {
    let hot = gpus.iter().enumerate().flat_map(|at @ (_, gpu)| {
        let shutdown = gpu.limits_celsius.shutdown;
        let junction = bounds.max_junction_celsius.or(shutdown.junction).or(Some(HOT_CELSIUS));
        let Temperatures { junction: core, memory, .. } = gpu.temperature_celsius;
        let sensors = [("junction", core, junction), ("memory", memory, shutdown.memory)];
        sensors.into_iter().filter_map(move |(sensor, celsius, limit)| {
            let (celsius, limit) = (celsius?, limit?);
            (celsius >= limit).then(|| format!("{} {sensor} at {celsius} C, limit {limit} C", name(at)))
        })
    });
    let hot: Vec<String> = hot.collect();
    (!hot.is_empty()).then(|| failed(Fault::OverTemperature, hot.join(", ")))
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
        _ if gpu.bad_pages.threshold_exceeded == Some(true) => {
            Some("more bad pages than the device allows".to_string())
        }
        Some(count) if count > 0.0 => Some(format!("{count} bad pages still in use")),
        _ => None,
    });
    // No reboot helps against such pages, so they come first.
    let pages = pages.map(|detail| failed(Fault::BadPages, detail));
    pages.or_else(|| errors.map(|detail| failed(Fault::EccUncorrectable, detail)))
}

fn missing(found: u32, gpus: &[Gpu], known: Known<'_>) -> String {
    let count = match known.expected {
        Some(expected) => format!("{found} of {} GPUs ({})", expected.gpus, expected.source.as_str()),
        None => "no GPU".to_string(),
    };
    let gone = known.seen.map(|seen| inventory::missing(seen, gpus)).unwrap_or_default();
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
