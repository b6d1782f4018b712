//! The numbers that the exporter promises, measured, beside its peers in the same minute. Not a test: it fails nothing, it prints a table.
//!
//! ```text
//! cargo bench -p ossci-exporter --bench exporter            everything
//! cargo bench -p ossci-exporter --bench exporter -- quick   the same with small counts, to see that it works
//! ```
//!
//! Peers: node_exporter, by `NODE_EXPORTER=PATH` or built by go out of tests/tools/node_exporter; Python with prometheus-client, by
//! `PYTHON=PATH` of an interpreter that has it. A peer that is not there is named as missing. The D state needs root and loop devices.
#![allow(clippy::disallowed_methods, reason = "this program starts programs and watches the clock")]
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on stops")]

mod measure;
mod node;

use measure::{Spread, megabytes_per_second, microseconds};
use node::{BenchNode, Peer, cpu_seconds, resident_bytes, scrape};
use ossci_exporter::judge::{Bounds, Ending, Known, judge};
use ossci_exporter::ledger::Ledger;
use ossci_exporter::page::{Form, metrics};
use ossci_exporter::parse::{Exit, Output, parse};
use ossci_exporter::strikes::{Standing, Trigger};
use ossci_exporter::verdict::{Check, Facts, Gpu, Run, ToolName};
use std::path::Path;
use std::time::Duration;

/// How much is measured.
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
    println!("{:62} {:>28}   target", "measured", "value");
    parsers();
    pages();
    program(counts);
    binary();
}

fn row(what: &str, value: &str, target: &str) {
    println!("{what:62} {value:>28}   {target}");
}

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

fn output(stdout: &[u8]) -> Output<'_> {
    Output { stdout, stderr: b"", exit: Exit::Status(0) }
}

fn parsers() {
    let partitioned = sample("rocm-smi/partitioned.json");
    row(
        "parse, 64 partitions, rocm-smi JSON",
        &microseconds(|| parse(ToolName::RocmSmi, output(&partitioned))),
        "< 200 us",
    );
    let amd = sample("amd-smi/partitioned.json");
    row(
        "parse, 64 partitions, amd-smi JSON (three calls)",
        &microseconds(|| parse(ToolName::AmdSmi, output(&amd))),
        "",
    );
    for (tool, name) in [
        (ToolName::RocmSmi, "rocm-smi/partitioned.json"),
        (ToolName::RocmSmi, "rocm-smi/table-7.0-partitioned.txt"),
        (ToolName::RocmSmi, "rocm-smi/blocks-7.0.txt"),
        (ToolName::AmdSmi, "amd-smi/partitioned.json"),
        (ToolName::AmdSmi, "amd-smi/26.1-metric.txt"),
        (ToolName::Rocminfo, "rocminfo/partitioned.txt"),
        (ToolName::Speedtest, "speedtest/healthy.json"),
        (ToolName::SpeedtestCli, "speedtest-cli/upload-500-json.json"),
        (ToolName::LibrespeedCli, "librespeed-cli/ok-json-v1014.json"),
        (ToolName::Iperf3, "iperf3/fast.json"),
        (ToolName::Iperf3, "iperf3/321x-stream.json"),
    ] {
        let bytes = sample(name);
        let speed = megabytes_per_second(bytes.len(), || parse(tool, output(&bytes)));
        row(&format!("parse throughput, {name}"), &speed, "> 100 MB/s");
    }
}

fn pages() {
    let stdout = sample("rocm-smi/partitioned.json");
    let finding = judge(ToolName::RocmSmi, Ending::Ended(output(&stdout)), Known::default(), Bounds::default());
    let some: Vec<Gpu> = finding.facts.as_ref().and_then(Facts::gpus).unwrap_or_default().to_vec();
    // As many series as 64 devices would give if each had sensors of its own.
    let gpus: Vec<Gpu> = (0..64).map(|index| some[index % some.len()].clone()).collect();
    let now = ossci_exporter::clock::now();
    let run = Run {
        check: Check::RocmSmi,
        started_at: now,
        seconds: 0.1,
        judgement: finding.judgement,
        facts: Some(Facts::Gpus(gpus)),
        not_understood: Vec::new(),
        printed: None,
    };
    let standing = Standing::default().after(&run, Trigger::Interval, now);
    let ledger = Ledger::new(now, [(Check::RocmSmi, Duration::from_secs(30), standing)]);
    for (form, name) in [(Form::OpenMetrics, "OpenMetrics"), (Form::Classic, "classic")] {
        let time = microseconds(|| metrics(ledger.snapshot(now, 0), form));
        row(&format!("page for 64 devices, {name}"), &time, "< 2000 us");
    }
}

fn program(counts: Counts) {
    let node = BenchNode::new();
    let exporter = node.exporter("100ms");
    scrape(&exporter.address, counts.scrapes / 5);
    let (cpu, ours) = (cpu_seconds(exporter.pid()), scrape(&exporter.address, counts.scrapes));
    let cpu_ours = (cpu_seconds(exporter.pid()) - cpu) / counts.scrapes as f64;
    match Peer::node_exporter() {
        Ok(peer) => {
            scrape(&peer.address, counts.scrapes / 5);
            let (cpu, theirs) = (cpu_seconds(peer.pid()), scrape(&peer.address, counts.scrapes));
            let cpu_theirs = (cpu_seconds(peer.pid()) - cpu) / counts.scrapes as f64;
            row("scrape, 8 GPUs, node_exporter", &theirs.to_string(), "");
            row("scrape, 8 GPUs, ossci-exporter (checks every 100 ms)", &ours.to_string(), "1/10 of p50 and of p99");
            row("  share of node_exporter", &ours.share_of(&theirs), "<= 0.10, <= 0.10");
            row("CPU for one scrape, node_exporter", &format!("{:.0} us", cpu_theirs * 1e6), "");
            // The checks run meanwhile and are in it, so this is an upper bound.
            row(
                "CPU for one scrape, ossci-exporter",
                &format!("{:.0} us", cpu_ours * 1e6),
                &format!("<= {:.0} us", cpu_theirs * 1e5),
            );
        }
        Err(missing) => {
            row("scrape, 8 GPUs, ossci-exporter", &ours.to_string(), &format!("no node_exporter: {missing}"));
            row("CPU for one scrape, ossci-exporter", &format!("{:.0} us", cpu_ours * 1e6), "");
        }
    }
    let early = resident_bytes(exporter.pid());
    exporter.wait_for_runs(f64::from(counts.cycles));
    scrape(&exporter.address, counts.scrapes);
    let late = resident_bytes(exporter.pid());
    let value = format!("{:.1} MB, then {:.1} MB", early as f64 / 1e6, late as f64 / 1e6);
    row(
        &format!("resident after {} and {} scrapes, {} cycles", counts.scrapes, 2 * counts.scrapes, counts.cycles),
        &value,
        "<= 10 MB, not growing",
    );
    drop(exporter);
    cycles(&node, counts);
    hanging(&node, counts, &ours);
}

/// Nobody scrapes meanwhile: what is spent is spent for the checks.
fn cycles(node: &BenchNode, counts: Counts) {
    let exporter = node.exporter("100ms");
    exporter.wait_for_runs(3.0);
    let (runs, cpu) = (exporter.runs(), cpu_seconds(exporter.pid()));
    std::thread::sleep(Duration::from_millis(100) * counts.cycles);
    let spent = cpu_seconds(exporter.pid()) - cpu;
    let ours = spent / (exporter.runs() - runs);
    row("CPU of a check cycle (3 tools), ossci-exporter", &format!("{:.0} us", ours * 1e6), "");
    match Peer::python_cycle(node, counts.cycles) {
        Ok((loop_seconds, start_seconds)) => {
            row("CPU of a check cycle, Python loop", &format!("{:.0} us", loop_seconds * 1e6), "");
            row("  share", &format!("{:.2}", ours / loop_seconds), "<= 0.20");
            row("CPU of a check cycle, a Python started for each", &format!("{:.0} us", start_seconds * 1e6), "");
        }
        Err(missing) => row("CPU of a check cycle, Python loop", "-", &missing),
    }
}

fn hanging(node: &BenchNode, counts: Counts, before: &Spread) {
    node.hangs("exec sleep 60");
    let exporter = node.exporter("1s");
    exporter.wait_for_start();
    let asleep = scrape(&exporter.address, counts.scrapes);
    row("scrape while rocm-smi sleeps 60 s", &asleep.to_string(), &format!("{before}"));
    drop(exporter);
    match node.freezes() {
        Ok(frozen) => {
            let exporter = node.exporter("1s");
            exporter.wait_for_hung();
            let hung = scrape(&exporter.address, counts.scrapes);
            row("scrape while rocm-smi is in D state", &hung.to_string(), &format!("{before}"));
            drop(exporter);
            drop(frozen);
        }
        Err(why) => row("scrape while rocm-smi is in D state", "-", &format!("not possible here: {why}")),
    }
}

fn binary() {
    let bytes = std::fs::metadata(env!("CARGO_BIN_EXE_ossci-exporter")).unwrap().len();
    row("binary of this build", &format!("{:.1} MB", bytes as f64 / 1e6), "< 8 MB, release, stripped");
}
