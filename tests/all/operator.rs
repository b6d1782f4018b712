//! Tests of the objects for the Prometheus operator against its own CRDs in a real API server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ossci_lab::facts::Facts;
use ossci_lab::sources::SOURCES;
use ossci_lab::{environment, wait};

use crate::manifests::kubectl;
use crate::support::{files, lab, part};

/// Applies a file as a dry run and returns the API server's answer.
async fn tried(facts: &Facts, file: &Path) -> anyhow::Result<String> {
    let args = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", &file.display().to_string()];
    kubectl(facts, &facts.kubeconfig, &args).await
}

/// Installs the operator's CRDs.
async fn define(facts: &Facts) {
    for source in &SOURCES {
        for file in source.paths().unwrap() {
            let file = file.display().to_string();
            let said = kubectl(facts, &facts.kubeconfig, &["apply", "--server-side", "-f", &file]).await;
            said.unwrap_or_else(|error| panic!("{error:#}\n`make setup` fetches what is missing"));
            // A new CRD has no conditions until its first status update, so `kubectl wait` may fail
            // at first.
            let established = wait::until("the CRD is established", Duration::from_secs(30), || async {
                let args = ["wait", "--for=condition=established", "--timeout=10s", "-f", &file];
                kubectl(facts, &facts.kubeconfig, &args).await
            });
            established.await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_operators_crds_accept_our_objects_and_no_unknown_field() {
    let _part = part("objects of the Prometheus operator");
    let lab = lab();
    let facts = lab.facts().await;
    define(&facts).await;
    let mut objects = files("alerts/operator", ".yaml");
    assert!(objects.len() > 4, "{objects:?}");
    objects.push(environment::repository().join("deploy/monitoring/monitoring.yaml"));
    for file in &objects {
        let said = tried(&facts, file).await;
        said.unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
    }

    for (name, from, to, told) in [
        ("alertmanagerconfig.yaml", "groupWait:", "groupWaits:", "groupWaits"),
        ("alertmanagerconfig.yaml", "matchType: =~", "matchType: ~~", "matchType"),
        ("strikes.yaml", "    - alert: GPUCheckFailing", "    - alerts: GPUCheckFailing", "alerts"),
    ] {
        let text = std::fs::read_to_string(environment::repository().join("alerts/operator").join(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        let wrong = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("wrong-{name}"));
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        let error = tried(&facts, &wrong).await.err().unwrap_or_else(|| panic!("{to} was accepted"));
        let error = format!("{error:#}");
        assert!(error.contains(told), "{to}: {error}");
    }
}
