//! Benchmark of the cost of all rules in one Prometheus: fleets of 500 and of 5,000 nodes with 8
//! GPUs each. They are really scraped, from pages that a small server generates, and evaluated
//! every 30 s.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Path as UrlPath;
use axum::routing::get;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Figure;
use crate::parts::prometheus::rule_files;
use crate::parts::{self, flag};
use crate::process::Program;
use crate::setup::Tools;
use crate::{clock, environment, ports, wait};

const SMALL: usize = 500;
const LARGE: usize = 5_000;
const GPUS: usize = 8;
/// Nodes per page.
const PAGE: usize = 250;
const INTERVAL: Duration = Duration::from_secs(30);
/// Number of evaluations that are measured. The slowest counts for a group's share of its interval.
/// The fastest counts for the slope: no scrape, garbage collection or other program disturbed it.
const EVALUATIONS: usize = 5;
/// The largest allowed share of its interval for a group.
const SHARE: f64 = 0.1;
/// A query that only reads series. If it grows faster than the fleet, Prometheus' own memory is the
/// cause, not a join of ours.
const READING: &str = "count(ossci_gpu_throttled)";
const READINGS: usize = 15;
/// Number of rules that are printed with their cost.
const SHOWN: usize = 8;
/// The largest allowed factor for ten times the nodes: linear, with a margin for noise.
const SLOPE: f64 = 12.0;

/// Prints one line per group and one for the slope; returns whether all targets were met.
pub async fn run() -> Result<bool> {
    let small = measure(SMALL).await?;
    let large = measure(LARGE).await?;
    let mut met = true;
    for (name, seconds) in &large.groups {
        let seconds = seconds.iter().copied().fold(0.0, f64::max);
        let figure = Figure {
            name: format!("{name}, {LARGE} nodes, slowest of {EVALUATIONS}"),
            value: seconds,
            unit: "s",
            peer: INTERVAL.as_secs_f64(),
            target: SHARE,
        };
        met &= figure.print();
    }
    let total = |fleet: &Cost| fleet.groups.values().map(|seconds| fastest(seconds)).sum::<f64>();
    let slope = Figure {
        name: format!("all groups, {LARGE} over {SMALL} nodes, fastest of {EVALUATIONS}"),
        value: total(&large),
        unit: "s",
        peer: total(&small),
        target: SLOPE,
    };
    met &= slope.print();
    println!("\nthe most expensive rules at {LARGE} nodes, and how many times the cost at {SMALL} nodes:");
    let mut rules: Vec<_> = large.rules.iter().map(|(name, seconds)| (name, fastest(seconds))).collect();
    rules.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    for (name, seconds) in rules.into_iter().take(SHOWN) {
        let few = small.rules.get(name).map_or(f64::NAN, |seconds| fastest(seconds));
        println!("{name:<44} {seconds:>10.4} s    at {SMALL} {few:>8.4} s  {:>5.1} times", seconds / few);
    }
    let (few, many) = (small.reading, large.reading);
    println!("{READING:<44} {many:>10.4} s    at {SMALL} {few:>8.4} s  {:>5.1} times", many / few);
    Ok(met)
}

/// The seconds of each evaluation.
#[derive(Default)]
struct Cost {
    groups: BTreeMap<String, Vec<f64>>,
    rules: BTreeMap<String, Vec<f64>>,
    /// The fastest run of `READING`.
    reading: f64,
}

fn fastest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

async fn measure(nodes: usize) -> Result<Cost> {
    let dir = environment::temp_dir().join(format!("ossci-bench-rules-{}-{nodes}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let cost = with_prometheus(nodes, &dir).await;
    fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    cost
}

async fn with_prometheus(nodes: usize, dir: &Path) -> Result<Cost> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("listening for the scrapes")?;
    let fleet = listener.local_addr()?.to_string();
    let pages =
        Router::new().route("/page/{page}", get(move |UrlPath(at): UrlPath<usize>| async move { page(at, nodes) }));
    let server = tokio::spawn(async move { axum::serve(listener, pages).await });

    let jobs: Vec<Value> = (0..nodes.div_ceil(PAGE))
        .map(|at| {
            json!({ "job_name": format!("page-{at}"), "metrics_path": format!("/page/{at}"), "honor_labels": true,
                    "static_configs": [{ "targets": [fleet],
                        "labels": { "job": "ossci-exporter", "instance": format!("page-{at}") } }] })
        })
        .collect();
    let config = json!({
        "global": { "scrape_interval": "15s", "evaluation_interval": format!("{}s", INTERVAL.as_secs()) },
        "rule_files": rule_files(&environment::repository().join("alerts"))?,
        "scrape_configs": jobs,
    });
    let file = dir.join("prometheus.yml");
    fs::write(&file, config.to_string()).with_context(|| format!("writing {}", file.display()))?;
    let address = format!("127.0.0.1:{}", ports::free()?);
    let mut prometheus = Program::new("prometheus", Tools::find()?.get("prometheus")?)
        .args([flag("config.file", &file), flag("storage.tsdb.path", &dir.join("data"))])
        .arg(format!("--web.listen-address={address}"))
        .start(&dir.join("prometheus.log"))?;
    let cost = slowest(&address, nodes).await;
    prometheus.stop(Duration::from_secs(20)).await;
    server.abort();
    cost
}

/// Polls the groups until enough evaluations of the whole fleet have finished.
async fn slowest(address: &str, nodes: usize) -> Result<Cost> {
    let client = parts::http()?;
    let client = &client;
    let count = format!("http://{address}/api/v1/query?query=count(ossci_checks_paused)");
    wait::until(format!("{nodes} nodes are scraped"), Duration::from_secs(120), || async {
        let answer: Value = serde_json::from_str(&parts::page(client, &count).await?)?;
        let seen = answer.pointer("/data/result/0/value/1").and_then(Value::as_str).unwrap_or("0").to_owned();
        anyhow::ensure!(seen == nodes.to_string(), "{seen} so far");
        Ok(())
    })
    .await?;
    let url = format!("http://{address}/api/v1/rules");
    let mut cost = Cost::default();
    // The first evaluation after this has no samples of the recording rules yet; it does not count.
    let mut last = clock::now() + INTERVAL;
    for _ in 0..EVALUATIONS {
        let groups = wait::until("the next evaluation", INTERVAL * 4, || async {
            let rules: Value = serde_json::from_str(&parts::page(client, &url).await?)?;
            let groups = rules.pointer("/data/groups").and_then(Value::as_array).context("no groups")?;
            let oldest = groups.iter().map(evaluated).collect::<Result<Vec<_>>>()?.into_iter().min();
            let oldest = oldest.context("no groups")?;
            anyhow::ensure!(oldest > last, "not yet");
            Ok((oldest, groups.clone()))
        });
        let (oldest, groups) = groups.await?;
        last = oldest;
        for group in &groups {
            cost.add(group);
        }
    }
    let url = format!("http://{address}/api/v1/query?stats=all&query={READING}");
    let mut readings = Vec::new();
    for _ in 0..READINGS {
        let answer = wait::until("an answer", Duration::from_secs(60), || parts::page(client, &url)).await?;
        let answer: Value = serde_json::from_str(&answer)?;
        readings.extend(answer.pointer("/data/stats/timings/execTotalTime").and_then(Value::as_f64));
    }
    cost.reading = fastest(&readings);
    Ok(cost)
}

/// The time at which the last evaluation of a group began.
fn evaluated(group: &Value) -> Result<Timestamp> {
    group["lastEvaluation"].as_str().context("no time of evaluation")?.parse().context("the time of an evaluation")
}

impl Cost {
    fn add(&mut self, group: &Value) {
        note(&mut self.groups, group);
        for rule in group["rules"].as_array().into_iter().flatten() {
            note(&mut self.rules, rule);
        }
    }
}

/// Records the latest evaluation of a group or a rule.
fn note(times: &mut BTreeMap<String, Vec<f64>>, of: &Value) {
    let name = of["name"].as_str().unwrap_or_default().to_owned();
    times.entry(name).or_default().push(of["evaluationTime"].as_f64().unwrap_or_default());
}

/// The metrics of some nodes' exporters: all healthy, but every hundredth has a failing GPU check.
fn page(at: usize, nodes: usize) -> String {
    let now = clock::now().as_second();
    let mut text = String::new();
    for node in (at * PAGE)..nodes.min((at + 1) * PAGE) {
        let failing = node % 100 == 0;
        let _ = writeln!(text, "ossci_exporter_start_time_seconds{{node=\"n{node}\"}} {}", now - 3_600);
        let _ = writeln!(text, "ossci_checks_paused{{node=\"n{node}\"}} 0\nossci_gpus_expected{{node=\"n{node}\"}} 8");
        let _ = writeln!(text, "ossci_exporter_config_last_reload_successful{{node=\"n{node}\"}} 1");
        for check in ["rocm-smi", "rocminfo", "network"] {
            let failed = failing && check == "rocm-smi";
            let labels = format!("node=\"n{node}\",check=\"{check}\"");
            let (count, success) = if failed { (4, 0) } else { (0, 1) };
            let verdict = if failed { "failed\",reason=\"gpu-missing" } else { "passed\",reason=\"" };
            let _ = writeln!(
                text,
                "ossci_check_consecutive_failures{{{labels}}} {count}\n\
                 ossci_check_success{{{labels}}} {success}\n\
                 ossci_check_last_run_age_seconds{{{labels}}} 9\n\
                 ossci_check_interval_seconds{{{labels}}} 30\n\
                 ossci_check_result_info{{{labels},verdict=\"{verdict}\"}} 1"
            );
        }
        let _ = writeln!(text, "ossci_exporter_time_seconds{{node=\"n{node}\"}} {now}");
        for gpu in 0..GPUS {
            let of_gpu = format!("node=\"n{node}\",gpu=\"{gpu}\",pci_bus=\"0000:{gpu:02x}:00.0\"");
            let port = format!("node=\"n{node}\",device=\"mlx5_{gpu}\",port=\"1\"");
            let _ = writeln!(text, "ossci_fabric_port_bytes_per_second{{{port}}} 5e10");
            for name in ["correctable_errors", "deferred_errors", "uncorrectable_errors"] {
                let _ = writeln!(text, "ossci_gpu_{name}{{{of_gpu}}} 0");
            }
            for name in ["pcie_lanes", "pcie_max_lanes"] {
                let _ = writeln!(text, "ossci_gpu_{name}{{{of_gpu}}} 16");
            }
            for (state, links) in [("up", 7), ("down", 0), ("disabled", 1)] {
                let _ = writeln!(text, "ossci_gpu_xgmi_links{{{of_gpu},state=\"{state}\"}} {links}");
            }
            for state in ["retired", "pending", "unreservable"] {
                let _ = writeln!(text, "ossci_gpu_bad_pages{{{of_gpu},state=\"{state}\"}} 0");
            }
            for cause in ["power", "socket-thermal", "memory-thermal", "vr-thermal", "prochot"] {
                let _ = writeln!(text, "ossci_gpu_throttled{{{of_gpu},cause=\"{cause}\"}} 0");
            }
            for (sensor, celsius) in [("edge", 40), ("junction", 45), ("memory", 50)] {
                let _ = writeln!(text, "ossci_gpu_temperature_celsius{{{of_gpu},sensor=\"{sensor}\"}} {celsius}");
            }
            for sensor in ["junction", "memory"] {
                for (limit, celsius) in [("slowdown", 100), ("shutdown", 110)] {
                    let _ = writeln!(
                        text,
                        "ossci_gpu_temperature_limit_celsius{{{of_gpu},sensor=\"{sensor}\",limit=\"{limit}\"}} {celsius}"
                    );
                }
            }
            let _ = writeln!(text, "ossci_gpu_power_watts{{node=\"n{node}\",gpu=\"{gpu}\"}} 140");
        }
    }
    text
}
