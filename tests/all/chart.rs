//! Tests of the chart: what it renders, what it refuses, and what its admission policies forbid,
//! against the API server of the lab, into which helm installed it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use ossci_lab::chart::{self, Helm};
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;
use ossci_lab::setup::Tools;
use ossci_lab::{environment, kubeconfig};
use serde_json::{Value, json};

use crate::manifests::kubectl;
use crate::support::{lab, part};

fn helm() -> Helm {
    Helm::new(&Tools::find().unwrap(), Path::new(env!("CARGO_TARGET_TMPDIR")), None).unwrap()
}

#[tokio::test]
async fn the_plain_manifests_are_what_the_chart_renders() {
    let rendered = chart::plain(&helm()).await.unwrap();
    let mut differing = Vec::new();
    for (file, text) in &rendered {
        let committed = std::fs::read_to_string(environment::repository().join("deploy").join(file));
        if committed.ok().as_ref() != Some(text) {
            differing.push(file.as_str());
        }
    }
    assert!(differing.is_empty(), "run `make manifests`: {}", differing.join(" "));
    assert!(rendered.len() > 8);
}

#[tokio::test]
async fn helm_and_the_schemas_of_kubernetes_find_nothing_to_complain_of() {
    let folder = chart::folder().display().to_string();
    let said = helm().run(&["lint", "--strict", &folder]).await.unwrap();
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

/// The example for kustomize has every manifest, with the images and the labels of its site.
#[tokio::test]
async fn the_kustomize_example_has_every_manifest() {
    let example = environment::repository().join("deploy/kustomize");
    let built = Program::new("kubectl kustomize", Tools::find().unwrap().get("kubectl").unwrap())
        .args(["kustomize", "--load-restrictor=LoadRestrictionsNone"])
        .arg(&example)
        .output(Duration::from_secs(60));
    let built = objects(&built.await.unwrap());
    let namespace = std::fs::read_to_string(example.join("../00-namespace.yaml")).unwrap();
    let plain = std::iter::once(namespace).chain(chart::plain(&helm()).await.unwrap().into_values());
    let plain = plain.collect::<Vec<_>>().join("\n---\n");
    let named = |objects: &[Value]| -> BTreeSet<String> {
        objects.iter().map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect()
    };
    let (built_names, plain_names) = (named(&built), named(&objects(&plain)));
    let differing: Vec<_> = built_names.symmetric_difference(&plain_names).collect();
    assert!(differing.is_empty(), "only in one of both: {differing:?}");
    for object in &built {
        let text = object.to_string();
        assert!(!text.contains("\"image\":\"ossci-"), "an image has no registry: {text}");
        if object["apiVersion"].as_str().unwrap().starts_with("monitoring.coreos.com") {
            assert_eq!(object["metadata"]["labels"]["release"], "monitoring", "{text}");
        }
    }
}

/// The objects of a stream of YAML documents.
fn objects(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---\n").filter(|text| text.lines().any(|line| line.starts_with("kind:")));
    documents.map(|text| serde_saphyr::from_str(text).unwrap()).collect()
}

/// Values that contradict each other, or name what does not exist, are refused before anything is
/// installed.
#[tokio::test]
async fn wrong_values_are_refused_in_words() {
    for (setting, told) in [
        ("pools[0].mode=reboots", "'/pools/0/mode': value must be one of 'observe', 'taint', 'reboot', 'reimage'"),
        ("pools=null", "pools"),
        ("controller.replica=3", "additional properties 'replica' not allowed"),
        ("controller.replicas=0", "minimum: got 0, want 1"),
        ("policy.pools=x", "'/policy'"),
        ("images.remediator.digest=latest", "'/images/remediator/digest'"),
        ("existingPolicy=ours,policy.cluster=a", "leave `policy` out, or leave existingPolicy out"),
        ("policy.mial.to=a", "additional properties 'mial' not allowed"),
        ("policy.mail.too=a", "additional properties 'too' not allowed"),
        ("policy.budget.atMostPercent=ten", "'/policy/budget/atMostPercent'"),
    ] {
        let answer = helm().template(&[setting]).await;
        let Err(error) = answer else { panic!("{setting} was accepted") };
        assert!(format!("{error:#}").contains(told), "{setting}: {error:#}");
    }
    let error =
        helm().run(&["template", "ossci", &chart::folder().display().to_string(), "--kube-version", "1.29.0"]).await;
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("1.30"), "{error}");
}

/// The answer to a change that is not stored.
async fn tried(facts: &Facts, args: &[&str]) -> String {
    let args: Vec<&str> = args.iter().copied().chain(["--dry-run=server"]).collect();
    match kubectl(facts, &facts.kubeconfig, &args).await {
        Ok(_) => "granted".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

/// Lets these users do everything that RBAC can grant: what refuses them is admission.
async fn everything(facts: &Facts, users: &[&str]) {
    let users: Vec<String> = users.iter().map(|user| format!("--user={user}")).collect();
    let mut args = vec!["create", "clusterrolebinding", "attackers", "--clusterrole=cluster-admin"];
    args.extend(users.iter().map(String::as_str));
    kubectl(facts, &facts.kubeconfig, &args).await.unwrap();
}

const CONTROLLER: &str = "--as=system:serviceaccount:ossci:ossci-remediator";

#[tokio::test]
async fn the_admission_policies_refuse_every_other_writer() {
    let _part = part("admission policies");
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let (person, moved) = ("--as=sre", "--as=system:serviceaccount:gpu-ops:ossci-remediator");
    let kubelet = ["--as=system:node:node1", "--as-group=system:nodes", "--as-group=system:authenticated"];
    let users = ["sre", "system:serviceaccount:gpu-ops:ossci-remediator"];
    everything(&facts, &users).await;
    let no_order = json!({ "spec": { "order": null } }).to_string();
    let times = ("2026-11-30T12:00:00Z", "2026-11-30T13:00:00Z");
    let order =
        json!({ "id": "1-reboot-1-check", "kind": "prove", "bootID": "x", "issuedAt": times.0, "deadline": times.1 });
    let order = json!({ "spec": { "order": order } }).to_string();
    let spec = json!({ "spec": { "unschedulable": true } }).to_string();
    let foreign = json!({ "spec": { "taints": [{ "key": "maintenance", "effect": "NoSchedule" }] } }).to_string();
    let ours = json!({ "spec": { "taints": [{ "key": "repair-manual", "effect": "NoSchedule" }] } }).to_string();
    let writes = "only the controller writes records and orders";
    let label = "the controller changes only the label ossci.amd.com/pool";
    let budget = "the controller writes the budget and deletes evidence only";
    let tries: &[(&[&str], &str)] = &[
        // A person, and a controller whose namespace the policies do not name.
        (&["patch", "nrep", "node2", "--type=merge", "-p", &order, person], writes),
        (&["patch", "nrep", "node2", "--type=merge", "-p", &order, moved], writes),
        (
            &[
                "patch",
                "nrep",
                "node2",
                "--subresource=status",
                "--type=merge",
                "-p",
                r#"{"status":{"history":[]}}"#,
                person,
            ],
            writes,
        ),
        (&["annotate", "nrep", "node2", "ticket=1", person], "granted"),
        (&["delete", "nrep", "node2", person], "granted"),
        // The controller's token in wrong hands.
        (&["patch", "nrep", "node2", "--type=merge", "-p", &no_order, CONTROLLER], "granted"),
        (&["patch", "node", "node1", "-p", &spec, CONTROLLER], "only our four taints"),
        (&["patch", "node", "node1", "--type=merge", "-p", &foreign, CONTROLLER], "only our four taints"),
        (&["patch", "node", "node1", "--type=merge", "-p", &ours, CONTROLLER], "granted"),
        (&["label", "node", "node1", "zone=a", CONTROLLER], label),
        (&["label", "node", "node1", "kubernetes.io/hostname-", CONTROLLER], label),
        (&["label", "node", "node1", "--overwrite", "ossci.amd.com/pool=x", CONTROLLER], "granted"),
        (
            &["annotate", "node", "node1", "ossci.amd.com/hold=x", CONTROLLER],
            "only the annotation ossci.amd.com/adopted",
        ),
        (&["delete", "node", "node1", CONTROLLER], "cannot delete resource"),
        (&["create", "-n", "ossci", "configmap", "x", CONTROLLER], "cannot create resource"),
        (&["delete", "-n", "ossci", "configmap", "ossci-policy", CONTROLLER], budget),
        (&["annotate", "-n", "ossci", "configmap", "ossci-policy", "a=b", CONTROLLER], "cannot patch resource"),
        (&["annotate", "-n", "ossci", "configmap", "ossci-budget", "a=b", CONTROLLER], "granted"),
        (&["create", "-n", "ossci", "secret", "generic", "x", CONTROLLER], "the two Secrets of its webhook"),
        // A kubelet may change its own Node, but not what says that we repair it.
        (&["label", "node", "node1", "zone=a", kubelet[0], kubelet[1], kubelet[2]], "granted"),
        (
            &["label", "node", "node1", "ossci.amd.com/pool-", kubelet[0], kubelet[1], kubelet[2]],
            "a kubelet does not change",
        ),
        (
            &["annotate", "node", "node1", "ossci.amd.com/hold=x", kubelet[0], kubelet[1], kubelet[2]],
            "a kubelet does not change",
        ),
    ];
    let mut wrong = Vec::new();
    for (args, told) in tries {
        let answer = tried(&facts, args).await;
        if !answer.contains(told) {
            wrong.push(format!("{}: {answer}", args.join(" ")));
        }
    }
    kubectl(&facts, &facts.kubeconfig, &["delete", "clusterrolebinding", "attackers"]).await.unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The controller reports one condition. kubectl would read the status first, which it may not.
#[tokio::test]
async fn the_controller_changes_one_condition_of_a_nodes_status() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let controller = kubeconfig::client(&facts.dir.join("nodes/infra1/secrets/controller.kubeconfig")).await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let condition = |kind: &str| json!({ "conditions": [{ "type": kind, "status": "False" }] });
    for (status, told) in [
        (condition("OssciHealthy"), "granted"),
        (condition("Ready"), "only the condition OssciHealthy"),
        (json!({ "nodeInfo": { "kernelVersion": "x" } }), "only the condition OssciHealthy"),
        (json!({ "addresses": [{ "type": "Hostname", "address": "x" }] }), "only the condition OssciHealthy"),
    ] {
        let patch = Patch::Strategic(json!({ "status": status }));
        let answer = Api::<Node>::all(controller.clone()).patch_status("node1", &dry, &patch).await;
        let answer = answer.map_or_else(|error| error.to_string(), |_| "granted".to_owned());
        assert!(answer.contains(told), "{status}: {answer}");
    }
}

/// A write of the status may change labels and annotations, too. kubectl would read the status
/// first, which a kubelet may not.
#[tokio::test]
async fn a_kubelet_changes_nothing_of_ours_through_its_status() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let kubelet = kubeconfig::client_as_kubelet(&facts.kubeconfig, "node1").await.unwrap();
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let refused = "a kubelet does not change";
    for (metadata, expected) in [
        (json!({ "annotations": { "ossci.amd.com/hold-until": "2020-01-01T00:00:00Z" } }), refused),
        (json!({ "annotations": { "ossci.amd.com/verify": "2030-01-01T00:00:00Z verify x: y" } }), refused),
        (json!({ "labels": { "ossci.amd.com/pool": null } }), refused),
        (json!({ "annotations": { "volumes.kubernetes.io/x": "true" } }), "granted"),
    ] {
        let patch = Patch::Merge(json!({ "metadata": metadata }));
        let answer = Api::<Node>::all(kubelet.clone()).patch_status("node1", &dry, &patch).await;
        let answer = answer.map_or_else(|error| error.to_string(), |_| "granted".to_owned());
        assert!(answer.contains(expected), "{metadata}: {answer}");
    }
}

/// An agent makes evidence of its own node, under a name that no other node's evidence has.
#[tokio::test]
async fn an_agent_makes_evidence_of_its_own_node_only() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let agent = facts.dir.join("nodes/node2/secrets/agent.kubeconfig");
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("evidence.json");
    let map = |name: &str, node: &str, size: usize| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "binaryData": { "evidence.txt.gz": "A".repeat(size) },
            "metadata": {
                "name": name, "namespace": "ossci", "labels": { "ossci.amd.com/evidence": "true" },
                "annotations": { "ossci.amd.com/node": node },
            },
        })
    };
    for (name, node, size, told) in [
        ("ossci-evidence-1-reboot-1-capture-1.node2", "node2", 400, "granted"),
        ("ossci-evidence-1-reboot-1-capture-1.node3", "node3", 400, "evidence of its own node only"),
        ("ossci-evidence-1-reboot-1-capture-1.node3", "node2", 400, "evidence of its own node only"),
        ("ossci-evidence-1.a.node2", "node2", 400, "evidence of its own node only"),
        ("ossci-policy", "node2", 400, "evidence of its own node only"),
        ("ossci-evidence-1-reboot-1-capture-1.node2", "node3", 400, "its node's name as an annotation"),
        ("ossci-evidence-1-reboot-1-capture-1.node2", "node2", 90_000, "at most 64 KiB"),
    ] {
        std::fs::write(&file, map(name, node, size).to_string()).unwrap();
        let args = ["create", "--dry-run=server", "-f", &file.display().to_string()];
        let answer =
            kubectl(&facts, &agent, &args).await.map_or_else(|error| format!("{error:#}"), |_| "granted".to_owned());
        assert!(answer.contains(told), "{name} of {node}: {answer}");
    }
}

/// Returns the properties of a type of the API server's own OpenAPI.
async fn properties(facts: &Facts, path: &str, kind: &str) -> BTreeSet<String> {
    let text = kubectl(facts, &facts.kubeconfig, &["get", "--raw", path]).await.unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let fields = all["components"]["schemas"][kind]["properties"].as_object().unwrap_or_else(|| panic!("no {kind}"));
    fields.keys().cloned().collect()
}

/// A field that a policy forgets is one that anybody may write.
#[tokio::test]
async fn the_policies_name_every_field_of_a_record_and_of_a_node() {
    let lab = lab();
    let facts = lab.facts().await;
    let policies = std::fs::read_to_string(environment::repository().join("deploy/admission.yaml")).unwrap();
    let forgotten = |root: &str, fields: BTreeSet<String>, free: &[&str]| {
        let named = |field: &String| {
            let field = format!("object.{root}.?{field}");
            free.iter().any(|free| field.ends_with(free)) || policies.matches(&field).count() >= 1
        };
        fields.into_iter().filter(|field| !named(field)).collect::<Vec<_>>()
    };
    let crd: Value = serde_saphyr::from_str(&ossci_remediator::commands::crd::yaml().unwrap()).unwrap();
    let status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"].clone();
    for field in status.as_object().unwrap().keys().filter(|field| *field != "agent") {
        let before = format!("oldObject.?status.{field}");
        assert!(policies.contains(&before), "deploy/chart/templates/admission.yaml: an agent may write status.{field}");
    }
    let of = |kind: &'static str| properties(&facts, "/openapi/v3/api/v1", kind);
    let spec = forgotten("spec", of("io.k8s.api.core.v1.NodeSpec").await, &["taints"]);
    let status = forgotten("status", of("io.k8s.api.core.v1.NodeStatus").await, &["conditions"]);
    assert!(spec.is_empty() && status.is_empty(), "the controller may write spec {spec:?}, status {status:?}");
}
