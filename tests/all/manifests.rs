//! Tests of `deploy/`: the lab applies the shipped manifests, and our programs work with the
//! permissions in them.

use std::path::Path;
use std::time::Duration;

use kube::Api;
use kube::api::{Patch, PatchParams};
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;
use ossci_lab::{environment, kubeconfig};
use ossci_remediator::wire::node_repair::NodeRepair;

use crate::support::lab;

pub async fn kubectl(facts: &Facts, kubeconfig: &Path, args: &[&str]) -> anyhow::Result<String> {
    let program = Program::new("kubectl", &facts.kubectl).arg(format!("--kubeconfig={}", kubeconfig.display()));
    let cache = facts.dir.join("kubectl-cache");
    program
        .arg(format!("--cache-dir={}", cache.display()))
        .args(args)
        .env("HOME", &cache)
        .output(Duration::from_secs(60))
        .await
}

#[tokio::test]
async fn the_api_server_accepts_every_manifest() {
    let lab = lab();
    let facts = lab.facts().await;
    let folder = |name: &str| environment::repository().join(name).display().to_string();
    let deploy = folder("deploy");
    let dry = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", &deploy];
    let applied = kubectl(&facts, &facts.kubeconfig, &dry).await;
    let applied = applied.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(applied.lines().count() > 8 && applied.contains("ossci-iperf3"), "{applied}");
}

#[tokio::test]
async fn each_program_runs_as_its_own_service_account() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    for (config, account) in [
        ("nodes/infra1/secrets/controller.kubeconfig", "system:serviceaccount:ossci:ossci-remediator"),
        ("nodes/node1/secrets/agent.kubeconfig", "system:serviceaccount:ossci:ossci-agent"),
    ] {
        let who =
            kubectl(&facts, &facts.dir.join(config), &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])
                .await;
        assert_eq!(who.unwrap(), account);
    }
}

/// Returns the API server's answer when the agent of node2 changes the status of a record. A dry
/// run: nothing is stored.
async fn agent_changes(facts: &Facts, node: &str, status: serde_json::Value) -> String {
    let agent = kubeconfig::client(&facts.dir.join("nodes/node2/secrets/agent.kubeconfig")).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let change = Patch::Merge(serde_json::json!({ "status": status }));
    let answer = Api::<NodeRepair>::all(agent).patch_status(node, &dry, &change).await;
    answer.map_or_else(|error| error.to_string(), |_| "granted".to_owned())
}

#[tokio::test]
async fn an_agent_writes_only_status_agent_of_its_own_record() {
    use serde_json::json;
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let said = json!({ "agent": { "message": "done" } });
    let own = agent_changes(&facts, "node2", said.clone()).await;
    assert_eq!(own, "granted");
    let others = agent_changes(&facts, "node3", said).await;
    assert!(others.contains("may not write the record of node3"), "{others}");
    let condition = json!([{ "type": "Understood", "status": "False", "reason": "Lies", "message": "",
                             "lastTransitionTime": "2026-01-01T00:00:00Z" }]);
    for status in [json!({ "conditions": condition }), json!({ "episode": null }), json!({ "history": [] })] {
        let answer = agent_changes(&facts, "node2", status).await;
        assert!(answer.contains("an agent writes status.agent only"), "{answer}");
    }
}

#[tokio::test]
async fn only_the_controller_may_taint_nodes() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let may = |config: &'static str, verb: &'static str, what: &'static str| {
        let facts = &facts;
        async move {
            let answer = kubectl(facts, &facts.dir.join(config), &["auth", "can-i", verb, what]).await;
            answer.is_ok_and(|answer| answer.trim() == "yes")
        }
    };
    let (controller, agent) = ("nodes/infra1/secrets/controller.kubeconfig", "nodes/node1/secrets/agent.kubeconfig");
    for verb in ["patch", "update"] {
        assert!(!may(agent, verb, "nodes").await, "the agent may {verb} nodes");
    }
    for (verb, what) in [("delete", "nodes"), ("create", "pods"), ("get", "secrets"), ("delete", "pods")] {
        assert!(!may(controller, verb, what).await, "the controller may {verb} {what}");
        assert!(!may(agent, verb, what).await, "the agent may {verb} {what}");
    }
}
