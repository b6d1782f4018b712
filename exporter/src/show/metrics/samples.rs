//! Samples of each metric, taken from a snapshot. Pure: no I/O.

use crate::facts::{Facts, Gpu, Limits, Temperatures, Transfer};
use crate::health::{Errors, Xgmi};
use crate::show::metrics::Sample;
use crate::state::fabric::FabricPort;
use crate::state::ledger::{CheckView, Snapshot};
use crate::verdict::Check;
use jiff::Timestamp;
use std::collections::BTreeMap;

pub fn one(value: f64) -> Vec<Sample> {
    vec![(Vec::new(), value)]
}

pub fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}

pub fn per_check(snapshot: &Snapshot, value: impl Fn(&CheckView) -> Option<f64>) -> Vec<Sample> {
    let sample = |view: &CheckView| Some((vec![view.check.as_str().to_string()], value(view)?));
    snapshot.checks.iter().filter_map(sample).collect()
}

pub fn result_info(snapshot: &Snapshot) -> Vec<Sample> {
    let sample = |view: &CheckView| {
        let verdict = view.standing.latest.as_ref()?.verdict();
        let labels = [view.check.as_str(), verdict.as_str(), verdict.reason().unwrap_or_default()];
        Some((labels.map(str::to_string).to_vec(), 1.0))
    };
    snapshot.checks.iter().filter_map(sample).collect()
}

/// Returns the GPUs with the labels that identify them.
pub fn gpus(snapshot: &Snapshot) -> Vec<(Vec<String>, &Gpu)> {
    // Beside rocm-smi, amd-smi runs too seldom for the present state of a GPU.
    let view = view(snapshot, Check::RocmSmi).or_else(|| view(snapshot, Check::AmdSmi));
    labelled(view.and_then(|view| view.values()?.gpus()).unwrap_or_default())
}

/// Returns the GPUs whose wear and links are known, with the labels that identify them. They stay
/// when the check fails: a failure may be what they show.
fn worn(snapshot: &Snapshot) -> Vec<(Vec<String>, &Gpu)> {
    let of = |check: Check| view(snapshot, check)?.facts()?.gpus();
    labelled(of(Check::AmdSmi).or_else(|| of(Check::RocmSmi)).unwrap_or_default())
}

fn view(snapshot: &Snapshot, check: Check) -> Option<&CheckView> {
    snapshot.checks.iter().find(|view| view.check == check)
}

fn labelled(gpus: &[Gpu]) -> Vec<(Vec<String>, &Gpu)> {
    let labels = |index: usize, gpu: &Gpu| vec![index.to_string(), gpu.pci_bus.clone().unwrap_or_default()];
    gpus.iter().enumerate().map(|(index, gpu)| (labels(index, gpu), gpu)).collect()
}

pub fn per_gpu(snapshot: &Snapshot, value: fn(&Gpu) -> Option<f64>) -> Vec<Sample> {
    gpus(snapshot).into_iter().filter_map(|(labels, gpu)| Some((labels, value(gpu)?))).collect()
}

pub fn temperatures(snapshot: &Snapshot) -> Vec<Sample> {
    let of_gpu = |(labels, gpu): (Vec<String>, &Gpu)| sensors(&labels, gpu.temperature_celsius, &[]);
    gpus(snapshot).into_iter().flat_map(of_gpu).collect()
}

pub fn temperature_limits(snapshot: &Snapshot) -> Vec<Sample> {
    let of_gpu = |(labels, gpu): (Vec<String>, &Gpu)| {
        let Limits { slowdown, shutdown } = gpu.limits_celsius;
        [sensors(&labels, slowdown, &["slowdown"]), sensors(&labels, shutdown, &["shutdown"])].concat()
    };
    gpus(snapshot).into_iter().flat_map(of_gpu).collect()
}

/// Returns one sample for each sensor with a value.
fn sensors(labels: &[String], of: Temperatures, more: &[&str]) -> Vec<Sample> {
    let sample = |(sensor, celsius): (&str, Option<f64>)| {
        let words = std::iter::once(sensor).chain(more.iter().copied()).map(str::to_string);
        Some((labels.iter().cloned().chain(words).collect(), celsius?))
    };
    of.sensors().into_iter().filter_map(sample).collect()
}

/// Returns one sample for each GPU with a value of its wear or its links.
pub fn per_worn_gpu(snapshot: &Snapshot, value: fn(&Gpu) -> Option<f64>) -> Vec<Sample> {
    worn(snapshot).into_iter().filter_map(|(labels, gpu)| Some((labels, value(gpu)?))).collect()
}

/// Returns the samples of each GPU that have values, with these words after its own labels.
fn worded<W: IntoIterator<Item = (Vec<String>, Option<f64>)>>(
    snapshot: &Snapshot,
    words: impl Fn(&Gpu) -> W,
) -> Vec<Sample> {
    let of_gpu = |(labels, gpu): (Vec<String>, &Gpu)| {
        let sample = move |(more, value): (Vec<String>, Option<f64>)| Some(([labels.clone(), more].concat(), value?));
        words(gpu).into_iter().filter_map(sample).collect::<Vec<Sample>>()
    };
    worn(snapshot).into_iter().flat_map(of_gpu).collect()
}

fn word((word, value): (&str, Option<f64>)) -> (Vec<String>, Option<f64>) {
    (vec![word.to_string()], value)
}

pub fn throttled(snapshot: &Snapshot) -> Vec<Sample> {
    worded(snapshot, |gpu| gpu.throttled.causes().map(|(cause, yes)| word((cause, yes.map(f64::from)))))
}

pub fn bad_pages(snapshot: &Snapshot) -> Vec<Sample> {
    worded(snapshot, |gpu| {
        let pages = gpu.bad_pages;
        [("retired", pages.retired), ("pending", pages.pending), ("unreservable", pages.unreservable)].map(word)
    })
}

pub fn block_errors(snapshot: &Snapshot) -> Vec<Sample> {
    worded(snapshot, |gpu| {
        let kinds = |(block, errors): (&str, Errors)| {
            errors.kinds().map(|(kind, count)| (vec![block.to_string(), kind.to_string()], count))
        };
        gpu.health.shown_blocks().flat_map(kinds).collect::<Vec<_>>()
    })
}

pub fn xgmi_links(snapshot: &Snapshot) -> Vec<Sample> {
    worded(snapshot, |gpu| {
        let of = |count: fn(Xgmi) -> f64| gpu.health.xgmi.map(count);
        [("up", of(|links| links.up)), ("down", of(|links| links.down)), ("disabled", of(|links| links.disabled))]
            .map(word)
    })
}

pub fn clocks(snapshot: &Snapshot) -> Vec<Sample> {
    worded(snapshot, |gpu| [("graphics", gpu.health.clocks.graphics), ("memory", gpu.health.clocks.memory)].map(word))
}

/// Returns for each version of a component how many GPUs have it: one series for all GPUs that are
/// alike.
pub fn versions(snapshot: &Snapshot) -> Vec<Sample> {
    let mut counts: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for (_, gpu) in worn(snapshot) {
        for (component, version) in &gpu.health.versions {
            *counts.entry((component, version)).or_default() += 1.0;
        }
    }
    let sample =
        |((component, version), count): ((&str, &str), f64)| (vec![component.to_string(), version.to_string()], count);
    counts.into_iter().map(sample).collect()
}

pub fn fabric_ports(snapshot: &Snapshot, value: fn(&FabricPort) -> Option<f64>) -> Vec<Sample> {
    let sample = |port: &FabricPort| Some((vec![port.device.clone(), port.port.clone()], value(port)?));
    snapshot.fabric.iter().filter_map(sample).collect()
}

pub fn pci_gpus(snapshot: &Snapshot) -> Vec<Sample> {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for gpu in snapshot.pci.iter().flatten() {
        *counts.entry(gpu.driver.as_deref().unwrap_or_default()).or_default() += 1.0;
    }
    counts.into_iter().map(|(driver, count)| (vec![driver.to_string()], count)).collect()
}

pub fn gpu_info(snapshot: &Snapshot) -> Vec<Sample> {
    let info = |(mut labels, gpu): (Vec<String>, &Gpu)| {
        labels.extend([&gpu.unique_id, &gpu.serial, &gpu.name].map(|word| word.clone().unwrap_or_default()));
        (labels, 1.0)
    };
    gpus(snapshot).into_iter().map(info).collect()
}

/// Converts bits to bytes: Prometheus uses bytes; networks and `parse` use bits.
pub fn bytes(bits: f64) -> f64 {
    bits / 8.0
}

pub fn network(snapshot: &Snapshot, value: fn(&Transfer) -> Option<f64>) -> Vec<Sample> {
    match view(snapshot, Check::Network).and_then(CheckView::values) {
        Some(Facts::Network(transfer)) => value(transfer).map_or(Vec::new(), one),
        _ => Vec::new(),
    }
}
