//! Tests of the commands that people run, against the lab after the demo.

use std::path::Path;
use std::time::Duration;

use ossci_lab::environment;
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;

use crate::support::{lab, part};

/// Runs the remediator's program; returns its exit code, and what it printed.
async fn runs(facts: &Facts, args: &[&str], kubeconfig: &Path) -> (i32, String) {
    let program = Program::new("a command", environment::our_program("ossci-remediator").unwrap())
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .env("HOME", &facts.dir);
    let ended = program.finish(Duration::from_secs(60)).await.unwrap().expect("it ends");
    (ended.status.code().unwrap_or(-1), format!("{}{}", ended.stdout, ended.stderr))
}

#[tokio::test]
async fn explain_says_why_a_node_is_where_it_is() {
    let _part = part("explain");
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let nowhere = facts.dir.join("no-such-file");
    for (args, kubeconfig, code, told) in [
        (
            &["explain", "node4"][..],
            &facts.kubeconfig,
            1,
            &["manual: Escalated", "MailAccepted", "taint repair-manual"][..],
        ),
        (&["explain", "node4"], &facts.kubeconfig, 1, &["kubectl taint node node4 repair-manual-", "(ProofFailed)"]),
        (&["explain", "node2"], &facts.kubeconfig, 0, &["no repair runs", "pool demo"]),
        (&["explain", "node44"], &facts.kubeconfig, 3, &["there is no Node node44", "near: node4, "]),
        (&["explain", "node4"], &nowhere, 3, &["no cluster to ask"]),
        (&["explain"], &facts.kubeconfig, 2, &["<NODE>"]),
    ] {
        let (found, said) = runs(&facts, args, kubeconfig).await;
        assert_eq!(found, code, "{args:?}:\n{said}");
        for words in told {
            assert!(said.contains(words), "{args:?} does not say {words:?}:\n{said}");
        }
    }
    let (_, said) = runs(&facts, &["explain", "node4", "--output=json"], &facts.kubeconfig).await;
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (json["states"][0]["why"].as_str(), json["open"].as_bool()),
        (Some("MailAccepted"), Some(true)),
        "{said}"
    );
    // The exporter's account may read nothing; the agent's may read Nodes and records.
    let agent = facts.dir.join("nodes/node2/secrets/agent.kubeconfig");
    assert_eq!(runs(&facts, &["explain", "node4"], &agent).await.0, 1);
}
