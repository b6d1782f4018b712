//! Metrics page in both text formats.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::show::metrics;
use crate::state::ledger::Snapshot;

/// Text format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    OpenMetrics,
    Classic,
}

impl Form {
    /// Returns OpenMetrics if the `Accept` header names it, otherwise the classic format.
    pub fn accepted(accept: &str) -> Form {
        if accept.contains("application/openmetrics-text") { Form::OpenMetrics } else { Form::Classic }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Renders the metrics page.
pub fn metrics(snapshot: Snapshot, form: Form) -> Result<String, std::fmt::Error> {
    let page = metrics::openmetrics(snapshot)?;
    Ok(match form {
        Form::OpenMetrics => page,
        Form::Classic => classic(&page),
    })
}

/// Converts OpenMetrics to the classic text format, version 0.0.4: a family is named like its
/// samples, an info becomes a gauge, units and the end mark are dropped.
fn classic(openmetrics: &str) -> String {
    let types = openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<&str, &str> = types.collect();
    let mut page = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let (keyword, family, rest) = match comment.and_then(|(keyword, rest)| Some((keyword, rest.split_once(' ')?))) {
            Some((keyword @ ("HELP" | "TYPE"), (family, rest))) => (keyword, family, rest),
            Some(("UNIT", _)) => continue,
            _ if line == "# EOF" => continue,
            _ => {
                page.push_str(line);
                page.push('\n');
                continue;
            }
        };
        let (suffix, kind) = match types.get(family) {
            Some(&"counter") => ("_total", "counter"),
            Some(&"info") => ("_info", "gauge"),
            other => ("", other.copied().unwrap_or("untyped")),
        };
        let rest = if keyword == "TYPE" { kind } else { rest };
        let _ = writeln!(page, "# {keyword} {family}{suffix} {rest}");
    }
    page
}
