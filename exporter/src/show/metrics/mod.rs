//! Metrics: the type of a table row, and the encoder of a snapshot as OpenMetrics text. Shows
//! nothing that is not in the snapshot.

pub mod page;
mod samples;
mod table;

pub use table::TABLE;

use crate::state::ledger::Snapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

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

/// Label values, in the order of the row, and the sample's value.
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

/// Renders the page in the OpenMetrics 1.0 text format.
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

/// Encodes one metric. The library appends unit and suffix, so the name is passed without them.
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
