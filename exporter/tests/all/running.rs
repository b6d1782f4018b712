//! Tests of the program itself, with shell scripts in place of the tools.
#![allow(clippy::disallowed_methods, reason = "these tests start the program and watch its deadlines")]

use crate::node::{FAST, Node, STRIKES, wait_for};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, test_kill_process};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

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
fn a_probe_runs_the_gpu_checks_at_once_but_not_twice() {
    let node = Node::new("probe");
    // No periodic run happens within this test.
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
fn a_failed_probe_adds_no_strike_a_passed_one_clears_them() {
    let node = Node::new("strikes");
    node.prints("rocm-smi", "rocm-smi/gpu-not-responding.json");
    let exporter = node.start(&["--check.interval=1s", "--probe.min-gap=0s", "--gpus.expected=8"]);
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
    node.pauses("2999-01-01T00:00:00Z");
    exporter.wait_for("ossci_checks_paused", |paused| paused == 1.0);
    // A run that began before the pause may still be in progress: the probe waits for it.
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
fn a_network_probe_returns_a_fresh_run_or_paused() {
    let node = Node::new("network");
    // Only a check that has passed can fail.
    node.prints("iperf3", "iperf3/fast.json");
    let exporter = node.start(&FAST);
    exporter.wait_for("ossci_check_last_success_timestamp_seconds{check=\"network\"}", |at| at > 0.0);
    node.prints("iperf3", "iperf3/slow.json");
    let question = "check=network&since=2026-01-01T00:00:00Z";
    let first = wait_for("network run", || match exporter.probe(question) {
        (200, answer) if answer["results"][0]["verdict"] == "passed" => None,
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
fn sigterm_stops_a_hung_check_and_its_children_within_2_s() {
    let node = Node::new("hang");
    let pid_file = node.path.join("pid");
    let script =
        format!("trap '' TERM; echo $$ > '{0}.new'; mv '{0}.new' '{0}'; while :; do sleep 1; done", pid_file.display());
    node.does("rocm-smi", &script);
    let mut exporter = node.start(&["--check.interval=5s"]);
    let pid =
        wait_for("child", || std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok().and_then(Pid::from_raw));
    assert!(exporter.value(STRIKES).is_some(), "a scrape must not wait for a child");
    assert!(exporter.stop() < Duration::from_secs(2));
    wait_for("end of the child", || test_kill_process(pid).is_err().then_some(()));
}

#[test]
fn a_hung_run_directory_blocks_neither_scrapes_nor_exit() {
    let node = Node::new("dead-run-dir");
    // Opening a FIFO blocks until a writer opens it.
    mknodat(CWD, node.path.join("run/pause"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut exporter = node.start(&FAST);
    exporter.wait_for("ossci_check_runs_total{check=\"rocm-smi\"}", |runs| runs >= 2.0);
    assert_eq!((exporter.value(STRIKES), exporter.get("/-/healthy", "*/*").0), (Some(0.0), 200));
    assert!(exporter.metrics().contains("check=\"rocm-smi\",verdict=\"unknown\",reason=\"own-trouble\""));
    assert_eq!(exporter.probe("check=network&since=2026-01-01T00:00:00Z").0, 503);
    assert!(exporter.stop() < Duration::from_secs(2));
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
fn a_flag_wins_over_its_variable() {
    let check = |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ossci-exporter"));
        let output =
            command.env("OSSCI_EXPORTER_NETWORK_MAX_LOSS", "5").arg("--config.check").args(flags).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = check(&[]);
    assert_eq!(status, Some(2));
    assert!(said.contains("write a share between 0 and 1"), "{said}");
    assert_eq!(check(&["--network.max-loss=0.5"]), (Some(0), String::new()));
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
