//! Samples of each metric, taken from a snapshot. Pure: no I/O.

use crate::facts::{Facts, Gpu, Limits, Temperatures, Transfer};
use crate::show::metrics::Sample;
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

pub fn per_check(snapshot: &Snapshot, value: fn(&CheckView) -> Option<f64>) -> Vec<Sample> {
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
    // If both checks have values, only those of rocm-smi are shown.
    let of = |check: Check| snapshot.checks.iter().find(|view| view.check == check)?.values()?.gpus();
    let gpus = of(Check::RocmSmi).or_else(|| of(Check::AmdSmi)).unwrap_or_default();
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

pub fn throttled(snapshot: &Snapshot) -> Vec<Sample> {
    let causes = |(labels, gpu): (Vec<String>, &Gpu)| {
        let sample = |(cause, yes): (&str, Option<bool>)| {
            Some(([labels.as_slice(), &[cause.to_string()]].concat(), f64::from(yes?)))
        };
        gpu.throttled.causes().map(sample)
    };
    gpus(snapshot).into_iter().flat_map(causes).flatten().collect()
}

pub fn bad_pages(snapshot: &Snapshot) -> Vec<Sample> {
    let states = |(labels, gpu): (Vec<String>, &Gpu)| {
        let pages = gpu.bad_pages;
        let of = [("retired", pages.retired), ("pending", pages.pending), ("unreservable", pages.unreservable)];
        of.map(|(state, count)| Some(([labels.as_slice(), &[state.to_string()]].concat(), count?)))
    };
    gpus(snapshot).into_iter().flat_map(states).flatten().collect()
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
    let view = snapshot.checks.iter().find(|view| view.check == Check::Network);
    match view.and_then(CheckView::values) {
        Some(Facts::Network(transfer)) => value(transfer).map_or(Vec::new(), one),
        _ => Vec::new(),
    }
}
