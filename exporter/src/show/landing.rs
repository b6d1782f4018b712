//! Landing page: the result of each check, for people. Changes nothing.

use jiff::Timestamp;

use crate::state::ledger::{CheckView, Snapshot};
use crate::state::run_dir::Pause;

/// Renders the landing page.
pub fn landing(snapshot: &Snapshot, telemetry_path: &str) -> String {
    let rest = match &snapshot.pause {
        Pause::Until(until) => format!("<p>The checks are paused until {until}: a repair is in progress.</p>"),
        Pause::Unreadable(error) => format!("<p>{}</p>", escaped(error)),
        Pause::No => String::new(),
    };
    let rows: String = snapshot.checks.iter().map(|view| row(view, snapshot.now)).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>OSSCI exporter</title></head><body>\n\
         <h1>OSSCI exporter</h1>\n{rest}\n<table>\n\
         <tr><th>check</th><th>verdict</th><th>reason</th><th>detail</th><th>strikes</th><th>last run</th></tr>\n{rows}</table>\n\
         <p><a href=\"{telemetry_path}\">Metrics</a>, version {}</p>\n</body></html>\n",
        env!("CARGO_PKG_VERSION"),
    )
}

fn row(view: &CheckView, now: Timestamp) -> String {
    let latest = view.standing.latest.as_ref();
    let (verdict, reason, detail) = match latest {
        Some(run) => (run.verdict().as_str(), run.verdict().reason().unwrap_or(""), run.judgement.detail.as_str()),
        None => ("", "", "no run yet"),
    };
    let last_run =
        view.standing.last_run.map_or(String::new(), |last| format!("{} s ago", now.duration_since(last).as_secs()));
    let cells =
        [view.check.as_str(), verdict, reason, detail, &view.standing.consecutive_failures.to_string(), &last_run];
    let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
    format!("<tr>{cells}</tr>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
