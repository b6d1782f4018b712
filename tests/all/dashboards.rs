//! Tests of Grafana's dashboards: Grafana's own types and its linter accept them, each panel is one
//! that a person can read, and each query answers on a recorded fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use ossci_lab::dashboards::{self, Panel, filled_in};
use ossci_lab::environment;
use ossci_lab::recorded::{Recorded, Recording};
use regex::Regex;
use serde_json::{Value, json};

use crate::rulebook;
use crate::support::{files, part, tool};

/// The most series that a panel draws, and the most rows of a table.
const DRAWN: usize = 50;
const ROWS: usize = 100;

fn text<'a>(panel: &'a Panel, pointer: &str) -> &'a str {
    panel.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(panel: &Panel, pointer: &str) -> u64 {
    panel.json.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// Returns what makes the panel hard to read or wrong, one sentence each.
fn faults(panel: &Panel) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |wrong: bool, what: &str| {
        if wrong {
            faults.push(format!("{}: {what}", panel.title()));
        }
    };
    let (kind, about) = (text(panel, "/type"), text(panel, "/description"));
    fault(about.len() < 5 || !about.ends_with('.'), "it has no description");
    fault(text(panel, "/fieldConfig/defaults/unit").is_empty(), "it has no unit");
    fault(text(panel, "/fieldConfig/defaults/noValue").is_empty(), "it has no text for no data");
    let steps = panel.json.pointer("/fieldConfig/defaults/thresholds/steps").and_then(Value::as_array);
    let limited = steps.is_some_and(|steps| steps.len() > 1);
    fault(!limited && !about.contains("No threshold: "), "it has neither a threshold nor a reason for none");
    fault(panel.targets().is_empty(), "it asks nothing");
    fault(number(panel, "/gridPos/x") + number(panel, "/gridPos/w") > 24, "it is wider than the grid");
    let now = ["stat", "table"].contains(&kind);
    for target in panel.targets() {
        let expr = target["expr"].as_str().unwrap_or_default();
        fault(target["instant"] != now, "a number or a table asks as of now, and the others over time");
        fault((kind == "table") != (target["format"] == "table"), "only a table asks for a table");
        fault(is_raw_counter(expr), &format!("a counter without a rate or an increase: {expr}"));
        fault(
            !now && expr.contains("topk(") && !expr.contains("@ end()") && !expr.contains("topk(20"),
            "other series at each point",
        );
    }
    faults
}

/// Whether a counter is not the argument of `rate` or `increase`.
fn is_raw_counter(expr: &str) -> bool {
    let counter = Regex::new(r"\w+(?:_total|_bucket)\b\{").unwrap();
    counter.find_iter(expr).any(|found| {
        let before = &expr[..found.start()];
        let counted = before.ends_with("count by (cluster, node) (");
        !(before.ends_with("rate(") || before.ends_with("increase(") || counted)
    })
}

fn panels() -> Vec<Panel> {
    let all = dashboards::panels(&environment::repository().join("grafana")).unwrap();
    assert!(all.len() > 50, "{} panels", all.len());
    all
}

#[test]
fn each_panel_can_be_read() {
    let faults: Vec<String> = panels().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(is_raw_counter("sum(a_total{x=\"y\"})") && !is_raw_counter("sum(rate(a_total{x=\"y\"}[5m]))"));
}

#[test]
fn no_panel_lies_on_another() {
    let mut taken: BTreeMap<(String, u64, u64), String> = BTreeMap::new();
    for panel in panels() {
        let at = |name: &str| number(&panel, &format!("/gridPos/{name}"));
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                let before = taken.insert((panel.file.clone(), x, y), panel.title());
                assert!(before.is_none(), "{} lies on {}", panel.title(), before.unwrap());
            }
        }
    }
}

#[test]
fn each_alert_has_a_panel_and_each_metric_a_program() {
    let panels = panels();
    let texts: Vec<&str> = panels.iter().map(|panel| text(panel, "/description")).collect();
    let names = Regex::new(r"\b[A-Z][A-Za-z]+\b").unwrap();
    let listed: BTreeSet<&str> = texts
        .iter()
        .filter_map(|text| text.split_once("Alert: ").or_else(|| text.split_once("Alerts: ")))
        .flat_map(|(_, list)| names.find_iter(list.split('.').next().unwrap_or_default()).map(|name| name.as_str()))
        .collect();
    let alerts = rulebook::alert_names();
    let missing: Vec<_> = alerts.iter().filter(|alert| !listed.contains(alert.as_str())).collect();
    assert!(missing.is_empty(), "no panel is about {missing:?}");
    let unknown: Vec<_> = listed.iter().filter(|name| !alerts.contains(**name)).collect();
    assert!(unknown.is_empty(), "there is no alert {unknown:?}");

    let exported = rulebook::exported();
    let metric = Regex::new(r"\b([a-z_]+:)?(ossci_[a-z0-9_]+)(:[a-z0-9_]+)?\b").unwrap();
    let records = std::fs::read_to_string(environment::repository().join("alerts/recording.yml")).unwrap();
    let mut strangers = Vec::new();
    for panel in &panels {
        for target in panel.targets() {
            let expr = target["expr"].as_str().unwrap();
            for found in metric.captures_iter(expr) {
                let name = found[2].trim_end_matches("_bucket");
                if found.get(1).is_some() && records.contains(&format!("record: {}\n", &found[0])) {
                    continue;
                }
                if !exported.contains(name) && !exported.contains(&found[2]) {
                    strangers.push(format!("{}: {}", panel.title(), &found[0]));
                }
            }
        }
    }
    assert!(strangers.is_empty(), "no program exports:\n{}", strangers.join("\n"));
}

#[test]
fn each_link_leads_to_a_dashboard() {
    let uids: BTreeSet<String> = files("grafana", ".json")
        .iter()
        .map(|file| serde_json::from_str::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap())
        .map(|dashboard| dashboard["uid"].as_str().unwrap().to_owned())
        .collect();
    let link = Regex::new(r"/d/([a-z-]+)\?").unwrap();
    let mut links = 0;
    for panel in panels() {
        for found in link.captures_iter(&panel.json.to_string()) {
            links += 1;
            assert!(uids.contains(&found[1]), "{}: there is no dashboard {}", panel.title(), &found[1]);
        }
    }
    assert!(links > 5, "{links} links");
}

/// A folder of its own, empty.
fn folder(name: &str) -> PathBuf {
    let dir = environment::temp_dir().join(format!("ossci-dashboards-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

/// Returns what dashboard-judge prints; `Err` if it refuses a file.
async fn judged(files: &[PathBuf]) -> Result<String, String> {
    let program = ossci_lab::process::Program::new("dashboard-judge", tool("dashboard-judge"));
    let lint = environment::repository().join("grafana/.lint");
    let ran = program.arg(&lint).args(files).output(std::time::Duration::from_secs(60)).await;
    ran.map_err(|error| format!("{error:#}"))
}

#[tokio::test]
async fn grafanas_types_and_its_linter_accept_them() {
    let shipped = files("grafana", ".json");
    assert_eq!(judged(&shipped).await, Ok(format!("{} dashboards accepted\n", shipped.len())));

    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&shipped[0]).unwrap()).unwrap();
    let mut strange = whole.clone();
    strange["panels"][1]["colour"] = json!("blue");
    let mut raw = whole.clone();
    raw["panels"][1]["targets"][0]["expr"] = json!("ossci_check_runs_total{");
    let mut typed = whole;
    typed["panels"][1]["gridPos"]["w"] = json!("wide");
    let dir = folder("wrong");
    for (wrong, says) in [(strange, "colour"), (raw, "target-promql-rule"), (typed, "gridPos")] {
        let file = dir.join("wrong.json");
        std::fs::write(&file, wrong.to_string()).unwrap();
        let said = judged(&[file]).await.expect_err("a wrong dashboard was accepted");
        assert!(said.contains(says), "{says}: {said}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Asks every query; returns what is wrong with the answers.
async fn answers(recorded: &Recorded, all: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for panel in panels() {
        let mut series = 0;
        for target in panel.targets() {
            let query = filled_in(target["expr"].as_str().unwrap(), "1h", "20m", "5m");
            let answer = match target["instant"] == true {
                true => recorded.instant(&query).await,
                false => recorded.range(&query, 3_000, 300).await,
            };
            match answer {
                Err(error) => faults.push(format!("{}: {query}: {error:#}", panel.title())),
                Ok(found) if found.is_empty() && all => faults.push(format!("{}: no data: {query}", panel.title())),
                Ok(found) => series += found.len(),
            }
        }
        let most = if text(&panel, "/type") == "table" { ROWS * panel.targets().len() } else { DRAWN };
        if series > most {
            faults.push(format!("{}: {series} series, more than {most}", panel.title()));
        }
    }
    faults
}

#[tokio::test]
async fn each_query_answers_on_a_recorded_fleet() {
    let _part = part("dashboards on a recorded fleet");
    let _ = rustls::crypto::ring::default_provider().install_default();
    let fleet = Recording { nodes: 500, length: 3_600, step: 300, second_cluster: Some("west") };
    let one = Recording { nodes: 1, second_cluster: None, ..fleet };
    let none = Recording { nodes: 0, second_cluster: None, ..fleet };
    // Without nodes, and on one node that is not well in one way only, some have no data.
    for (recording, all) in [(fleet, true), (one, false), (none, false)] {
        let dir = folder("recorded");
        let recorded = Recorded::start(&dir, recording).await.unwrap();
        let faults = answers(&recorded, all).await;
        recorded.stop().await;
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(faults.is_empty(), "{recording:?}:\n{}", faults.join("\n"));
    }
}

#[test]
fn the_controllers_series_keep_their_node() {
    let text = std::fs::read_to_string(environment::repository().join("deploy/monitoring/monitoring.yaml")).unwrap();
    let monitors: Vec<&str> = text.split("\n---\n").filter(|object| object.contains("kind: PodMonitor")).collect();
    let of = |name: &str| monitors.iter().find(|object| object.contains(&format!("\n  name: {name}\n"))).unwrap();
    assert!(of("ossci-exporter").contains("targetLabel: node"));
    // A target label of this name would rename that of `ossci_remediator_node_info`.
    assert!(!of("ossci-remediator").contains("targetLabel: node"));
}
