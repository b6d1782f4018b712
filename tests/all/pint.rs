//! Tests of the alert rules with pint against the lab's Prometheus: whether the series of a rule
//! exist with its labels, whether both sides of a join ever match, how many alerts a rule would
//! have fired, and what it costs.
//!
//! Some series come from no simulated node: `amd-smi`, memory faults, unknown checks. The real
//! exporter renders recorded outputs into a page, and Prometheus scrapes that page.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::Path as UrlPath;
use axum::routing::get;
use ossci_lab::facts::Facts;
use ossci_lab::parts::prometheus::rule_files;
use ossci_lab::process::{Finished, Program};
use ossci_lab::{environment, parts, wait};
use serde_json::{Value, json};

use crate::support::{lab, part, tool};

/// Recorded outputs of `amd-smi`. Beside each, the output of `rocminfo` cannot be parsed and
/// `iperf3` finds no server.
const RECORDED: [&str; 2] = ["throttled", "uncorrectable"];
/// Series that exist once Prometheus has scraped all recorded pages.
const SEEN: [&str; 2] =
    [r#"ossci_gpu_throttled{cause="prochot"}"#, r#"ossci_check_result_info{reason="ecc-uncorrectable"}"#];

/// pint's checks, and the limits at which its findings count as faults. The lab has some dozens of
/// nodes that break on purpose.
const ASKED: &str = r#"
rule {
  alerts {
    range    = "1h"
    step     = "1m"
    resolve  = "5m"
    minCount = 60
    severity = "bug"
  }
  cost {
    maxSeries             = 2000
    maxTotalSamples       = 1000000
    maxEvaluationDuration = "5s"
    severity              = "bug"
  }
}
"#;

/// Returns the real exporter's page for one recorded output.
async fn page(folder: &Path, recorded: &str) -> String {
    let samples = environment::repository().join("exporter/testdata");
    let script = |name: &str, sample: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\ncat '{}'\n", samples.join(sample).display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let own = folder.display();
    let once = Program::new("ossci-exporter --once", environment::our_program("ossci-exporter").unwrap())
        .args(["--once", "--node-name=recorded", "--no-collector.rocm-smi", "--collector.amd-smi", "--gpus.expected=8"])
        .arg(format!("--tool.amd-smi={}", script("amd-smi", &format!("amd-smi/{recorded}.json"))))
        .arg(format!("--tool.rocminfo={}", script("rocminfo", "README.md")))
        .arg(format!("--tool.iperf3={}", script("iperf3", "iperf3/312-refused.json")))
        .args([format!("--path.state-dir={own}"), format!("--path.run-dir={own}"), "--network.target=127.0.0.1".into()])
        .arg(format!("--web.probe-socket={own}/socket"));
    let finished = once.finish(Duration::from_secs(60)).await.unwrap().expect("ossci-exporter --once did not exit");
    // The last lines of its log are on the other stream; a failed check is exit status 1.
    assert!(finished.stdout.contains("ossci_check_result_info{"), "{}", finished.said());
    finished.stdout
}

/// Recorded pages that the lab's Prometheis scrape until this is dropped.
struct Recorded {
    target: PathBuf,
    server: tokio::task::JoinHandle<()>,
}

impl Recorded {
    async fn show(facts: &Facts) -> Self {
        let mut pages = Vec::new();
        for recorded in RECORDED {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("recorded-{recorded}"));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            pages.push(page(&folder, recorded).await);
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let routes = Router::new().route(
            "/{at}",
            get(move |UrlPath(at): UrlPath<usize>| async move { pages.get(at).cloned().unwrap_or_default() }),
        );
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let targets: Vec<Value> = RECORDED
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let labels = json!({"node": format!("recorded-{name}"), "__metrics_path__": format!("/{at}")});
                json!({"targets": [address], "labels": labels})
            })
            .collect();
        let target = facts.dir.join("prometheus/targets/ossci-exporter/recorded.json");
        fs::write(&target, json!(targets).to_string()).unwrap();
        Self { target, server }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.target);
        self.server.abort();
    }
}

async fn pint(config: &Path, rules: &[PathBuf]) -> Finished {
    Program::new("pint", tool("pint"))
        .arg("--no-color")
        .arg(format!("--config={}", config.display()))
        .args(["lint", "--min-severity=bug", "--fail-on=bug"])
        .args(rules)
        .finish(Duration::from_secs(120))
        .await
        .unwrap()
        .expect("pint did not exit")
}

#[tokio::test]
async fn every_rule_reads_existing_series_and_costs_little() {
    let lab = lab();
    // After this story no other one kills a Prometheus, and every kind of node has been scraped.
    lab.result("prometheus-killed").await;
    lab.result("demo").await;
    let _part = part("pint against the lab's Prometheus");
    let facts = lab.facts().await;
    let recorded = Recorded::show(&facts).await;
    let http = parts::http().unwrap();
    for series in SEEN {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", facts.prometheus), [("query", series)]);
        let (http, url) = (&http, url.unwrap());
        let seen = wait::until(format!("Prometheus has {series}"), Duration::from_secs(30), || async {
            let answer: Value = serde_json::from_str(&parts::page(http, url.as_str()).await?)?;
            let found = answer.pointer("/data/result").and_then(Value::as_array).map_or(0, Vec::len);
            anyhow::ensure!(found > 0, "not yet");
            Ok(())
        });
        seen.await.unwrap();
    }

    let config = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pint.hcl");
    let server = format!("prometheus \"lab\" {{\n  uri     = \"{}\"\n  timeout = \"30s\"\n}}\n", facts.prometheus);
    fs::write(&config, format!("{server}{ASKED}")).unwrap();
    let rules = rule_files(&environment::repository().join("alerts")).unwrap();
    let said = pint(&config, &rules).await;
    assert!(said.status.success(), "{}", said.said());

    // pint detects a label value that no series has, a join whose sides never match, and a rule
    // that fires for every GPU.
    for (name, expression, told) in [
        ("value", r#"ossci_check_success{check="nvidia-smi"} == 0"#, "promql/series"),
        ("join", "ossci_gpu_temperature_celsius and on (gpu) ossci_check_success", "promql/vector_matching"),
        ("all", "ossci_gpu_temperature_celsius > 0", "alerts/count"),
    ] {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wrong-{name}.yml"));
        let rule =
            format!("groups:\n- name: wrong\n  rules:\n  - alert: Wrong\n    expr: '{expression}'\n    for: 0s\n");
        fs::write(&file, rule).unwrap();
        let said = pint(&config, &[file]).await;
        assert!(!said.status.success() && said.said().contains(told), "{expression}: {}", said.said());
    }
    drop(recorded);
}
