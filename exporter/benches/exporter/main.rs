//! Benchmark of the exporter against its targets and its peers, in the same minute. Not a test: it
//! prints a table and never fails.
//!
//! ```text
//! make bench-exporter                                       everything, with the peers
//! cargo bench -p ossci-exporter --bench exporter -- quick   small counts, to see that it works
//! ```
//!
//! Peers: node_exporter, from `NODE_EXPORTER=PATH` or built by go from
//! tests/lab/tools/node_exporter; Python with prometheus-client, from `PYTHON=PATH` of an
//! interpreter that has it. A missing peer is reported as missing. The D state needs root and loop
//! devices.
#![allow(clippy::disallowed_methods, reason = "this program starts programs and watches the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

mod measure;
mod node;
#[path = "../../tests/all/wait.rs"]
mod wait;

use measure::{Spread, seconds};
use node::{BenchNode, Peer, TOOLS, cpu_seconds, resident_bytes, scrape};
use ossci_exporter::ending::{Ending, Exit};
use ossci_exporter::facts::{Facts, Gpu};
use ossci_exporter::judge::{Bounds, Known, find};
use ossci_exporter::parse::ToolName;
use ossci_exporter::parse::{Output, parse};
use ossci_exporter::run::Run;
use ossci_exporter::show::metrics::page::{Form, metrics};
use ossci_exporter::state::ledger::Ledger;
use ossci_exporter::strikes::{Standing, Trigger};
use ossci_exporter::verdict::Check;
use std::path::Path;
use std::time::Duration;

/// Numbers of measurements.
#[derive(Clone, Copy)]
struct Counts {
    scrapes: usize,
    cycles: u32,
}

const FULL: Counts = Counts { scrapes: 1000, cycles: 200 };
const QUICK: Counts = Counts { scrapes: 50, cycles: 10 };

fn main() {
    let quick = std::env::args().any(|argument| argument == "quick");
    let counts = if quick { QUICK } else { FULL };
    println!("{:62} {:>28}  {:7} target", "measured", "value", "");
    parsers();
    pages();
    program(counts);
    binary();
}

/// Prints a value that has no target.
fn row(what: &str, value: &str) {
    println!("{what:62} {value:>28}");
}

fn judged(what: &str, value: &str, target: &str, met: bool) {
    println!("{what:62} {value:>28}  {:7} {target}", if met { "met" } else { "MISSED" });
}

fn micros(seconds: f64) -> String {
    format!("{:.1} us", seconds * 1e6)
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

fn output(stdout: &[u8]) -> Output<'_> {
    Output { stdout, stderr: b"", exit: Exit::Status(0) }
}

fn parsers() {
    let partitioned = sample("rocm-smi/partitioned.json");
    let time = seconds(|| parse(ToolName::RocmSmi, output(&partitioned)));
    judged("parse, 64 partitions, rocm-smi JSON", &micros(time), "< 200 us", time < 200e-6);
    let amd = sample("amd-smi/partitioned.json");
    row("parse, 32 partitions, amd-smi JSON (three calls)", &micros(seconds(|| parse(ToolName::AmdSmi, output(&amd)))));
    // Ratios to a peer of the same run, because rates differ from machine to machine.
    for (tool, name) in [
        (ToolName::RocmSmi, "rocm-smi/partitioned.json"),
        (ToolName::AmdSmi, "amd-smi/partitioned.json"),
        (ToolName::AmdSmi, "amd-smi/health.json"),
        (ToolName::Speedtest, "speedtest/healthy.json"),
        (ToolName::SpeedtestCli, "speedtest-cli/upload-500-json.json"),
        (ToolName::LibrespeedCli, "librespeed-cli/ok-json-v1014.json"),
        (ToolName::Iperf3, "iperf3/fast.json"),
        (ToolName::Iperf3, "iperf3/321x-stream.json"),
    ] {
        let bytes = sample(name);
        let value = || {
            let documents = serde_json::Deserializer::from_slice(&bytes).into_iter::<serde_json::Value>();
            documents.filter_map(Result::ok).count()
        };
        ratio(
            &format!("parse {name}, times serde_json's Value"),
            seconds(|| parse(tool, output(&bytes))),
            seconds(value),
            1.5,
        );
    }
    for (tool, name) in [
        (ToolName::RocmSmi, "rocm-smi/table-7.0-partitioned.txt"),
        (ToolName::RocmSmi, "rocm-smi/blocks-7.0.txt"),
        (ToolName::AmdSmi, "amd-smi/26.1-metric.txt"),
        (ToolName::Rocminfo, "rocminfo/partitioned.txt"),
    ] {
        let bytes = sample(name);
        let words =
            || String::from_utf8_lossy(&bytes).lines().map(|line| line.split_whitespace().count()).sum::<usize>();
        ratio(
            &format!("parse {name}, times its split into words"),
            seconds(|| parse(tool, output(&bytes))),
            seconds(words),
            4.0,
        );
    }
}

fn ratio(what: &str, ours: f64, peer: f64, most: f64) {
    let ratio = ours / peer;
    judged(what, &format!("{ratio:.2}"), &format!("<= {most}"), ratio <= most);
}

fn pages() {
    let stdout = sample("rocm-smi/partitioned.json");
    let finding = find(ToolName::RocmSmi, &Ending::exited(0, stdout, ""), Known::default(), Bounds::default());
    let some: Vec<Gpu> = finding.facts.as_ref().and_then(Facts::gpus).unwrap_or_default().to_vec();
    // As many series as from 64 devices with sensors of their own.
    let gpus: Vec<Gpu> = (0..64).map(|index| some[index % some.len()].clone()).collect();
    let now = ossci_base::clock::now();
    let run = Run {
        check: Check::RocmSmi,
        started_at: now,
        seconds: 0.1,
        tool_ran: true,
        judgement: finding.judgement,
        facts: Some(Facts::Gpus(gpus)),
        not_understood: Vec::new(),
        printed: None,
    };
    let standing = Standing::default().after(&run, Trigger::Interval, now);
    let ledger = Ledger::new(now, [(Check::RocmSmi, Duration::from_secs(30), standing)]);
    for (form, name) in [(Form::OpenMetrics, "OpenMetrics"), (Form::Classic, "classic")] {
        let time = seconds(|| metrics(ledger.snapshot(now, 0), form));
        judged(&format!("page for 64 devices, {name}"), &micros(time), "< 2000 us", time < 2e-3);
    }
}

fn program(counts: Counts) {
    let node = BenchNode::new();
    let exporter = node.exporter("100ms", &[]);
    scrape(&exporter.address, counts.scrapes / 5);
    let (cpu, ours) = (cpu_seconds(exporter.pid()), scrape(&exporter.address, counts.scrapes));
    let cpu_ours = (cpu_seconds(exporter.pid()) - cpu) / counts.scrapes as f64;
    // The checks run at the same time and are included, so this is an upper bound.
    row("scrape, 8 GPUs, checks every 100 ms", &ours.to_string());
    row("CPU for one scrape", &micros(cpu_ours));
    match Peer::node_exporter() {
        Ok(peer) => {
            scrape(&peer.address, counts.scrapes / 5);
            let (cpu, theirs) = (cpu_seconds(peer.pid()), scrape(&peer.address, counts.scrapes));
            let cpu_theirs = (cpu_seconds(peer.pid()) - cpu) / counts.scrapes as f64;
            row("  node_exporter: scrape", &theirs.to_string());
            row("  node_exporter: CPU for one scrape", &micros(cpu_theirs));
            let (p50, p99) = ours.share_of(&theirs);
            let share = format!("{p50:.3}, {p99:.3}");
            judged("scrape, share of node_exporter's p50 and p99", &share, "<= 0.1, <= 0.1", p50 <= 0.1 && p99 <= 0.1);
            let share = cpu_ours / cpu_theirs;
            judged("CPU for one scrape, share of node_exporter's", &format!("{share:.3}"), "<= 0.1", share <= 0.1);
        }
        Err(missing) => judged("scrape and its CPU, share of node_exporter's", &missing, "<= 0.1", false),
    }
    let early = resident_bytes(exporter.pid()) as f64 / 1e6;
    exporter.wait_for_runs(f64::from(counts.cycles));
    scrape(&exporter.address, counts.scrapes);
    let late = resident_bytes(exporter.pid()) as f64 / 1e6;
    let what =
        format!("resident after {} and {} scrapes, {} cycles", counts.scrapes, 2 * counts.scrapes, counts.cycles);
    // One page of the allocator more or less is no growth.
    let met = late <= 10.0 && late <= early + 0.5;
    judged(&what, &format!("{early:.1} MB, then {late:.1} MB"), "<= 10 MB, not growing", met);
    drop(exporter);
    cycles(&node, counts);
    hanging(&node, counts);
}

/// There are no scrapes: all CPU time is spent on the checks.
fn cycles(node: &BenchNode, counts: Counts) {
    let ours = cycle(node, counts, &[]);
    let bare = Peer::bare_cycle(node, &TOOLS, counts.cycles);
    row("CPU of a check cycle (3 tools)", &micros(ours));
    row("  tools started, read and reaped, nothing else", &micros(bare));
    ratio("CPU of a check cycle, times the bare cost of its tools", ours, bare, 2.0);
    match Peer::python_cycle(node, counts.cycles) {
        Ok((loop_seconds, start_seconds)) => {
            row("  Python loop", &micros(loop_seconds));
            row("  a Python started for each cycle", &micros(start_seconds));
        }
        Err(missing) => row("  Python loop", &missing),
    }
    let with_health = cycle(node, counts, &["--check.amd-smi.interval=100ms"]);
    let health = ["static", "metric", "xgmi", "firmware", "bad-pages"].map(|call| format!("amd-smi {call}"));
    let calls: Vec<&str> = TOOLS.into_iter().chain(health.iter().map(String::as_str)).collect();
    let bare = Peer::bare_cycle(node, &calls, counts.cycles);
    row("CPU of a check cycle with amd-smi (3 tools, 5 calls)", &micros(with_health));
    row("  tools started, read and reaped, nothing else", &micros(bare));
    ratio("CPU of a cycle with amd-smi, times the bare cost", with_health, bare, 2.0);
    // rocm-smi, rocminfo and iperf3 each 30 s, the five calls of amd-smi each 5 min.
    let processes = 60.0 / 30.0 * 3.0 + 60.0 / 300.0 * 5.0;
    judged("processes a minute of a node", &format!("{processes}"), "<= 8", processes <= 8.0);
}

/// CPU seconds of one cycle of an exporter with these flags.
fn cycle(node: &BenchNode, counts: Counts, flags: &[&str]) -> f64 {
    let exporter = node.exporter("100ms", flags);
    exporter.wait_for_runs(3.0);
    let (runs, cpu) = (exporter.runs(), cpu_seconds(exporter.pid()));
    std::thread::sleep(Duration::from_millis(100) * counts.cycles);
    let spent = cpu_seconds(exporter.pid()) - cpu;
    spent / (exporter.runs() - runs)
}

/// Tolerated difference between two p99 of the same thing; a scrape that waits would differ far
/// more.
const SAME: f64 = 2.0;

fn hanging(node: &BenchNode, counts: Counts) {
    let healthy = node.exporter("1s", &[]);
    healthy.wait_for_start();
    let before = scrape(&healthy.address, counts.scrapes);
    row("scrape, 8 GPUs, checks every second", &before.to_string());
    drop(healthy);
    let same = |spread: &Spread| spread.p99.as_secs_f64() <= before.p99.as_secs_f64() * SAME;
    node.hangs("exec sleep 60");
    let exporter = node.exporter("1s", &[]);
    exporter.wait_for_start();
    let asleep = scrape(&exporter.address, counts.scrapes);
    judged("scrape while rocm-smi sleeps 60 s", &asleep.to_string(), "the same p99", same(&asleep));
    drop(exporter);
    match node.freezes() {
        Ok(frozen) => {
            let exporter = node.exporter("1s", &[]);
            exporter.wait_for_hung();
            let hung = scrape(&exporter.address, counts.scrapes);
            judged("scrape while rocm-smi is in D state", &hung.to_string(), "the same p99", same(&hung));
            drop(exporter);
            drop(frozen);
        }
        Err(why) => judged("scrape while rocm-smi is in D state", &why, "the same p99", false),
    }
}

fn binary() {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_ossci-exporter")).unwrap().len() as f64 / 1e6;
    judged("binary of this build, stripped", &format!("{bytes:.1} MB"), "< 8 MB", bytes < 8.0);
}
