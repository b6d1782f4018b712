//! kube-score judges the rendered manifests. Each finding that stays has its reason here; a finding
//! without a reason fails, and so does a reason without its finding.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ossci_lab::environment;
use ossci_lab::process::Program;
use ossci_lab::setup::Tools;

/// Findings that stay: how the line begins (object, kind), a part of what it says, and why.
const STAY: [(&str, &str, &str); 14] = [
    ("", "ImagePullPolicy is not set to Always", "a node must restart its pods while the registry is away"),
    ("", "CPU limit is not set", "throttling delays the tests of a node; docs/install.md has the measured use"),
    ("", "Ephemeral Storage request is not set", "the programs write no files of a size to plan for"),
    ("", "Ephemeral Storage limit is not set", "a limit counts the logs, and evicts the pod that repairs the node"),
    ("ossci-exporter/ossci", "container is privileged", "it runs the host's tools on the GPUs"),
    ("ossci-exporter/ossci", "writable root filesystem", "it is the host's: the tools write there"),
    ("ossci-exporter/ossci", "low user ID", "the host's tools need root"),
    ("ossci-exporter/ossci", "low group ID", "the host's tools need root"),
    ("ossci-agent/ossci", "container is privileged", "it reboots and reimages the host"),
    ("ossci-agent/ossci", "writable root filesystem", "it is the host's: a reimage writes there"),
    ("ossci-agent/ossci", "low user ID", "a reboot and a reimage need root"),
    ("ossci-agent/ossci", "low group ID", "a reboot and a reimage need root"),
    (
        "ossci-iperf3/ossci",
        "No matching PodDisruptionBudget",
        "a test without a server is unknown, which repairs nothing",
    ),
    ("ossci-iperf3/ossci", "missing a readinessProbe", "a probe would occupy the one test that a server takes"),
];

#[tokio::test]
async fn kube_score_finds_what_has_a_reason_and_nothing_else() {
    let reasons: BTreeSet<_> = STAY.into();
    let mut unused = reasons.clone();
    let mut new = Vec::new();
    for finding in findings(&manifests()).await {
        match reasons.iter().find(|(object, says, _)| finding.starts_with(object) && finding.contains(says)) {
            Some(reason) => drop(unused.remove(reason)),
            None => new.push(finding),
        }
    }
    assert!(new.is_empty(), "mend it, or give a reason in tests/all/kube_score.rs:\n{}", new.join("\n"));
    assert!(unused.is_empty(), "reasons without a finding: {unused:?}");
}

#[tokio::test]
async fn kube_score_sees_a_container_without_a_memory_limit() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-limit.yaml");
    let deployment = environment::repository().join("deploy/remediator.yaml");
    let text = std::fs::read_to_string(&deployment).unwrap();
    let worse = text.replace("          limits:\n            memory: 256Mi\n", "");
    assert_ne!(worse, text);
    std::fs::write(&file, worse).unwrap();
    let found = findings(&[file]).await;
    assert!(found.iter().any(|finding| finding.contains("Memory limit is not set")), "{found:?}");
}

/// The plain manifests, which are what the chart renders.
fn manifests() -> Vec<PathBuf> {
    let folders = ["deploy", "deploy/monitoring"].map(|folder| environment::repository().join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
    files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect()
}

/// What kube-score warns of, as `object kind: (container) what`.
async fn findings(files: &[PathBuf]) -> Vec<String> {
    let program = Tools::find().unwrap().get("kube-score").unwrap();
    let judged = Program::new("kube-score", program).args(["score", "--output-format", "ci"]).args(files);
    let said = judged.finish(Duration::from_secs(60)).await.unwrap().expect("kube-score did not exit").stdout;
    assert!(said.contains("[OK]"), "kube-score judged nothing: {said}");
    let bad = said.lines().filter_map(|line| line.strip_prefix("[CRITICAL] ").or(line.strip_prefix("[WARNING] ")));
    bad.map(str::to_owned).collect()
}
