//! Tests of what every alert has to have: a severity, annotations, a runbook that exists, exported
//! metrics, and a route. Each fault is one sentence that names the file and the line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use ossci_lab::{environment, wait};
use ossci_remediator::metrics::{AgentMetrics, Metrics, Standings};
use regex::Regex;

use crate::support::{files, lab, run, tool};

/// One alert of a rule file.
#[derive(Debug, Default)]
struct Alert {
    name: String,
    file: String,
    line: usize,
    labels: Vec<(String, String)>,
    annotations: Vec<String>,
}

/// Parses the rendered rules line by line: we control the format, and a reader needs the line
/// number.
fn alerts_in(file: &str, text: &str) -> Vec<Alert> {
    let mut alerts: Vec<Alert> = Vec::new();
    let mut section = "";
    for (at, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix("  - alert: ") {
            alerts.push(Alert { name: name.to_owned(), file: file.to_owned(), line: at + 1, ..Alert::default() });
            section = "";
        }
        let Some(alert) = alerts.last_mut() else { continue };
        match (line, line.strip_prefix("      ")) {
            ("    labels:", _) => section = "labels",
            ("    annotations:", _) => section = "annotations",
            (_, Some(entry)) if !entry.starts_with(' ') => {
                let Some((key, value)) = entry.split_once(':') else { continue };
                match section {
                    "labels" => alert.labels.push((key.to_owned(), value.trim().trim_matches('"').to_owned())),
                    "annotations" => alert.annotations.push(format!("{key}:{value}")),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    alerts
}

impl Alert {
    fn has(&self, annotation: &str) -> bool {
        self.annotations.iter().any(|entry| entry.starts_with(&format!("{annotation}:")))
    }

    fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns what is missing, one sentence each.
    fn faults(&self, runbooks: &Path) -> Vec<String> {
        let Self { name, file, line, .. } = self;
        let mut faults = Vec::new();
        if self.label("severity").is_none() {
            faults.push(format!("{file}:{line}: alert {name} has no label severity; give it one"));
        }
        for annotation in ["summary", "description"] {
            if !self.has(annotation) {
                faults.push(format!("{file}:{line}: alert {name} has no annotation {annotation}; give it one"));
            }
        }
        let page = runbooks.join(format!("{}.md", name.to_lowercase()));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        for heading in ["What it means", "What the machine does by itself", "What to look at", "What to do"] {
            if !text.contains(&format!("\n## {heading}\n")) {
                faults.push(format!(
                    "{file}:{line}: the runbook of alert {name}, docs/runbooks/{}.md, has no part {heading:?}; write it",
                    name.to_lowercase()
                ));
            }
        }
        faults
    }
}

fn rule_files() -> Vec<(String, String)> {
    files("alerts", ".yml")
        .into_iter()
        .filter(|file| !file.to_string_lossy().ends_with(".test.yml"))
        .map(|file| {
            (format!("alerts/{}", file.file_name().unwrap().to_string_lossy()), std::fs::read_to_string(file).unwrap())
        })
        .filter(|(_, text)| text.contains("\ngroups:"))
        .collect()
}

/// Returns the metrics in a rule file that no program exports, one sentence each.
fn strangers(file: &str, text: &str, exported: &BTreeSet<String>) -> Vec<String> {
    let metric = Regex::new(r"\b(?:ossci_[a-z0-9_]+)\b").unwrap();
    let recorded = Regex::new(r"[a-z_]+:ossci_[a-z0-9_:]+").unwrap();
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let bare = recorded.replace_all(line, "");
        // Comments and annotations name metrics too, and those have to exist as well.
        for found in metric.find_iter(&bare) {
            if !exported.contains(found.as_str()) {
                faults.push(format!(
                    "{file}:{}: no program exports {}; correct the name or export it",
                    at + 1,
                    found.as_str()
                ));
            }
        }
    }
    faults
}

/// Returns the names of all alerts that we ship.
pub fn alert_names() -> BTreeSet<String> {
    rule_files().iter().flat_map(|(file, text)| alerts_in(file, text)).map(|alert| alert.name).collect()
}

/// Every series name of our programs, as Prometheus stores it.
pub fn exported() -> BTreeSet<String> {
    let exporter = ossci_exporter::show::metrics::TABLE.iter().map(|metric| metric.name.to_owned());
    // The tables and not a page: a family is on a page only while it has a series.
    let tables = [
        ("ossci_remediator", Metrics::TABLE),
        ("ossci_remediator", Standings::TABLE),
        ("ossci_agent", AgentMetrics::TABLE),
    ];
    let ours = tables.into_iter().flat_map(|(prefix, table)| table.iter().map(move |row| (prefix, row)));
    let ours = ours.map(|(prefix, (name, kind, _))| {
        let total = if kind.contains("Counter") || *kind == "Calls" { "_total" } else { "" };
        format!("{prefix}_{name}{total}")
    });
    exporter.chain(ours).collect()
}

#[test]
fn every_alert_has_its_annotations_and_its_runbook() {
    let runbooks = environment::repository().join("docs/runbooks");
    let alerts: Vec<Alert> = rule_files().iter().flat_map(|(file, text)| alerts_in(file, text)).collect();
    assert!(alerts.len() > 10, "{alerts:#?}");
    let faults: Vec<String> = alerts.iter().flat_map(|alert| alert.faults(&runbooks)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));

    let names: BTreeSet<String> = alerts.iter().map(|alert| format!("{}.md", alert.name.to_lowercase())).collect();
    let pages: BTreeSet<String> = files("docs/runbooks", ".md")
        .into_iter()
        .map(|page| page.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    let orphans: Vec<_> = pages.difference(&names).collect();
    assert!(orphans.is_empty(), "docs/runbooks has pages of alerts that do not exist: {orphans:?}");
}

/// Positions in the rule tests where an alert is asserted silent, and where it is asserted firing,
/// by alert name.
fn asserted(tests: &str) -> BTreeMap<String, (Vec<usize>, Vec<usize>)> {
    let evaluation = Regex::new(r"alertname: (\w+)[,\n]").unwrap();
    let mut places: BTreeMap<String, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for found in evaluation.captures_iter(tests) {
        let (at, name) = (found.get(0).unwrap().start(), found[1].to_owned());
        let rest = &tests[at..];
        let silent = rest.split("exp_alerts:").nth(1).is_some_and(|rest| rest.starts_with(" []"));
        let (silences, firings) = places.entry(name).or_default();
        if silent { silences.push(at) } else { firings.push(at) }
    }
    places
}

/// Alerts that no test asserts silent first and firing later, one sentence each.
fn untested(alerts: &[Alert], tests: &str) -> Vec<String> {
    let places = asserted(tests);
    let faults = alerts.iter().filter_map(|Alert { name, file, line, .. }| {
        let (silences, firings) = places.get(name).cloned().unwrap_or_default();
        // OssciHeartbeat always fires, so it is never silent.
        let fired =
            firings.iter().any(|fired| name == "OssciHeartbeat" || silences.iter().any(|silent| silent < fired));
        (!fired).then(|| format!("{file}:{line}: no test asserts {name} silent first and firing later; write one"))
    });
    faults.collect()
}

#[test]
fn every_alert_is_tested_silent_and_then_firing() {
    let tests: String =
        files("alerts", ".test.yml").iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let alerts: Vec<Alert> = rule_files().iter().flat_map(|(file, text)| alerts_in(file, text)).collect();
    let faults = untested(&alerts, &tests);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let without = tests.replace("  - {alertname: GPUHot,", "  - {alertname: Other,");
    assert_eq!(untested(&alerts, &without).len(), 1, "an alert that is never tested silent is not found");
}

#[test]
fn every_metric_in_a_rule_is_exported() {
    let exported = exported();
    let faults: Vec<String> = rule_files().iter().flat_map(|(file, text)| strangers(file, text, &exported)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_alert_links_to_its_own_runbook() {
    let mut linked = BTreeSet::new();
    for file in files("alerts/source", ".yml") {
        let text = std::fs::read_to_string(&file).unwrap();
        for alert in alerts_in(&file.display().to_string(), &text) {
            let link = format!("@runbooks@/{}", alert.name.to_lowercase());
            assert!(alert.annotations.iter().any(|entry| *entry == format!("runbook_url: {link}")), "{}", alert.name);
            linked.insert(alert.name);
        }
    }
    assert_eq!(linked, alert_names());
}

#[test]
fn a_fault_names_its_file_and_line() {
    let text =
        "groups:\n- name: g\n  rules:\n  - alert: Bare\n    expr: ossci_nothing > 1\n    labels:\n      check: x\n";
    let faults = alerts_in("alerts/g.yml", text)[0].faults(Path::new("/nonexistent"));
    assert!(faults.iter().any(|fault| fault == "alerts/g.yml:4: alert Bare has no label severity; give it one"));
    assert!(faults.iter().any(|fault| fault.contains("alerts/g.yml:4") && fault.contains("runbook of alert Bare")));
    let strangers = strangers("alerts/g.yml", text, &exported());
    assert_eq!(strangers, ["alerts/g.yml:5: no program exports ossci_nothing; correct the name or export it"]);
}

#[tokio::test]
async fn amtool_routes_every_alert_to_its_receiver() {
    let alerts: Vec<Alert> = rule_files().iter().flat_map(|(file, text)| alerts_in(file, text)).collect();
    for alert in &alerts {
        let expected = match (alert.label("remediation"), alert.label("severity")) {
            (Some(_), _) => "ossci-remediator",
            (None, Some("none")) => "blackhole",
            (None, _) => "people",
        };
        let labels: Vec<String> = [("alertname".to_owned(), alert.name.clone()), ("node".to_owned(), "n1".to_owned())]
            .iter()
            .chain(&alert.labels)
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let mut args = vec!["config", "routes", "test", "--config.file=alerts/alertmanager.yml"];
        args.extend(labels.iter().map(String::as_str));
        let said = run("amtool", &tool("amtool"), &args).await;
        assert_eq!(said.trim(), expected, "{}", alert.name);
    }
}

#[tokio::test]
async fn a_running_repair_never_inhibits_remediation_alerts() {
    let lab = lab();
    // After this story no other one kills an Alertmanager, which would lose its alerts.
    lab.result("alertmanager-killed").await;
    let facts = lab.facts().await;
    let url = format!("--alertmanager.url={}", facts.alertmanager);
    // No story has this node: the remediator counts the alert as one of an unknown node.
    let alerts: [&[&str]; 4] = [
        &["alertname=RepairRunning", "severity=none"],
        &["alertname=ExporterSilent", "severity=warning"],
        &["alertname=ChecksPausedLong", "severity=warning"],
        &["alertname=GPUCheckFailing", "severity=critical", "remediation=reboot", "check=rocm-smi"],
    ];
    for labels in alerts {
        let mut args = vec!["alert", "add", &url, "node=some-node", "cluster=lab"];
        args.extend(labels);
        run("amtool", &tool("amtool"), &args).await;
    }
    let query = |state: &'static str| {
        let url = url.clone();
        async move {
            let args = ["alert", "query", &url, state, "-o", "json", "node=some-node"];
            run("amtool", &tool("amtool"), &args).await
        }
    };
    let inhibited = wait::until("an alert is inhibited", Duration::from_secs(30), || async {
        let said = query("--inhibited").await;
        anyhow::ensure!(said.contains("ExporterSilent"), "{said}");
        Ok(said)
    });
    let inhibited = inhibited.await.unwrap();
    let active = query("--active").await;
    for name in ["RepairRunning", "ChecksPausedLong", "GPUCheckFailing"] {
        assert!(active.contains(name) && !inhibited.contains(name), "{name}: {active}\n{inhibited}");
    }
}
