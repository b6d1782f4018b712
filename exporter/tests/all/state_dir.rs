//! Tests of state directories that cannot be used, or hold what is not true here.
#![allow(clippy::disallowed_methods, reason = "these tests start the program and watch its deadlines")]

use crate::node::{Exporter, FAST, Node, STRIKES};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::os::unix::fs::symlink;
use std::time::Duration;

const PASSED: &str = "ossci_check_success{check=\"rocm-smi\"}";
const FAILED_WRITES: &str = "ossci_exporter_state_write_failures_total";

/// Asserts that a healthy node passes, and that a broken one gets its strikes.
fn works(node: &Node, exporter: &Exporter) {
    exporter.wait_for(PASSED, |passed| passed == 1.0);
    node.prints("rocm-smi", "rocm-smi/gpu-not-responding.json");
    exporter.wait_for(STRIKES, |strikes| strikes >= 3.0);
    node.prints("rocm-smi", "rocm-smi/healthy.json");
    exporter.wait_for(STRIKES, |strikes| strikes == 0.0);
}

#[test]
fn a_directory_that_cannot_be_written_costs_only_the_memory_of_a_restart() {
    // No file can be created in /proc, not even by root; /dev/null is no directory.
    for (name, place) in [("read-only", "/proc/sys"), ("no-directory", "/dev/null/ossci")] {
        let node = Node::new(name);
        std::fs::remove_dir(node.path.join("state")).unwrap();
        symlink(place, node.path.join("state")).unwrap();
        let exporter = node.start(&FAST);
        works(&node, &exporter);
        assert!(exporter.value(FAILED_WRITES) >= Some(3.0), "{name}");
    }
}

#[test]
fn a_dead_disk_neither_stops_the_start_nor_the_exit() {
    let node = Node::new("dead-state-dir");
    // Opening a FIFO blocks until a writer opens it.
    for file in ["strikes.json", "inventory.json"] {
        mknodat(CWD, node.path.join("state").join(file), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }
    let mut exporter = node.start(&FAST);
    works(&node, &exporter);
    assert!(exporter.value(FAILED_WRITES) >= Some(3.0));
    assert!(exporter.stop() < Duration::from_secs(2));
}

#[test]
fn what_is_not_of_this_node_and_this_time_is_not_believed() {
    let strikes = |boot: &str, at: &str| {
        format!(r#"{{"bootID":"{boot}","checks":{{"rocm-smi":{{"consecutiveFailures":2,"lastStrike":"{at}"}}}}}}"#)
    };
    let inventory = |node: &str| {
        let learned = r#"{"learned":{"gpus":16,"pci":[]},"runs":5}"#;
        format!(r#"{{"node":"{node}","checks":{{"rocminfo":{learned}}},"passed":["rocm-smi","rocminfo"]}}"#)
    };
    for (name, strikes, inventory) in [
        ("foreign", strikes("boot-0", "2026-01-01T00:00:00Z"), inventory("gpu-099")),
        ("future", strikes("boot-1", "2999-01-01T00:00:00Z"), inventory("gpu-099")),
        ("garbage", "\0\u{7f}{".to_string(), "[[[[".to_string()),
        ("cut", strikes("boot-1", "2026-01-01T00:00:00Z")[..40].to_string(), inventory("gpu-017")[..40].to_string()),
        ("other-kind", "[]".to_string(), "\"8\"".to_string()),
    ] {
        let node = Node::new(name);
        std::fs::write(node.path.join("state/strikes.json"), strikes).unwrap();
        std::fs::write(node.path.join("state/inventory.json"), inventory).unwrap();
        node.does("rocm-smi", "exit 9");
        let exporter = node.start(&FAST);
        exporter.wait_for("ossci_check_runs_total{check=\"rocm-smi\"}", |runs| runs >= 3.0);
        // It has never passed here.
        assert_eq!(exporter.value(STRIKES), Some(0.0), "{name}");
        exporter.wait_for("ossci_check_success{check=\"rocminfo\"}", |passed| passed == 1.0);
        node.prints("rocm-smi", "rocm-smi/healthy.json");
        works(&node, &exporter);
    }
}

#[test]
fn the_gpus_that_this_node_has_learned_are_believed() {
    let node = Node::new("own-inventory");
    let mut first = node.start(&FAST);
    first.wait_for("ossci_gpus_expected", |gpus| gpus == 8.0);
    first.stop();
    node.prints("rocm-smi", "rocm-smi/seven-of-eight.json");
    let exporter = node.start(&FAST);
    exporter.wait_for(STRIKES, |strikes| strikes >= 3.0);
}
