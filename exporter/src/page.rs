//! Snapshots and runs to text: the metrics in both text forms, the landing page, the answers of the probe. No sockets, no clock.

use crate::inventory::Learned;
use crate::ledger::{CheckView, Snapshot};
use crate::metrics;
use crate::run_dir::Pause;
use crate::verdict::Run;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The text forms of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    OpenMetrics,
    Classic,
}

impl Form {
    /// OpenMetrics for whoever names it, the classic form for everybody else.
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

/// The metrics page.
pub fn metrics(snapshot: Snapshot, form: Form) -> Result<String, std::fmt::Error> {
    let page = metrics::openmetrics(snapshot)?;
    Ok(match form {
        Form::OpenMetrics => page,
        Form::Classic => classic(&page),
    })
}

/// OpenMetrics to the classic text form, version 0.0.4: a family is named like its samples, an info is a gauge, units and the end
/// are not written.
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

/// The landing page: what each check found, for people.
pub fn landing(snapshot: &Snapshot, telemetry_path: &str) -> String {
    let rest = match &snapshot.pause {
        Pause::Until(until) => format!("<p>The checks rest until {until}: a repair is in progress.</p>"),
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

/// The answer of a probe.
#[derive(Debug, Serialize)]
pub struct ProbeAnswer<'a> {
    #[serde(rename = "bootID")]
    boot_id: &'a str,
    /// Of the physical GPUs; a probe of the network has none.
    #[serde(skip_serializing_if = "Inventories::is_empty")]
    inventory: Inventories,
    results: Vec<ProbeResult<'a>>,
}

/// The GPUs that the node should show, and those that the runs saw.
#[derive(Debug, Default, Serialize)]
pub struct Inventories {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Gpus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<Gpus>,
}

impl Inventories {
    fn is_empty(&self) -> bool {
        self.expected.is_none() && self.seen.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gpus {
    pub gpus: u32,
    /// Bus addresses, as far as the tools name them.
    pub pci: Vec<String>,
}

impl From<Learned> for Gpus {
    fn from(Learned { gpus, pci }: Learned) -> Gpus {
        Gpus { gpus, pci }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProbeResult<'a> {
    check: &'static str,
    verdict: &'static str,
    /// Null for a pass.
    reason: Option<&'static str>,
    detail: &'a str,
    started_at: Timestamp,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    debug: Option<Debug<'a>>,
}

/// What the tool printed, and what was not understood in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Debug<'a> {
    not_understood: &'a [String],
    /// Negative for a signal; null where nothing ran to its end.
    exit_status: Option<i32>,
    stdout: Option<&'a str>,
    stderr: Option<&'a str>,
}

/// How much of a run an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Results,
    WithOutput,
}

/// What a probe found, and on which boot.
pub fn probe_answer<'a>(boot_id: &'a str, inventory: Inventories, runs: &'a [Run], depth: Depth) -> ProbeAnswer<'a> {
    let debug = |run: &'a Run| Debug {
        not_understood: &run.not_understood,
        exit_status: run.printed.as_ref().map(|printed| printed.exit_status),
        stdout: run.printed.as_ref().map(|printed| printed.stdout.as_str()),
        stderr: run.printed.as_ref().map(|printed| printed.stderr.as_str()),
    };
    let result = |run: &'a Run| ProbeResult {
        check: run.check.as_str(),
        verdict: run.verdict().as_str(),
        reason: run.verdict().reason(),
        detail: &run.judgement.detail,
        started_at: run.started_at,
        seconds: run.seconds,
        debug: (depth == Depth::WithOutput).then(|| debug(run)),
    };
    ProbeAnswer { boot_id, inventory, results: runs.iter().map(result).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::PciGpu;
    use crate::judge::{Bounds, Ending, Known, judge};
    use crate::ledger::Ledger;
    use crate::metrics::{Kind, TABLE};
    use crate::parse::{Exit, Output};
    use crate::strikes::{Standing, Trigger};
    use crate::verdict::{Check, ToolName};
    use std::time::Duration;

    fn run(check: Check, stdout: &str) -> Run {
        let tool = match check {
            Check::RocmSmi => ToolName::RocmSmi,
            Check::AmdSmi => ToolName::AmdSmi,
            Check::Rocminfo => ToolName::Rocminfo,
            Check::Network => ToolName::Iperf3,
        };
        run_of(tool, stdout)
    }

    fn run_of(tool: ToolName, stdout: &str) -> Run {
        let check = tool.check();
        let output = Output { stdout: stdout.as_bytes(), stderr: b"", exit: Exit::Status(0) };
        let finding = judge(tool, Ending::Ended(output), Known::default(), Bounds::default());
        Run {
            check,
            started_at: Timestamp::from_second(1_795_348_980).unwrap(),
            seconds: 0.25,
            judgement: finding.judgement,
            facts: finding.facts,
            not_understood: finding.not_understood,
            printed: None,
        }
    }

    fn snapshot(runs: &[Run]) -> Snapshot {
        let ended_at = Timestamp::from_second(1_795_348_981).unwrap();
        let standing = |run: &Run| Standing::default().after(run, Trigger::Interval, ended_at);
        let checks = runs.iter().map(|run| (run.check, Duration::from_secs(30), standing(run)));
        let ledger = Ledger::new(Timestamp::from_second(1_795_340_000).unwrap(), checks);
        ledger.set_run_dir(Pause::No, false, Some(8));
        ledger.set_pci(Some(vec![PciGpu { address: "0000:05:00.0".into(), driver: Some("amdgpu".into()) }]));
        ledger.snapshot(ended_at, 0)
    }

    fn healthy() -> Vec<Run> {
        vec![
            run(Check::RocmSmi, include_str!("../testdata/rocm-smi/healthy.json")),
            run(Check::Rocminfo, include_str!("../testdata/rocminfo/healthy.txt")),
            run(Check::Network, include_str!("../testdata/iperf3/fast.json")),
        ]
    }

    fn page(runs: &[Run], form: Form) -> String {
        metrics(snapshot(runs), form).unwrap()
    }

    #[test]
    fn every_metric_of_the_table_is_on_the_page_of_a_healthy_node() {
        // Not every tool says everything.
        let others = [
            run_of(ToolName::AmdSmi, include_str!("../testdata/amd-smi/throttled.json")),
            run_of(ToolName::Speedtest, include_str!("../testdata/speedtest/healthy.json")),
        ];
        let page = page(&healthy(), Form::Classic) + &page(&others, Form::Classic);
        for metric in TABLE {
            let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
            assert!(page.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
            let sample =
                |line: &str| line.starts_with(metric.name) && line[metric.name.len()..].starts_with(['{', ' ']);
            assert!(page.lines().any(sample), "{}", metric.name);
        }
    }

    #[test]
    fn the_values_are_there_with_their_labels() {
        let page = page(&healthy(), Form::OpenMetrics);
        for line in [
            "ossci_check_consecutive_failures{check=\"rocm-smi\"} 0.0",
            "ossci_check_success{check=\"network\"} 1.0",
            "ossci_check_runs_total{check=\"rocminfo\"} 1.0",
            "ossci_check_result_info{check=\"rocm-smi\",verdict=\"passed\",reason=\"\"} 1",
            "ossci_check_last_run_timestamp_seconds{check=\"network\"} 1795348981.0",
            "ossci_gpus_expected 8.0",
            "ossci_gpus_found{check=\"rocminfo\"} 8.0",
            "ossci_gpu_temperature_celsius{gpu=\"0\",pci_bus=\"0000:05:00.0\",sensor=\"junction\"} 41.0",
            "ossci_checks_paused 0.0",
            "# EOF",
        ] {
            assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
        }
        assert!(page.contains("# TYPE ossci_check_runs counter\n"), "{page}");
        assert!(page.contains("# UNIT ossci_gpu_power_watts watts\n"), "{page}");
        assert!(!page.contains("node="));
    }

    #[test]
    fn corrected_errors_and_each_cause_of_throttling_have_their_series() {
        let page = page(&[run(Check::AmdSmi, include_str!("../testdata/amd-smi/throttled.json"))], Form::Classic);
        for line in [
            "ossci_check_success{check=\"amd-smi\"} 1",
            "ossci_gpu_correctable_errors{gpu=\"3\",pci_bus=\"0000:65:00.0\"} 17",
            "ossci_gpu_correctable_errors{gpu=\"4\",pci_bus=\"0000:85:00.0\"} 0",
            "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"power\"} 1",
            "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"socket-thermal\"} 1",
            "ossci_gpu_throttled{gpu=\"2\",pci_bus=\"0000:46:00.0\",cause=\"prochot\"} 0",
        ] {
            assert!(page.lines().any(|shown| shown.trim_end_matches(".0") == line), "{line}\n{page}");
        }
        assert_eq!(page.matches("\nossci_gpu_throttled{").count(), 8 * 5);
    }

    #[test]
    fn the_classic_form_has_neither_units_nor_an_end() {
        let page = page(&healthy(), Form::Classic);
        assert!(!page.contains("# UNIT") && !page.contains("# EOF"), "{page}");
        assert!(page.contains("# TYPE ossci_gpu_info gauge\n"), "{page}");
    }

    #[test]
    fn values_of_a_failed_check_are_withdrawn_and_its_status_stays() {
        let failed = run(Check::RocmSmi, include_str!("../testdata/rocm-smi/gpu-not-responding.json"));
        let page = page(&[failed], Form::Classic);
        assert!(!page.contains("ossci_gpu_temperature_celsius"), "{page}");
        assert!(page.contains("reason=\"gpu-not-responding\""), "{page}");
        assert!(page.contains("ossci_check_success{check=\"rocm-smi\"} 0"), "{page}");
        assert!(page.contains("ossci_gpus_found{check=\"rocm-smi\"} 8"), "{page}");
    }

    #[test]
    fn success_is_absent_after_unknown_and_before_the_first_run() {
        let page = page(&[run(Check::Network, include_str!("../testdata/iperf3/312-busy.json"))], Form::Classic);
        assert!(!page.contains("ossci_check_success"), "{page}");
        assert!(page.contains("reason=\"target-trouble\""), "{page}");
    }

    #[test]
    fn a_serial_with_quotes_and_newlines_is_one_label() {
        let stdout = r#"{"card0": {"PCI Bus": "0000:05:00.0", "Serial Number": "a\"b\nc\\d",
            "Temperature (Sensor junction) (C)": "41.0"}}"#;
        let page = page(&[run(Check::RocmSmi, stdout)], Form::Classic);
        assert!(page.contains(r#"serial="a\"b\nc\\d""#), "{page}");
    }

    #[test]
    fn the_landing_page_shows_verdicts_and_escapes_what_tools_print() {
        let mut odd = run(Check::RocmSmi, "{}");
        odd.judgement.detail = "<script>".to_string();
        let page = landing(&snapshot(&[odd]), "/metrics");
        assert!(page.contains("own-trouble") && page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_probe_answers_with_boot_and_results() {
        let runs = [run(Check::Rocminfo, include_str!("../testdata/rocminfo/seven-of-eight.txt"))];
        let expected = Some(Gpus { gpus: 8, pci: Vec::new() });
        assert_eq!(
            serde_json::to_string(&probe_answer("4c1", Inventories { expected, seen: None }, &runs, Depth::Results))
                .unwrap(),
            "{\"bootID\":\"4c1\",\"inventory\":{\"expected\":{\"gpus\":8,\"pci\":[]}},\"results\":[{\"check\":\"rocminfo\",\"verdict\":\"passed\",\"reason\":null,\
             \"detail\":\"7 GPUs\",\"startedAt\":\"2026-11-22T12:03:00Z\",\"seconds\":0.25}]}"
        );
    }
}
