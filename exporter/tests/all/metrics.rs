//! The table of metrics holds its page in docs/, and keeps to the rules of the trade. `UPDATE_EXPECTED=1` writes the page again.
#![allow(clippy::disallowed_methods, reason = "a test is told by the environment to write its page again")]

use ossci_exporter::facts::Throttled;
use ossci_exporter::show::metrics::{Kind, Metric, TABLE};
use ossci_exporter::verdict::{Fault, Trouble};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Info => "info",
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Metrics of the exporter\n\n\
         Written by the test `metrics` out of the table in `exporter/src/metrics/table.rs`; `UPDATE_EXPECTED=1` writes it again. There is no label for \
         the node:\nthe scrape configuration puts it on. Values of a failed check are withdrawn, its status stays; what a tool does not say has no \
         series.\nAn info is a gauge of value 1 in the classic text form.\n\n\
         | name | type | unit | labels | meaning |\n|---|---|---|---|---|\n",
    );
    for metric in TABLE {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (unit, labels) = (metric.unit.unwrap_or(""), labels.join(" "));
        let _ = writeln!(page, "| `{}` | {} | {unit} | {labels} | {} |", metric.name, kind(metric), metric.help);
    }
    let words = |words: Vec<&str>| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" ");
    let failed = words(Fault::ALL.iter().map(|fault| fault.as_str()).collect());
    let unknown = words([Trouble::OwnTrouble, Trouble::TargetTrouble].iter().map(|trouble| trouble.as_str()).collect());
    let _ = write!(
        page,
        "\nLabel `verdict`: `passed`, `failed` or `unknown`. Label `reason`: empty for a pass; for a failure {failed}; for unknown {unknown}.\n",
    );
    let causes = words(Throttled::default().causes().iter().map(|(cause, _)| *cause).collect());
    let _ = write!(
        page,
        "\nLabel `cause`: {causes}. Only amd-smi says it, and only with `--gpus.throttling`: it costs one call more in each run.\n"
    );
    page
}

#[test]
fn the_page_of_the_metrics_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = page();
    ossci_base::golden::check(&path, &page).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn names_keep_to_the_conventions() {
    let mut names = BTreeSet::new();
    for metric in TABLE {
        let name = metric.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.starts_with("ossci_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
        assert_eq!(name.ends_with("_info"), metric.kind == Kind::Info, "{name}");
        assert!(
            metric.unit.is_none_or(|unit| name.ends_with(&format!("_{unit}"))),
            "{name} does not end with its unit"
        );
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
        assert!(!metric.labels.contains(&"node") && !metric.labels.contains(&"instance"), "{name}");
    }
}
