//! The program itself, with shell scripts in the place of the tools.
#![allow(clippy::disallowed_methods, reason = "these tests start the program and watch its deadlines")]

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far above what anything here takes; reaching it is the failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A directory that stands for a node: its tools, its boot id, its run and state directories.
struct Node {
    path: PathBuf,
}

impl Node {
    fn new(name: &str) -> Node {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        for directory in ["proc/sys/kernel/random", "run", "state"] {
            std::fs::create_dir_all(path.join(directory)).unwrap();
        }
        let node = Node { path };
        node.boots("boot-1");
        node.prints("rocm-smi", "rocm-smi/healthy.json");
        node.prints("rocminfo", "rocminfo/healthy.txt");
        node.prints("iperf3", "iperf3/fast.json");
        node
    }

    fn boots(&self, id: &str) {
        std::fs::write(self.path.join("proc/sys/kernel/random/boot_id"), format!("{id}\n")).unwrap();
    }

    fn prints(&self, tool: &str, sample: &str) {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(sample);
        self.does(tool, &format!("exec cat '{}'", sample.display()));
    }

    fn does(&self, tool: &str, script: &str) {
        let (new, path) = (self.path.join(format!("{tool}.new")), self.path.join(tool));
        std::fs::write(&new, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&new, Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn start(&self, flags: &[&str]) -> Exporter {
        let of = |flag: &str, name: &str| format!("--{flag}={}", self.path.join(name).display());
        let mut child = Command::new(env!("CARGO_BIN_EXE_ossci-exporter"))
            .args(["--web.listen-address=127.0.0.1:0", "--node-name=gpu-017", "--network.target=192.0.2.1"])
            .args([of("web.probe-socket", "run/exporter.sock"), of("path.procfs", "proc"), of("path.run-dir", "run")])
            .args([of("path.state-dir", "state"), of("tool.rocm-smi", "rocm-smi"), of("tool.rocminfo", "rocminfo")])
            .arg(of("tool.iperf3", "iperf3"))
            .args(flags)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, address) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening address=") {
                    let _ = found.send(address.trim().to_string());
                }
            }
        });
        let address = address.recv_timeout(PATIENCE).unwrap();
        let socket = self.path.join("run/exporter.sock");
        wait_for("probe socket", || socket.exists().then_some(()));
        Exporter { child, address, socket }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

struct Exporter {
    child: Child,
    address: String,
    socket: PathBuf,
}

fn exchange(mut stream: impl Read + Write, path: &str, accept: &str) -> (u16, String, String) {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: node\r\nAccept: {accept}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_string())
}

impl Exporter {
    fn get(&self, path: &str, accept: &str) -> (u16, String, String) {
        exchange(TcpStream::connect(&self.address).unwrap(), path, accept)
    }

    fn metrics(&self) -> String {
        let (status, _, body) = self.get("/metrics", "*/*");
        assert_eq!(status, 200);
        body
    }

    /// The value of a series; none when it is not on the page.
    fn value(&self, series: &str) -> Option<f64> {
        self.metrics().lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    fn wait_for(&self, series: &str, is: impl Fn(f64) -> bool) -> f64 {
        wait_for(series, || self.value(series).filter(|value| is(*value)))
    }

    fn probe(&self, question: &str) -> (u16, serde_json::Value) {
        let (status, _, body) =
            exchange(UnixStream::connect(&self.socket).unwrap(), &format!("/probe?{question}"), "*/*");
        (status, serde_json::from_str(&body).unwrap())
    }

    /// SIGTERM, and how long the end takes.
    fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        begun.elapsed()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const FAST: [&str; 1] = ["--check.interval=500ms"];
const STRIKES: &str = "ossci_check_consecutive_failures{check=\"rocm-smi\"}";

#[test]
fn a_healthy_node_passes_each_check_and_shows_its_values() {
    let node = Node::new("healthy");
    let exporter = node.start(&FAST);
    for check in ["rocm-smi", "rocminfo", "network"] {
        exporter.wait_for(&format!("ossci_check_success{{check=\"{check}\"}}"), |value| value == 1.0);
    }
    assert_eq!(exporter.value("ossci_gpus_found{check=\"rocminfo\"}"), Some(8.0));
    exporter.wait_for("ossci_gpus_expected", |gpus| gpus == 8.0);
    let (_, head, page) = exporter.get("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(page.ends_with("# EOF\n"));
    assert!(
        page.contains("ossci_gpu_temperature_celsius{gpu=\"7\",pci_bus=\"0000:e5:00.0\",sensor=\"junction\"} 48.0")
    );
    assert!(exporter.get("/", "*/*").2.contains("8 GPUs"));
    assert_eq!((exporter.get("/-/healthy", "*/*").0, exporter.get("/-/ready", "*/*").0), (200, 200));
}

#[test]
fn a_probe_runs_the_gpu_checks_now_and_not_again_at_once() {
    let node = Node::new("probe");
    // No run by the interval within this test.
    let exporter = node.start(&["--check.interval=24h"]);
    let (status, answer) = exporter.probe("check=gpu");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["bootID"], "boot-1");
    let verdicts: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| (&r["check"], &r["verdict"])).collect();
    assert_eq!(serde_json::to_string(&verdicts).unwrap(), r#"[["rocm-smi","passed"],["rocminfo","passed"]]"#);
    assert!(answer["results"][0]["startedAt"].as_str().unwrap().ends_with('Z'), "{answer}");
    assert_eq!(exporter.probe("check=gpu"), (429, serde_json::json!({"error": "too-soon"})));
    assert_eq!(exporter.probe("check=cpu").0, 400);
    assert_eq!(exporter.get("/probe?check=gpu", "*/*").0, 404);
    assert_eq!(std::fs::metadata(&exporter.socket).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_failed_probe_adds_no_strike_and_a_passed_one_takes_them_away() {
    let node = Node::new("strikes");
    node.prints("rocm-smi", "rocm-smi/gpu-not-responding.json");
    let exporter = node.start(&["--check.interval=1s", "--probe.min-gap=0s", "--gpus.expected=8"]);
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
    node.pauses("2999-01-01T00:00:00Z");
    exporter.wait_for("ossci_checks_paused", |paused| paused == 1.0);
    // A run that began before the pause may still be under way: the probe waits for it.
    assert_eq!(exporter.probe("check=gpu").1["results"][0]["reason"], "gpu-not-responding");
    let strikes = exporter.value(STRIKES);
    assert_eq!(exporter.probe("check=gpu").1["results"][0]["verdict"], "failed");
    assert_eq!(exporter.value(STRIKES), strikes);
    node.prints("rocm-smi", "rocm-smi/healthy.json");
    assert_eq!(exporter.probe("check=gpu").1["results"][0]["verdict"], "passed");
    assert_eq!(exporter.value(STRIKES), Some(0.0));
}

impl Node {
    fn pauses(&self, until: &str) {
        std::fs::write(self.path.join("run/pause.new"), format!("{until}\n")).unwrap();
        std::fs::rename(self.path.join("run/pause.new"), self.path.join("run/pause")).unwrap();
    }
}

#[test]
fn a_fresh_network_run_is_waited_for_and_a_pause_says_that_none_will_come() {
    let node = Node::new("network");
    node.prints("iperf3", "iperf3/slow.json");
    let exporter = node.start(&FAST);
    let question = "check=network&since=2026-01-01T00:00:00Z";
    let first = wait_for("network run", || match exporter.probe(question) {
        (200, answer) => Some(answer),
        (503, refusal) => {
            assert_eq!(refusal["error"], "not-yet");
            None
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(first["results"][0]["reason"], "network-slow");
    let since = first["results"][0]["startedAt"].as_str().unwrap().to_string();
    let next =
        wait_for("later run", || Some(exporter.probe(&format!("check=network&since={since}"))).filter(|a| a.0 == 200));
    assert!(next.1["results"][0]["startedAt"].as_str().unwrap() > since.as_str());
    node.pauses("2999-01-01T00:00:00Z");
    assert_eq!(exporter.probe(question), (503, serde_json::json!({"error": "paused"})));
    node.pauses("2000-01-01T00:00:00Z");
    assert_eq!(exporter.probe(question).0, 200);
    assert_eq!(exporter.probe("check=network&since=yesterday").0, 400);
}

#[test]
fn strikes_survive_a_restart_and_end_with_a_reboot() {
    let node = Node::new("restart");
    node.prints("rocm-smi", "rocm-smi/seven-of-eight.json");
    std::fs::write(node.path.join("run/inventory"), "8\n").unwrap();
    let mut exporter = node.start(&FAST);
    exporter.wait_for(STRIKES, |strikes| strikes >= 3.0);
    exporter.stop();
    let saved = std::fs::read_to_string(node.path.join("state/strikes.json")).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    assert_eq!(saved["bootID"], "boot-1");
    let strikes = saved["checks"]["rocm-smi"]["consecutiveFailures"].as_f64().unwrap();

    let mut exporter = node.start(&["--check.interval=24h"]);
    assert_eq!(exporter.value(STRIKES), Some(strikes));
    assert!(exporter.value("ossci_check_last_run_timestamp_seconds{check=\"rocm-smi\"}").is_some());
    exporter.stop();

    node.boots("boot-2");
    assert_eq!(node.start(&["--check.interval=24h"]).value(STRIKES), Some(0.0));
}

#[test]
fn a_learned_inventory_outlives_the_reboot_that_loses_a_gpu() {
    let node = Node::new("learned");
    let mut exporter = node.start(&FAST);
    exporter.wait_for("ossci_gpus_expected", |gpus| gpus == 8.0);
    exporter.stop();
    node.boots("boot-2");
    node.prints("rocm-smi", "rocm-smi/seven-of-eight.json");
    let exporter = node.start(&FAST);
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
    assert!(exporter.get("/", "*/*").2.contains("7 of 8 GPUs (learned), missing 0000:65:00.0"));
}

#[test]
fn a_tool_that_vanishes_after_it_passed_is_a_strike() {
    let node = Node::new("vanish");
    let exporter = node.start(&FAST);
    exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |value| value == 1.0);
    std::fs::remove_file(node.path.join("rocm-smi")).unwrap();
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
    assert!(exporter.metrics().contains("reason=\"missing-tool\""));
}

#[test]
fn whatever_hangs_sigterm_ends_it_within_two_seconds_and_the_children_with_it() {
    let node = Node::new("hang");
    let pid_file = node.path.join("pid");
    let script =
        format!("trap '' TERM; echo $$ > '{0}.new'; mv '{0}.new' '{0}'; while :; do sleep 1; done", pid_file.display());
    node.does("rocm-smi", &script);
    let mut exporter = node.start(&["--check.interval=5s"]);
    let pid =
        wait_for("child", || std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok().and_then(Pid::from_raw));
    assert!(exporter.value(STRIKES).is_some(), "a scrape waits for no child");
    assert!(exporter.stop() < Duration::from_secs(2));
    wait_for("end of the child", || test_kill_process(pid).is_err().then_some(()));
}

#[test]
fn a_wrong_flag_is_one_clear_sentence() {
    let output = Command::new(env!("CARGO_BIN_EXE_ossci-exporter")).arg("--check.interval=soon").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "ossci-exporter: invalid value 'soon' for '--check.interval <DURATION>': \
         write a number and a unit, such as 500ms, 30s or 5m\n"
    );
}

#[test]
fn a_second_exporter_does_not_take_the_socket_of_the_first() {
    let node = Node::new("twice");
    let exporter = node.start(&FAST);
    let socket = format!("--web.probe-socket={}", exporter.socket.display());
    let state = format!("--path.state-dir={}", node.path.join("state").display());
    let flags = ["--web.listen-address=127.0.0.1:0".to_string(), socket, state];
    let output = Command::new(env!("CARGO_BIN_EXE_ossci-exporter")).args(flags).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("another exporter answers on the probe socket"));
}
