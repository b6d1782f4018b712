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

/// Recorded outputs of `amd-smi`, and what `iperf3` says beside each. `rocminfo` cannot be parsed
/// there.
const RECORDED: [(&str, &str); 4] = [
    ("health", "unable to connect to server: Connection refused"),
    ("throttled", "unable to connect to server: Connection refused"),
    ("uncorrectable", "unable to connect to server: No route to host"),
    ("bad-pages", "unable to connect to server: No route to host"),
];
/// Series that exist once Prometheus has scraped all recorded pages.
const SEEN: [&str; 5] = [
    r#"ossci_gpu_xgmi_links{state="down"}"#,
    r#"ossci_gpu_throttled{cause="prochot"}"#,
    r#"ossci_check_result_info{reason="ecc-uncorrectable"}"#,
    r#"ossci_check_result_info{reason="bad-pages"}"#,
    r#"ossci_check_result_info{reason="network-unreachable"}"#,
];

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

/// Returns the real exporter's page for one recorded output. The checks have passed before, and a
/// GPU on the bus has no driver, a fabric port is slow.
async fn page(folder: &Path, recorded: &str, iperf3: &str) -> String {
    let gpu = folder.join("sys/bus/pci/devices/0000:f5:00.0");
    fs::create_dir_all(&gpu).unwrap();
    fs::write(gpu.join("vendor"), "0x1002\n").unwrap();
    fs::write(gpu.join("class"), "0x120000\n").unwrap();
    let port = folder.join("sys/class/infiniband/mlx5_0/ports/1");
    fs::create_dir_all(&port).unwrap();
    fs::write(port.join("state"), "4: ACTIVE\n").unwrap();
    fs::write(port.join("rate"), "10 Gb/sec (4X SDR)\n").unwrap();
    let samples = environment::repository().join("exporter/testdata");
    let prints = |sample: &str| format!("cat '{}'", samples.join(sample).display());
    let well = [prints("amd-smi/healthy.json"), prints("rocminfo/healthy.txt"), prints("iperf3/fast.json")];
    once(folder, &well).await;
    let says = format!("echo '{{\"error\": \"{iperf3}\"}}'");
    let page = once(folder, &[prints(&format!("amd-smi/{recorded}.json")), prints("README.md"), says]).await;
    assert!(page.contains("ossci_check_result_info{"), "{page}");
    page
}

/// Runs the exporter once with these scripts in place of amd-smi, rocminfo and iperf3.
async fn once(folder: &Path, scripts: &[String; 3]) -> String {
    let tool = |name: &str, script: &str| {
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        format!("--tool.{name}={}", path.display())
    };
    let [amd_smi, rocminfo, iperf3] = scripts;
    let own = folder.display();
    let once = Program::new("ossci-exporter --once", environment::our_program("ossci-exporter").unwrap())
        .args(["--once", "--node-name=recorded", "--no-collector.rocm-smi", "--collector.amd-smi"])
        .args([tool("amd-smi", amd_smi), tool("rocminfo", rocminfo), tool("iperf3", iperf3)])
        .args([format!("--path.state-dir={own}"), format!("--path.run-dir={own}"), format!("--path.sysfs={own}/sys")])
        .args([
            "--network.target=127.0.0.1".into(),
            "--gpus.expected=8".into(),
            format!("--web.probe-socket={own}/socket"),
        ]);
    let finished = once.finish(Duration::from_secs(60)).await.unwrap().expect("ossci-exporter --once did not exit");
    // The last lines of its log are on the other stream; a failed check is exit status 1.
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
        for (recorded, iperf3) in RECORDED {
            let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("recorded-{recorded}"));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).unwrap();
            pages.push(page(&folder, recorded, iperf3).await);
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
            .map(|(at, (name, _))| {
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
