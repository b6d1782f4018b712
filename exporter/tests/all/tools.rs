//! Tests of tools with which others interfere.

use crate::node::{FAST, Node, STRIKES};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

const RUNS: &str = "ossci_check_runs_total{check=\"rocm-smi\"}";
const UNKNOWN: &str = "ossci_check_result_info{check=\"rocm-smi\",verdict=\"unknown\",reason=\"own-trouble\"}";

fn sample(name: &str) -> String {
    format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_tool_that_others_end_is_no_fault_of_the_node() {
    let node = Node::new("ended");
    let healthy = sample("rocm-smi/healthy.json");
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    for signal in ["HUP", "INT", "QUIT", "TERM", "KILL"] {
        for (bytes, whom) in [(0, "$$"), (1, "0"), (900, "$$"), (2000, "0")] {
            exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |passed| passed == 1.0);
            node.does("rocm-smi", &format!("head -c {bytes} '{healthy}'; kill -s {signal} {whom}; exec sleep 60"));
            exporter.wait_for(UNKNOWN, |shown| shown == 1.0);
            assert_eq!(exporter.value(STRIKES), Some(0.0), "{signal} after {bytes} bytes");
            node.prints("rocm-smi", "rocm-smi/healthy.json");
        }
    }
    // A crash is the tool's own.
    node.does("rocm-smi", "kill -s SEGV $$");
    exporter.wait_for(STRIKES, |strikes| strikes >= 1.0);
}

#[test]
fn a_tool_that_is_replaced_while_it_runs_gives_no_strike() {
    let node = Node::new("replaced");
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    for version in ["healthy", "healthy-6.2", "healthy-6.1", "healthy"] {
        let path = sample(&format!("rocm-smi/{version}.json"));
        node.does("rocm-smi", &format!("head -c 700 '{path}'; sleep 0.3; exec tail -c +701 '{path}'"));
        let runs = exporter.value(RUNS).unwrap_or_default();
        exporter.wait_for(RUNS, |now| now >= runs + 2.0);
        assert_eq!(exporter.value(STRIKES), Some(0.0), "{version}");
    }
}

#[test]
fn what_is_no_program_at_the_path_of_a_tool_is_no_fault_before_it_passed() {
    let node = Node::new("no-program");
    let tool = node.path.join("rocm-smi");
    let exporter = node.start(&[FAST[0], "--gpus.expected=8"]);
    let strikes = || exporter.value(STRIKES);
    exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |passed| passed == 1.0);
    // It was there and passed: a tool that cannot be found any more is a fault, one that cannot be
    // started is not.
    for permissions in [0o644, 0o000] {
        node.does("rocm-smi", "exit 0");
        std::fs::set_permissions(&tool, Permissions::from_mode(permissions)).unwrap();
        exporter.wait_for(UNKNOWN, |shown| shown == 1.0);
        assert_eq!(strikes(), Some(0.0));
        node.prints("rocm-smi", "rocm-smi/healthy.json");
        exporter.wait_for("ossci_check_success{check=\"rocm-smi\"}", |passed| passed == 1.0);
    }
    node.does("rocm-smi", "exit 0");
    std::fs::write(&tool, "#!/nonexistent/python3\n").unwrap();
    exporter.wait_for(UNKNOWN, |shown| shown == 1.0);
}

#[test]
fn the_exporters_path_leads_no_tool_astray() {
    let node = Node::new("path");
    let lies = node.path.join("lies");
    std::fs::create_dir(&lies).unwrap();
    for program in ["cat", "env", "sh", "sleep", "rocm-smi", "rocminfo", "iperf3"] {
        let lie = lies.join(program);
        std::fs::write(&lie, "#!/bin/sh\necho '{}'\nexit 7\n").unwrap();
        std::fs::set_permissions(&lie, Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:.::/nonexistent:{}/state", lies.display(), node.path.display());
    let exporter = node.start_with(&FAST, &[("PATH", &path)]);
    for check in ["rocm-smi", "rocminfo", "network"] {
        exporter.wait_for(&format!("ossci_check_success{{check=\"{check}\"}}"), |passed| passed == 1.0);
    }
}
