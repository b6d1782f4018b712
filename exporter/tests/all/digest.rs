//! Digest of facts as one line of a golden table: how many GPUs have each value, and its range.

use ossci_exporter::facts::{Facts, Gpu, Transfer};

/// Summarises the facts of an output. `-` if it has none.
pub fn digest(facts: Option<&Facts>) -> String {
    match facts {
        Some(Facts::Gpus(gpus)) => digest_of_gpus(gpus),
        Some(Facts::Network(transfer)) => digest_of_transfer(transfer),
        None => "-".to_string(),
    }
}

type Fact = (&'static str, fn(&Gpu) -> Option<f64>);

const FACTS: [Fact; 17] = [
    ("edge", |gpu| gpu.temperature_celsius.edge),
    ("junction", |gpu| gpu.temperature_celsius.junction),
    ("memory", |gpu| gpu.temperature_celsius.memory),
    ("slowdown", |gpu| gpu.limits_celsius.slowdown.junction),
    ("shutdown", |gpu| gpu.limits_celsius.shutdown.junction),
    ("memory shutdown", |gpu| gpu.limits_celsius.shutdown.memory),
    ("W", |gpu| gpu.power_watts),
    ("use", |gpu| gpu.use_ratio),
    ("memory use", |gpu| gpu.memory_use_ratio.map(|ratio| (ratio * 100.0).round() / 100.0)),
    ("GB", |gpu| gpu.memory_total_bytes.map(|bytes| (bytes / 1e9).round())),
    ("corrected", |gpu| gpu.correctable_errors),
    ("uncorrected", |gpu| gpu.uncorrectable_errors),
    ("retired", |gpu| gpu.bad_pages.retired),
    ("pending", |gpu| gpu.bad_pages.pending),
    ("unreservable", |gpu| gpu.bad_pages.unreservable),
    ("limits known", |gpu| Some(limits(gpu, Option::is_some)).filter(|known| *known > 0.0)),
    ("throttled", |gpu| Some(limits(gpu, |limit| limit == &Some(true))).filter(|active| *active > 0.0)),
];

fn limits(gpu: &Gpu, wanted: impl Fn(&Option<bool>) -> bool) -> f64 {
    gpu.throttled.causes().iter().filter(|(_, limit)| wanted(limit)).count() as f64
}

fn digest_of_gpus(gpus: &[Gpu]) -> String {
    let mut words = vec![format!("{} GPUs", gpus.len())];
    let partitions: u32 = gpus.iter().map(|gpu| gpu.partitions).sum();
    if partitions as usize != gpus.len() {
        words.push(format!("{partitions} partitions"));
    }
    let named = |what: &str, count: usize| (count > 0).then(|| format!("{what} of {count}"));
    words.extend(named("bus", gpus.iter().filter(|gpu| gpu.pci_bus.is_some()).count()));
    words.extend(named("id", gpus.iter().filter(|gpu| gpu.unique_id.is_some()).count()));
    for (name, fact) in FACTS {
        let mut values: Vec<f64> = gpus.iter().filter_map(fact).collect();
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (values.first(), values.last()) else { continue };
        let range = if least == most { least.to_string() } else { format!("{least}..{most}") };
        let of = if values.len() == gpus.len() { String::new() } else { format!(" of {}", values.len()) };
        words.push(format!("{name} {range}{of}"));
    }
    words.join(", ")
}

fn digest_of_transfer(transfer: &Transfer) -> String {
    let rounded = |value: Option<f64>, factor: f64| value.map(|value| (value * factor * 1e3).round() / 1e3);
    let facts = [
        ("down Mbit/s", rounded(transfer.download_bits_per_second, 1e-6)),
        ("up Mbit/s", rounded(transfer.upload_bits_per_second, 1e-6)),
        ("latency ms", rounded(transfer.latency_seconds, 1e3)),
        ("jitter ms", rounded(transfer.jitter_seconds, 1e3)),
        ("loss", rounded(transfer.loss_ratio, 1.0)),
        ("bytes", transfer.bytes),
        ("sent again", transfer.retransmits),
    ];
    let words = facts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    words.collect::<Vec<_>>().join(", ")
}
