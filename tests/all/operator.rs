//! Tests of the objects for the Prometheus operator: against its own CRDs in a real API server, and
//! against the real operator, which makes a configuration of them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ossci_lab::chart::Helm;
use ossci_lab::facts::Facts;
use ossci_lab::process::Program;
use ossci_lab::setup::Tools;
use ossci_lab::sources::SOURCES;
use ossci_lab::{environment, ports, wait};
use serde_json::{Value, json};

use crate::manifests::kubectl;
use crate::support::{files, lab, part, run, tool};

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

/// How kube-prometheus-stack selects: by the label of its release, in every namespace, and with its
/// default strategy an AlertmanagerConfig routes the alerts of its own namespace.
fn site(ca: &str) -> Vec<Value> {
    let ours = json!({ "matchLabels": { "release": "monitoring" } });
    let any = json!({});
    // Their pods stay away from the nodes of stories.
    let nowhere = json!({ "no": "node" });
    let metadata = json!({ "name": "main", "namespace": "monitoring" });
    let api = "monitoring.coreos.com/v1";
    let route = "route:\n  receiver: team\n  routes:\n  - {matchers: ['alertname=\"Watchdog\"'], receiver: watchdog}\n\
                 receivers:\n- name: team\n- name: watchdog\n";
    let secret = |name: &str, namespace: &str, data: Value| json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": namespace }, "stringData": data });
    vec![
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "monitoring" } }),
        secret("alertmanager-main", "monitoring", json!({ "alertmanager.yaml": route })),
        // What the controller makes.
        secret("ossci-webhook-tls", "ossci", json!({ "ca.crt": ca, "tls.crt": "", "tls.key": "" })),
        secret("ossci-webhook-token", "ossci", json!({ "token": "a-token" })),
        json!({ "apiVersion": api, "kind": "Prometheus", "metadata": metadata, "spec": {
            "replicas": 1, "nodeSelector": nowhere, "podMonitorSelector": ours, "podMonitorNamespaceSelector": any,
            "ruleSelector": ours, "ruleNamespaceSelector": any,
        }}),
        json!({ "apiVersion": api, "kind": "Alertmanager", "metadata": metadata, "spec": {
            "replicas": 1, "nodeSelector": nowhere, "alertmanagerConfigSelector": ours, "alertmanagerConfigNamespaceSelector": any,
        }}),
    ]
}

/// Returns a file that the operator keeps packed in a Secret, once it contains these words.
async fn generated(facts: &Facts, secret: &str, key: &str, words: &str) -> String {
    let path = format!("jsonpath={{.data.{}}}", key.replace('.', "\\."));
    let made = wait::until(format!("the operator writes {secret}"), Duration::from_secs(90), || async {
        let args = ["get", "secret", secret, "--namespace=monitoring", "--output", &path];
        let packed = STANDARD.decode(kubectl(facts, &facts.kubeconfig, &args).await?.trim())?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text)?;
        anyhow::ensure!(text.contains(words), "it lacks {words}:\n{text}");
        Ok(text)
    });
    made.await.unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test]
async fn the_real_operator_makes_a_scrape_rules_and_a_route_of_the_charts_objects() {
    let _part = part("the Prometheus operator");
    let lab = lab();
    let facts = lab.facts().await;
    define(&facts).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let apply = async |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).unwrap();
        let args = ["apply", "--server-side", "-f", &file.display().to_string()];
        kubectl(&facts, &facts.kubeconfig, &args).await.unwrap_or_else(|error| panic!("{error:#}"));
    };
    let ca = std::fs::read_to_string(facts.dir.join("pki/ca.crt")).unwrap();
    let objects: Vec<String> = site(&ca).iter().map(Value::to_string).collect();
    apply("site.yaml", objects.join("\n---\n")).await;
    let chart = Helm::new(&Tools::find().unwrap(), folder, None).unwrap();
    let rendered = chart.template(&["monitoring.labels.release=monitoring"]).await.unwrap();
    let ours = rendered.split("\n---\n").filter(|object| object.contains("apiVersion: monitoring.coreos.com/"));
    apply("ours.yaml", ours.collect::<Vec<_>>().join("\n---\n")).await;
    let log = folder.join("operator.log");
    let listens = format!("--web.listen-address=127.0.0.1:{}", ports::free().unwrap());
    let operator = Program::new("the operator", tool("operator")).arg(listens).env("KUBECONFIG", &facts.kubeconfig);
    let mut operator = operator.start(&log).unwrap();

    let scrape = generated(&facts, "prometheus-main", "prometheus.yaml.gz", "podMonitor/ossci/ossci-exporter/0").await;
    let routes =
        generated(&facts, "alertmanager-main-generated", "alertmanager.yaml.gz", "ossci/ossci-remediator/").await;
    operator.kill().await;

    let scrape: Value = serde_saphyr::from_str(&scrape).unwrap();
    let jobs = scrape["scrape_configs"].as_array().unwrap();
    assert_eq!(jobs.len(), 3, "{scrape}");
    for job in jobs {
        assert_eq!(job["honor_labels"], json!(false), "{job}");
        let to = |label: &str| {
            let rules = job["relabel_configs"].as_array().unwrap().iter();
            rules
                .filter(|rule| rule["target_label"] == label)
                .filter_map(|rule| rule["source_labels"][0].as_str())
                .next_back()
        };
        // The controllers' series have a label node of their own.
        let named = job["job_name"] != "podMonitor/ossci/ossci-remediator/0";
        assert_eq!(to("node"), named.then_some("__meta_kubernetes_pod_node_name"), "{job}");
        assert_eq!(to("job"), Some("__meta_kubernetes_pod_label_app_kubernetes_io_name"), "{job}");
    }
    let args = ["get", "configmap", "prometheus-main-rulefiles-0", "--namespace=monitoring", "--output=json"];
    let rules = kubectl(&facts, &facts.kubeconfig, &args).await.unwrap();
    let rules: Value = serde_json::from_str(&rules).unwrap();
    let rules = rules["data"].to_string();
    for alert in ["GPUCheckFailing", "ExporterSilent", "OssciHeartbeat", "NodeNeedsPerson"] {
        assert!(rules.contains(&format!("alert: {alert}")), "{alert} is not evaluated");
    }

    // Where Alertmanager sends an alert with these labels: ours only of our own namespace.
    let file = folder.join("alertmanager.yaml");
    std::fs::write(&file, &routes).unwrap();
    let config = format!("--config.file={}", file.display());
    run("amtool", &tool("amtool"), &["check-config", &file.display().to_string()]).await;
    let remediator = "ossci/ossci-remediator/ossci-remediator";
    for (labels, receivers) in [
        (&["namespace=ossci", "remediation=reboot", "node=a"][..], remediator),
        (&["namespace=ossci", "remediation=heartbeat", "severity=none"], remediator),
        (&["namespace=tenant", "remediation=reboot", "node=a"], "team"),
        (&["alertname=Watchdog", "severity=none", "namespace=monitoring"], "watchdog"),
        (&["alertname=InfoInhibitor", "severity=none", "namespace=ossci"], "team"),
        (&["alertname=RepairRunning", "severity=none", "namespace=ossci"], "ossci/ossci-blackhole/blackhole"),
    ] {
        let args: Vec<&str> = ["config", "routes", "test", &config].into_iter().chain(labels.iter().copied()).collect();
        let said = run("amtool", &tool("amtool"), &args).await;
        let found: Vec<&str> = said.trim().split(',').collect();
        // A route of ours goes on to the site's, which has none for these.
        assert_eq!(found[0], receivers, "{labels:?}: {said}\n{routes}");
    }
}
