//! The one table of metric names: name, help, unit, type, labels, and where the values come from. A snapshot goes in, the OpenMetrics
//! text comes out; what is not in the snapshot is not on the page. There is no label for the node: the scrape adds it.

use crate::ledger::{CheckView, Snapshot};
use crate::run_dir::Pause;
use crate::verdict::{Check, Facts, Gpu, Transfer, Verdict};
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeMap;

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Info,
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// As Prometheus stores it, with unit and suffix.
    pub name: &'static str,
    pub help: &'static str,
    pub unit: Option<&'static str>,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    samples: fn(&Snapshot) -> Vec<Sample>,
}

/// The values of the labels, in the order of the row, and the value.
type Sample = (Vec<String>, f64);

const fn row(
    name: &'static str,
    help: &'static str,
    unit: Option<&'static str>,
    kind: Kind,
    labels: &'static [&'static str],
    samples: fn(&Snapshot) -> Vec<Sample>,
) -> Metric {
    Metric { name, help, unit, kind, labels, samples }
}

const CHECK: &[&str] = &["check"];
const GPU: &[&str] = &["gpu", "pci_bus"];
const NONE: &[&str] = &[];

use Kind::{Counter, Gauge, Info};

/// Every series that the exporter can show.
pub const TABLE: &[Metric] = &[
    row(
        "ossci_check_consecutive_failures",
        "Failed runs in a row. Unknown runs leave it as it is; it ends with the boot, not with the exporter.",
        None,
        Gauge,
        CHECK,
        |s| per_check(s, |c| Some(c.standing.consecutive_failures as f64)),
    ),
    row(
        "ossci_check_last_run_timestamp_seconds",
        "When the latest run ended, whatever it found.",
        Some("seconds"),
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.last_run.map(seconds)),
    ),
    row(
        "ossci_check_last_success_timestamp_seconds",
        "When the latest passed run ended.",
        Some("seconds"),
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.last_success.map(seconds)),
    ),
    row("ossci_check_interval_seconds", "How often the check runs.", Some("seconds"), Gauge, CHECK, |s| {
        per_check(s, |c| Some(c.interval.as_secs_f64()))
    }),
    row("ossci_check_runs_total", "Periodic runs since the exporter started.", None, Counter, CHECK, |s| {
        per_check(s, |c| Some(c.standing.runs_total as f64))
    }),
    row("ossci_check_failures_total", "Failed periodic runs since the exporter started.", None, Counter, CHECK, |s| {
        per_check(s, |c| Some(c.standing.failures_total as f64))
    }),
    row(
        "ossci_check_success",
        "1 when the latest run passed, 0 when it failed; absent when it found nothing out.",
        None,
        Gauge,
        CHECK,
        |s| {
            per_check(s, |c| match c.standing.latest.as_ref()?.verdict() {
                Verdict::Passed => Some(1.0),
                Verdict::Failed(_) => Some(0.0),
                Verdict::Unknown(_) => None,
            })
        },
    ),
    row(
        "ossci_check_result_info",
        "What the latest run found.",
        None,
        Info,
        &["check", "verdict", "reason"],
        result_info,
    ),
    row("ossci_check_duration_seconds", "How long the latest run took.", Some("seconds"), Gauge, CHECK, |s| {
        per_check(s, |c| c.standing.latest.as_ref().map(|run| run.seconds))
    }),
    row(
        "ossci_check_not_understood",
        "Things in the output of the latest run that were not understood.",
        None,
        Gauge,
        CHECK,
        |s| per_check(s, |c| c.standing.latest.as_ref().map(|run| run.not_understood.len() as f64)),
    ),
    row("ossci_checks_paused", "1 while the periodic checks rest because of a repair.", None, Gauge, NONE, |s| {
        // The watcher's reading may be a second older than the end of the pause.
        one(f64::from(matches!(s.pause, Pause::Until(until) if until > s.now)))
    }),
    row(
        "ossci_run_dir_file_unreadable",
        "1 while a file of the run directory is there and cannot be understood; it then says nothing.",
        None,
        Gauge,
        &["file"],
        |s| {
            let pause = matches!(s.pause, Pause::Unreadable(_));
            let files = [("pause", pause), ("inventory", s.inventory_unreadable)];
            files.map(|(file, bad)| (vec![file.to_string()], f64::from(bad))).to_vec()
        },
    ),
    row(
        "ossci_gpus_expected",
        "GPUs that this node must show; absent when nobody says it and none was ever seen.",
        None,
        Gauge,
        NONE,
        |s| s.expected_gpus.map_or(Vec::new(), |gpus| one(f64::from(gpus))),
    ),
    row(
        "ossci_pci_gpus",
        "AMD GPUs on the PCI bus by driver; an empty driver means that none took them.",
        None,
        Gauge,
        &["driver"],
        pci_gpus,
    ),
    row(
        "ossci_gpus_found",
        "GPUs in the latest output that could be read, also of a failed run.",
        None,
        Gauge,
        CHECK,
        |s| per_check(s, |c| Some(c.facts()?.gpus()?.len() as f64)),
    ),
    row(
        "ossci_gpu_temperature_celsius",
        "Temperature by sensor.",
        Some("celsius"),
        Gauge,
        &["gpu", "pci_bus", "sensor"],
        temperatures,
    ),
    row("ossci_gpu_power_watts", "Power drawn by the package.", Some("watts"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.power_watts)
    }),
    row("ossci_gpu_use_ratio", "Share of time in which the GPU was busy.", Some("ratio"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.use_ratio)
    }),
    row("ossci_gpu_memory_used_bytes", "Memory in use.", Some("bytes"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_used_bytes)
    }),
    row("ossci_gpu_memory_total_bytes", "Memory of the GPU.", Some("bytes"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_total_bytes)
    }),
    row("ossci_gpu_memory_use_ratio", "Share of the memory in use.", Some("ratio"), Gauge, GPU, |s| {
        per_gpu(s, |gpu| gpu.memory_use_ratio)
    }),
    row(
        "ossci_gpu_uncorrectable_errors",
        "ECC errors of this boot that could not be corrected, where the tool says it.",
        None,
        Gauge,
        GPU,
        |s| per_gpu(s, |gpu| gpu.uncorrectable_errors),
    ),
    row(
        "ossci_gpu_correctable_errors",
        "ECC errors of this boot that were corrected, where the tool says it.",
        None,
        Gauge,
        GPU,
        |s| per_gpu(s, |gpu| gpu.correctable_errors),
    ),
    row(
        "ossci_gpu_throttled",
        "1 while the GPU slows itself down for this cause, where the tool says it.",
        None,
        Gauge,
        &["gpu", "pci_bus", "cause"],
        throttled,
    ),
    row(
        "ossci_gpu_bad_pages",
        "Pages of the memory out of use or to be, where the tool says it.",
        None,
        Gauge,
        &["gpu", "pci_bus", "state"],
        bad_pages,
    ),
    row("ossci_gpu_partitions", "Compute partitions; 1 when it is not partitioned.", None, Gauge, GPU, |s| {
        per_gpu(s, |gpu| Some(f64::from(gpu.partitions)))
    }),
    row("ossci_gpu_info", "Which GPU it is.", None, Info, &["gpu", "pci_bus", "unique_id", "serial", "name"], gpu_info),
    row(
        "ossci_network_download_bytes_per_second",
        "Speed of the latest transfer to this node.",
        Some("bytes_per_second"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.download_bits_per_second.map(bytes)),
    ),
    row(
        "ossci_network_upload_bytes_per_second",
        "Speed of the latest transfer from this node, where the test has one.",
        Some("bytes_per_second"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.upload_bits_per_second.map(bytes)),
    ),
    row(
        "ossci_network_latency_seconds",
        "Time there and back in the latest network test, where it measures it.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.latency_seconds),
    ),
    row(
        "ossci_network_jitter_seconds",
        "Spread of that time, where the test measures it.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.jitter_seconds),
    ),
    row(
        "ossci_network_loss_ratio",
        "Lost share of the packets of the latest network test, where it measures it.",
        Some("ratio"),
        Gauge,
        NONE,
        |s| network(s, |transfer| transfer.loss_ratio),
    ),
    row("ossci_network_transfer_bytes", "Volume of the latest transfer.", Some("bytes"), Gauge, NONE, |s| {
        network(s, |transfer| transfer.bytes)
    }),
    row("ossci_network_retransmits", "TCP segments sent again in the latest transfer.", None, Gauge, NONE, |s| {
        network(s, |transfer| transfer.retransmits)
    }),
    row(
        "ossci_exporter_state_write_failures_total",
        "Writes of the state files that failed or did not come back in time.",
        None,
        Counter,
        NONE,
        |s| one(s.state_write_failures as f64),
    ),
    row(
        "ossci_exporter_config_last_reload_successful",
        "1 when the configuration could be read the last time, 0 when the old one was kept.",
        None,
        Gauge,
        NONE,
        |s| one(f64::from(s.reload.successful)),
    ),
    row(
        "ossci_exporter_config_last_reload_success_timestamp_seconds",
        "When the configuration in force was read.",
        Some("seconds"),
        Gauge,
        NONE,
        |s| one(seconds(s.reload.at)),
    ),
    row("ossci_exporter_build_info", "Version of the exporter.", None, Info, &["version"], |_| {
        vec![(vec![env!("CARGO_PKG_VERSION").to_string()], 1.0)]
    }),
    row("ossci_exporter_start_time_seconds", "When the exporter started.", Some("seconds"), Gauge, NONE, |s| {
        one(seconds(s.started_at))
    }),
];

fn one(value: f64) -> Vec<Sample> {
    vec![(Vec::new(), value)]
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1e3
}

fn per_check(snapshot: &Snapshot, value: fn(&CheckView) -> Option<f64>) -> Vec<Sample> {
    let sample = |view: &CheckView| Some((vec![view.check.as_str().to_string()], value(view)?));
    snapshot.checks.iter().filter_map(sample).collect()
}

fn result_info(snapshot: &Snapshot) -> Vec<Sample> {
    let sample = |view: &CheckView| {
        let verdict = view.standing.latest.as_ref()?.verdict();
        let labels = [view.check.as_str(), verdict.as_str(), verdict.reason().unwrap_or_default()];
        Some((labels.map(str::to_string).to_vec(), 1.0))
    };
    snapshot.checks.iter().filter_map(sample).collect()
}

/// The GPUs with the labels that name them.
fn gpus(snapshot: &Snapshot) -> Vec<(Vec<String>, &Gpu)> {
    // Where both run, one of them speaks.
    let of = |check: Check| snapshot.checks.iter().find(|view| view.check == check)?.values()?.gpus();
    let gpus = of(Check::RocmSmi).or_else(|| of(Check::AmdSmi)).unwrap_or_default();
    let labels = |index: usize, gpu: &Gpu| vec![index.to_string(), gpu.pci_bus.clone().unwrap_or_default()];
    gpus.iter().enumerate().map(|(index, gpu)| (labels(index, gpu), gpu)).collect()
}

fn per_gpu(snapshot: &Snapshot, value: fn(&Gpu) -> Option<f64>) -> Vec<Sample> {
    gpus(snapshot).into_iter().filter_map(|(labels, gpu)| Some((labels, value(gpu)?))).collect()
}

fn temperatures(snapshot: &Snapshot) -> Vec<Sample> {
    let sensors = |(labels, gpu): (Vec<String>, &Gpu)| {
        let measured = gpu.temperature_celsius;
        let of = [("edge", measured.edge), ("junction", measured.junction), ("memory", measured.memory)];
        of.map(|(sensor, celsius)| Some(([labels.as_slice(), &[sensor.to_string()]].concat(), celsius?)))
    };
    gpus(snapshot).into_iter().flat_map(sensors).flatten().collect()
}

fn throttled(snapshot: &Snapshot) -> Vec<Sample> {
    let causes = |(labels, gpu): (Vec<String>, &Gpu)| {
        let sample = |(cause, yes): (&str, Option<bool>)| {
            Some(([labels.as_slice(), &[cause.to_string()]].concat(), f64::from(yes?)))
        };
        gpu.throttled.causes().map(sample)
    };
    gpus(snapshot).into_iter().flat_map(causes).flatten().collect()
}

fn bad_pages(snapshot: &Snapshot) -> Vec<Sample> {
    let states = |(labels, gpu): (Vec<String>, &Gpu)| {
        let pages = gpu.bad_pages;
        let of = [("retired", pages.retired), ("pending", pages.pending), ("unreservable", pages.unreservable)];
        of.map(|(state, count)| Some(([labels.as_slice(), &[state.to_string()]].concat(), count?)))
    };
    gpus(snapshot).into_iter().flat_map(states).flatten().collect()
}

fn pci_gpus(snapshot: &Snapshot) -> Vec<Sample> {
    let mut counts: BTreeMap<&str, f64> = BTreeMap::new();
    for gpu in snapshot.pci.iter().flatten() {
        *counts.entry(gpu.driver.as_deref().unwrap_or_default()).or_default() += 1.0;
    }
    counts.into_iter().map(|(driver, count)| (vec![driver.to_string()], count)).collect()
}

fn gpu_info(snapshot: &Snapshot) -> Vec<Sample> {
    let info = |(mut labels, gpu): (Vec<String>, &Gpu)| {
        labels.extend([&gpu.unique_id, &gpu.serial, &gpu.name].map(|word| word.clone().unwrap_or_default()));
        (labels, 1.0)
    };
    gpus(snapshot).into_iter().map(info).collect()
}

/// Prometheus counts in bytes; networks, and `parse`, in bits.
fn bytes(bits: f64) -> f64 {
    bits / 8.0
}

fn network(snapshot: &Snapshot, value: fn(&Transfer) -> Option<f64>) -> Vec<Sample> {
    let view = snapshot.checks.iter().find(|view| view.check == Check::Network);
    match view.and_then(CheckView::values) {
        Some(Facts::Network(transfer)) => value(transfer).map_or(Vec::new(), one),
        _ => Vec::new(),
    }
}

/// The page in the OpenMetrics 1.0 text form.
pub fn openmetrics(snapshot: Snapshot) -> Result<String, std::fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(snapshot)));
    let mut page = String::with_capacity(32 << 10);
    text::encode(&mut page, &registry)?;
    Ok(page)
}

#[derive(Debug)]
struct Page(Snapshot);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        for metric in TABLE {
            let samples = (metric.samples)(&self.0);
            if !samples.is_empty() {
                encode(metric, &samples, &mut encoder)?;
            }
        }
        Ok(())
    }
}

/// The library appends unit and suffix by itself, so the name is handed over without them.
fn encode(metric: &Metric, samples: &[Sample], encoder: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let (suffix, kind) = match metric.kind {
        Kind::Gauge => ("", MetricType::Gauge),
        Kind::Counter => ("_total", MetricType::Counter),
        Kind::Info => ("_info", MetricType::Info),
    };
    let name = metric.name.strip_suffix(suffix).unwrap_or(metric.name);
    let unit = metric.unit.map(|unit| Unit::Other(unit.to_string()));
    let bare = metric.unit.and_then(|unit| name.strip_suffix(unit)?.strip_suffix('_')).unwrap_or(name);
    let mut family = encoder.encode_descriptor(bare, metric.help, unit.as_ref(), kind)?;
    for (values, value) in samples {
        let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
        // A label set without labels would be written as empty braces.
        match metric.kind {
            Kind::Gauge if labels.is_empty() => family.encode_gauge(value)?,
            Kind::Gauge => family.encode_family(&labels)?.encode_gauge(value)?,
            Kind::Counter if labels.is_empty() => family.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
            Kind::Counter => family.encode_family(&labels)?.encode_counter::<NoLabelSet, f64, f64>(value, None)?,
            Kind::Info => family.encode_info(&labels)?,
        }
    }
    Ok(())
}
