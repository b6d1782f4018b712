//! Metrics: a table for each of the two programs. prometheus-client appends `_total` to counters.

mod agent;
mod controller;

use jiff::Timestamp;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

pub use self::agent::{AgentMetrics, ByOrder};
pub use self::controller::{
    ByEnd, ByKind, ByPhase, ByPool, ByPoolAndRung, ByStage, ByWhy, Code, Metrics, Outcome, Standings,
};

/// The content type of a page of metrics.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Call {
    /// `get`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// The HTTP status; `none` when no answer came.
    pub code: String,
}

/// Requests to the Kubernetes API.
pub type Calls = Family<Call, Counter>;

/// A struct of metrics out of its table: field and type, name without the prefix, help.
macro_rules! table {
    ($(#[$about:meta])* $name:ident { $($field:ident: $kind:ty = $new:expr, $metric:literal, $help:literal;)+ }) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name { $(#[doc = $help] pub $field: $kind,)+ }

        impl $name {
            /// Name without the prefix, type as the table writes it, help.
            pub const TABLE: &'static [(&'static str, &'static str, &'static str)] =
                &[$(($metric, stringify!($kind), $help)),+];

            fn new() -> Self {
                Self { $($field: $new,)+ }
            }

            fn register(&self, registry: &mut Registry) {
                $(registry.register($metric, $help, self.$field.clone());)+
            }
        }
    };
}

use table;

/// One page, OpenMetrics text, out of several registries.
fn page(registries: &[Registry]) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    for registry in registries {
        text::encode_registry(&mut page, registry)?;
    }
    text::encode_eof(&mut page)?;
    Ok(page)
}

/// Unix seconds, as Prometheus has them.
pub fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    type Table = &'static [(&'static str, &'static str, &'static str)];

    /// Type and labels, out of the type of the field.
    fn described(kind: &str) -> (&'static str, &'static str) {
        let counted = if kind.contains("Counter") || kind == "Calls" { "counter" } else { "gauge" };
        let labels = [
            ("ByOrder", "`kind` `state`"),
            ("ByPoolAndRung", "`pool` `rung`"),
            ("ByPool", "`pool`"),
            ("ByPhase", "`rung` `phase`"),
            ("ByEnd", "`rung` `outcome`"),
            ("ByKind", "`kind`"),
            ("ByWhy", "`why`"),
            ("Outcome", "`outcome`"),
            ("Code", "`code`"),
            ("Calls", "`verb` `code`"),
        ];
        let of = labels.iter().find(|(name, _)| kind.contains(name)).map(|(_, labels)| *labels);
        if kind == "Stages" { ("histogram", "`stage`") } else { (counted, of.unwrap_or_default()) }
    }

    fn rows(page: &mut String, prefix: &str, table: Table) {
        for (name, kind, help) in table {
            let (kind, labels) = described(kind);
            let total = if kind == "counter" { "_total" } else { "" };
            writeln!(page, "| `{prefix}_{name}{total}` | {kind} | {labels} | {help}. |").expect("a string");
        }
    }

    #[test]
    fn the_page_of_metrics_is_the_tables() {
        let mut page = "# Metrics of the remediator and of the agent

Written by the test of `remediator/src/metrics/` out of its tables; `UPDATE_EXPECTED=1` writes it again. The controller listens on port
19401, the agent on 19403: `/metrics`, `/-/healthy`.

| name | type | labels | meaning |
|---|---|---|---|
"
        .to_owned();
        rows(&mut page, "ossci_remediator", Metrics::TABLE);
        rows(&mut page, "ossci_remediator", Standings::TABLE);
        rows(&mut page, "ossci_agent", AgentMetrics::TABLE);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics-remediator.md");
        ossci_base::golden::check(&path, &page).unwrap_or_else(|error| panic!("{error}"));
    }
}
