//! Tests of the exporter without the other programs: scrapes by both supported Prometheus versions,
//! the OpenMetrics parser, and clock jumps.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ossci_lab::node_dir::NodeDir;
use ossci_lab::parts::{self, flag};
use ossci_lab::process::{Process, Program};
use ossci_lab::{environment, ports, wait};
use serde_json::{Value, json};

use crate::support::tool;

/// Timeout for one expected value; far longer than any takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A healthy node that runs the exporter and no other program.
struct Alone {
    node: NodeDir,
    address: String,
    _exporter: Process,
}

impl Drop for Alone {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(self.node.path());
        }
    }
}

/// Starts the exporter with a check interval of half a second.
fn start(name: &str, with: impl FnOnce(Program) -> Program) -> Alone {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = environment::temp_dir().join(format!("ossci-exporter-{name}-{}", std::process::id()));
    let node = NodeDir::create(&folder, "gpu-017", &environment::our_program("ossci-lab").unwrap()).unwrap();
    let address = format!("127.0.0.1:{}", ports::free().unwrap());
    let program = Program::new("exporter", environment::our_program("ossci-exporter").unwrap())
        .args([format!("--web.listen-address={address}"), "--node-name=gpu-017".to_owned()])
        .args([flag("web.probe-socket", &node.socket()), flag("path.procfs", &node.proc())])
        .args([flag("path.run-dir", &node.run()), flag("path.state-dir", &node.state())])
        .args(["rocm-smi", "rocminfo", "iperf3"].map(|tool| flag(&format!("tool.{tool}"), &node.tool(tool))))
        .args(["--check.interval=500ms", "--network.target=127.0.0.1"]);
    let exporter = with(program).start(&node.log("exporter")).unwrap();
    Alone { node, address, _exporter: exporter }
}

impl Alone {
    async fn page(&self, accept: &str) -> anyhow::Result<String> {
        let request = parts::http()?.get(format!("http://{}/metrics", self.address)).header("Accept", accept);
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    async fn value(&self, series: &str) -> anyhow::Result<f64> {
        let page = self.page("text/plain").await?;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.with_context(|| format!("no {series}"))?.parse().context("a value")
    }

    /// Waits until the value of a series satisfies `is`.
    async fn wait(&self, series: &str, is: impl Fn(f64) -> bool) -> f64 {
        let is = &is;
        let so = wait::until(series, PATIENCE, || async move {
            let value = self.value(series).await?;
            anyhow::ensure!(is(value), "its value is {value}");
            Ok(value)
        });
        so.await.unwrap()
    }

    async fn is_healthy(&self) {
        for check in ["rocm-smi", "rocminfo", "network"] {
            self.wait(&format!("ossci_check_success{{check=\"{check}\"}}"), |success| success == 1.0).await;
        }
        self.wait("ossci_gpus_expected", |gpus| gpus == 8.0).await;
    }
}

#[tokio::test]
async fn the_openmetrics_parser_accepts_the_page() {
    let alone = start("openmetrics", |program| program);
    alone.is_healthy().await;
    let page = alone.page("application/openmetrics-text;version=1.0.0").await.unwrap();
    let file = alone.node.path().join("page");
    fs::write(&file, page).unwrap();
    let script = "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n\
                  print(sum(len(family.samples) for family in parse(open(sys.argv[1]).read())))";
    let said = python(&["-c", script, &file.display().to_string()]).await;
    assert!(said.trim().parse::<u32>().unwrap() > 100, "{said}");
    // The parser rejects an invalid page, so it does not accept everything.
    fs::write(&file, "# TYPE a counter\na 1\n# EOF\n").unwrap();
    assert!(
        Program::new("python", "python3")
            .env("PYTHONPATH", client())
            .args(["-c", script])
            .arg(&file)
            .output(PATIENCE)
            .await
            .is_err()
    );
}

/// The folder in which Python finds prometheus-client.
fn client() -> PathBuf {
    tool("prometheus_client").ancestors().nth(2).unwrap().to_owned()
}

async fn python(args: &[&str]) -> String {
    let program = Program::new("python3, of which the package python3 has one", "python3").env("PYTHONPATH", client());
    program.args(args).output(PATIENCE).await.unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test]
async fn both_prometheus_versions_scrape_and_return_the_values() {
    let alone = start("prometheus", |program| program);
    alone.is_healthy().await;
    for name in ["prometheus-2", "prometheus"] {
        let folder = alone.node.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let config = json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": "ossci-exporter", "static_configs": [{"targets": [alone.address]}]}],
        });
        fs::write(folder.join("prometheus.yml"), config.to_string()).unwrap();
        let url = format!("http://127.0.0.1:{}", ports::free().unwrap());
        let _prometheus = Program::new(name, tool(name))
            .args([
                flag("config.file", &folder.join("prometheus.yml")),
                flag("storage.tsdb.path", &folder.join("data")),
            ])
            .arg(format!("--web.listen-address={}", url.trim_start_matches("http://")))
            .start(&alone.node.log(name))
            .unwrap();
        for (query, wanted) in [
            ("ossci_gpu_temperature_celsius{gpu=\"7\",pci_bus=\"0000:e5:00.0\",sensor=\"junction\"}", "48"),
            ("count(ossci_gpu_info{name!=\"\"})", "8"),
            ("ossci_check_success{check=\"network\"}", "1"),
            ("ossci_check_result_info{check=\"rocminfo\",verdict=\"passed\",reason=\"\"}", "1"),
            ("scrape_samples_scraped > bool 100", "1"),
            ("ossci_check_runs_total{check=\"rocm-smi\"} > bool 0", "1"),
        ] {
            let ask = reqwest::Url::parse_with_params(&format!("{url}/api/v1/query"), [("query", query)]).unwrap();
            let (ask, client) = (&ask, &parts::http().unwrap());
            let given = wait::until(format!("{name}: {query}"), PATIENCE, || async move {
                let answer = client.get(ask.clone()).send().await?.json::<Value>().await?;
                let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
                Ok(value.with_context(|| answer.to_string())?.to_owned())
            });
            assert_eq!(given.await.unwrap(), wanted, "{name}: {query}");
        }
    }
}

/// Sets the exporter's clock to the real time plus `hours`.
fn set_clock(file: &Path, hours: i64) {
    let new = file.with_extension("new");
    fs::write(&new, format!("{:+}h\n", hours)).unwrap();
    fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn a_clock_jump_neither_adds_strikes_nor_stops_the_checks() {
    const STRIKES: &str = "ossci_check_consecutive_failures{check=\"rocm-smi\"}";
    const RUNS: &str = "ossci_check_runs_total{check=\"rocm-smi\"}";
    const LAST: &str = "ossci_check_last_run_timestamp_seconds{check=\"rocm-smi\"}";
    const PAUSED: &str = "ossci_checks_paused";
    let clock = environment::temp_dir().join(format!("ossci-clock-{}", std::process::id()));
    set_clock(&clock, 0);
    let alone = start("clock", |program| {
        let program = program.env("LD_PRELOAD", tool("libfaketime")).env("FAKETIME_TIMESTAMP_FILE", &clock);
        // As in a real jump, the monotonic clock continues and the new time takes effect
        // immediately.
        program.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1")
    });
    alone.is_healthy().await;
    let real = alone.wait(LAST, |_| true).await;
    for hours in [3, -5, 2] {
        set_clock(&clock, hours);
        let offset = hours as f64 * 3600.0;
        alone.wait(LAST, |last| (last - real - offset).abs() < 600.0).await;
        // The next runs keep their interval: no run of the skipped hours is repeated or waited for.
        let (before, watch) = (alone.value(RUNS).await.unwrap(), ossci_lab::clock::Stopwatch::start());
        alone.wait(RUNS, |runs| runs >= before + 4.0).await;
        let runs = alone.value(RUNS).await.unwrap() - before;
        let most = watch.elapsed().as_secs_f64() / 0.25 + 2.0;
        assert!(runs <= most, "{runs} runs in {:?}", watch.elapsed());
        assert_eq!(alone.value(STRIKES).await.unwrap(), 0.0);
    }
    // A pause expires by the node's clock. Setting the clock back pauses the checks again; strikes
    // do not change.
    let until = ossci_lab::clock::now() + jiff::SignedDuration::from_hours(4);
    fs::write(alone.node.run().join("pause"), format!("{until}\n")).unwrap();
    alone.wait(PAUSED, |paused| paused == 1.0).await;
    set_clock(&clock, 6);
    alone.wait(PAUSED, |paused| paused == 0.0).await;
    let runs = alone.value(RUNS).await.unwrap();
    alone.wait(RUNS, |now| now >= runs + 2.0).await;
    set_clock(&clock, 2);
    alone.wait(PAUSED, |paused| paused == 1.0).await;
    assert_eq!(alone.value(STRIKES).await.unwrap(), 0.0);
    let _ = fs::remove_file(&clock);
}
