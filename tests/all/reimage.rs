//! Tests of the default reimage script: it is clean, and it ends well on nodes in many states.

use std::time::Duration;

use ossci_lab::process::Program;
use ossci_lab::{environment, setup};

use crate::support::{part, run};

/// The agent runs the script as root on every node, so it has to be clean.
#[tokio::test]
async fn shellcheck_finds_no_fault_in_the_script() {
    let _part = part("shellcheck");
    let script = environment::repository().join("deploy/reimage/reimage.sh").display().to_string();
    run("shellcheck", &setup::tool("shellcheck").unwrap(), &["--severity=style", &script]).await;
}

/// The cases lie in tests/reimage/cases, one file each.
#[tokio::test]
async fn every_node_ends_healed_or_as_it_was() {
    let _part = part("the reimage script's cases");
    assert!(reimaged(&[]).await > 35);
}

/// A sample of the states that `make soak` plays all.
#[tokio::test]
async fn no_state_between_two_releases_ends_worse() {
    let _part = part("states between two releases");
    assert_eq!(reimaged(&["--states", "13"]).await, 15);
}

/// Runs the script in these cases; returns how many there were.
async fn reimaged(args: &[&str]) -> usize {
    let program = Program::new("ossci-lab", environment::our_program("ossci-lab").unwrap());
    let program = args.iter().fold(program.arg("reimage-cases"), |program, arg| program.arg(arg));
    let said = program.output(Duration::from_secs(1500)).await.unwrap_or_else(|error| panic!("{error:#}"));
    said.lines().filter(|line| line.starts_with("reimage ") && line.contains(" ... ok")).count()
}
