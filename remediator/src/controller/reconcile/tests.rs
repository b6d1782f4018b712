//! The reconcile loop and its steps against a small API server: what is written, in which order,
//! and what a lost race does.

use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use super::node::reconcile;
use crate::controller::context::Context;
use crate::controller::testing::*;

fn policy(mode: &str, more: &str) -> String {
    format!(
        "pools: [{{name: gpu, nodeSelector: {{gpu: \"true\"}}, mode: {mode}}}]\ntimes: {{stabiliseSeconds: 1}}\n{more}\n"
    )
}

/// Reconciles until two reconciles in a row write nothing more.
async fn settle(api: &ApiServer, context: &Context, node: &str) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..12 {
        deliver(api, context);
        reconcile(context, node).await;
        let log = api.take_log();
        let wrote = log.iter().any(|line| !line.starts_with("GET") && line != "alertmanager");
        all.extend(log);
        if !wrote {
            break;
        }
    }
    all
}

fn writes(log: &[String]) -> Vec<&str> {
    let names = |line: &String| -> Option<&'static str> {
        match line.as_str() {
            "PATCH /apis/ossci.amd.com/v1alpha1/noderepairs/n1/status" => Some("record"),
            "PATCH /apis/ossci.amd.com/v1alpha1/noderepairs/n1" => Some("order"),
            "PATCH /api/v1/nodes/n1" => Some("taint"),
            "PATCH /api/v1/namespaces/ossci/configmaps/ossci-budget" => Some("budget"),
            _ => None,
        }
    };
    log.iter().filter_map(names).collect()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test]
async fn a_taint_is_recorded_before_and_after_it_is_placed() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("taint", ""));
    put_node(&api, "n1", &["somebody/else"]);
    put_complaint(&api, "n1", "reboot");
    let log = settle(&api, &context, "n1").await;
    assert_eq!(writes(&log)[..3], ["record", "taint", "record"], "{log:?}");
    let record = api.record("n1");
    assert_eq!(text(&record, "/status/episode/taint/state"), "confirmed");
    assert_eq!(text(&record, "/status/episode/why/reason"), "ModeTaintOnly");
    let keys: Vec<&str> = api.node("n1")["spec"]["taints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["key"].as_str().unwrap())
        .map(|k| if k == "somebody/else" { "foreign" } else { "ours" })
        .collect();
    assert_eq!(keys, ["foreign", "ours"]);
    assert_eq!(text(&api.node("n1"), "/status/conditions/1/type"), "OssciHealthy");
}

#[tokio::test]
async fn a_replica_that_does_not_lead_sends_no_request() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("taint", ""));
    put_node(&api, "n1", &[]);
    put_complaint(&api, "n1", "reboot");
    context.leadership.set(None);
    deliver(&api, &context);
    assert_eq!(reconcile(&context, "n1").await, None);
    assert_eq!(api.take_log(), Vec::<String>::new());
}

#[tokio::test]
async fn a_write_over_a_stale_record_loses_and_is_decided_again() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("taint", ""));
    put_node(&api, "n1", &[]);
    put_complaint(&api, "n1", "reboot");
    deliver(&api, &context);
    // Another writer was faster than the watch.
    put_complaint(&api, "n1", "reimage");
    let wait = reconcile(&context, "n1").await;
    assert_eq!(wait, Some(Duration::from_millis(50)));
    assert_eq!(api.record("n1").pointer("/status/episode"), None);
    let log = settle(&api, &context, "n1").await;
    assert!(!log.is_empty());
    assert_eq!(text(&api.record("n1"), "/status/episode/rung"), "reimage");
}

#[tokio::test]
async fn a_persons_taint_creates_the_record_and_starts_its_rung() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("taint", ""));
    put_node(&api, "n1", &["repair-reimage"]);
    let log = settle(&api, &context, "n1").await;
    assert!(log.contains(&"POST /apis/ossci.amd.com/v1alpha1/noderepairs".to_owned()), "{log:?}");
    let record = api.record("n1");
    assert_eq!(text(&record, "/status/episode/rung"), "reimage");
    assert_eq!(text(&record, "/status/episode/steps/0/outcome/reason"), "TaintedByPerson");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_reported_and_left_alone() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("reboot", ""));
    put_node(&api, "n1", &[]);
    put_record(&api, "n1", json!({"episode": {"phase": "Dancing"}}));
    deliver(&api, &context);
    assert_eq!(reconcile(&context, "n1").await, None);
    let record = api.record("n1");
    assert_eq!(text(&record, "/status/conditions/0/reason"), "NotUnderstood");
    assert_eq!(text(&record, "/status/episode/phase"), "Dancing");
    assert_eq!(api.node("n1")["spec"]["taints"], json!([]));
}

/// An Alertmanager that knows no silence. Its requests stand among those of the API server, and
/// `asked` runs at each.
async fn alertmanager(api: &ApiServer, asked: impl Fn(&ApiServer) + Clone + Send + Sync + 'static) -> String {
    let api = api.clone();
    let answer = move || {
        api.note("alertmanager");
        asked(&api);
        async { Json(json!([])) }
    };
    let routes =
        Router::new().route("/api/v2/alerts", get(async || Json(json!([])))).route("/api/v2/silences", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// Lock, ask Alertmanager, then read, then decide: a silence or a hold that came in between is
/// seen.
#[tokio::test]
async fn a_disruptive_step_asks_alertmanager_then_reads_both() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = ApiServer::default();
    let url = alertmanager(&api, |_| {}).await;
    let context = controller(&api, &policy("reboot", &format!("alertmanager: {{urls: [\"{url}\"]}}")));
    put_node(&api, "n1", &["repair-reboot"]);
    context.alerts.heard(crate::controller::state::alerts::Heard::default());
    let log = settle(&api, &context, "n1").await;
    assert_eq!(text(&api.record("n1"), "/status/episode/phase"), "Capturing", "{log:#?}");
    let short: Vec<&str> = log
        .iter()
        .filter_map(|line| match line.as_str() {
            "alertmanager" => Some("ask"),
            "GET /apis/ossci.amd.com/v1alpha1/noderepairs/n1" => Some("read record"),
            "GET /api/v1/nodes/n1" => Some("read node"),
            "PATCH /apis/ossci.amd.com/v1alpha1/noderepairs/n1/status" => Some("write"),
            _ => None,
        })
        .collect();
    let asked =
        short.iter().rposition(|line| *line == "ask").unwrap_or_else(|| panic!("Alertmanager was not asked: {log:#?}"));
    assert_eq!(
        short[asked..].iter().take(4).collect::<Vec<_>>(),
        [&"ask", &"read record", &"read node", &"write"],
        "{log:#?}"
    );
}

/// The same, and a person holds the node at the moment at which Alertmanager answers.
#[tokio::test]
async fn a_hold_between_the_answer_and_the_write_is_seen() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = ApiServer::default();
    let hold = |api: &ApiServer| {
        let mut node = api.node("n1");
        node["metadata"]["annotations"] = json!({"ossci.amd.com/hold": "a person works here"});
        api.put("/api/v1/nodes/n1", node);
    };
    let url = alertmanager(&api, hold).await;
    let context = controller(&api, &policy("reboot", &format!("alertmanager: {{urls: [\"{url}\"]}}")));
    context.alerts.heard(crate::controller::state::alerts::Heard::default());
    put_node(&api, "n1", &["repair-reboot"]);
    deliver(&api, &context);
    reconcile(&context, "n1").await;
    let record = api.record("n1");
    assert!(api.take_log().contains(&"alertmanager".to_owned()));
    assert_eq!(text(&record, "/status/episode/phase"), "Waiting");
    assert_eq!(text(&record, "/status/episode/why/reason"), "OnHold");
}

#[tokio::test]
async fn an_alert_that_alertmanager_does_not_list_places_no_taint() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = ApiServer::default();
    let url = alertmanager(&api, |_| {}).await;
    let context = controller(&api, &policy("reboot", &format!("alertmanager: {{urls: [\"{url}\"]}}")));
    put_node(&api, "n1", &[]);
    put_complaint(&api, "n1", "reboot");
    let log = settle(&api, &context, "n1").await;
    assert_eq!(log.iter().filter(|line| *line == "alertmanager").count(), 2, "once in each reconcile: {log:?}");
    assert_eq!(text(&api.record("n1"), "/status/episode/why/reason"), "Unconfirmed");
    assert_eq!(api.node("n1")["spec"]["taints"], json!([]));
}

#[tokio::test]
async fn a_slot_of_an_ended_episode_is_released_with_the_next_take() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("reboot", ""));
    let mut budget = api.budget();
    let slot = json!({"repairUID": "gone", "episode": 7, "pool": "gpu", "since": "2026-01-01T00:00:00Z"});
    budget["data"] = json!({"old": slot.to_string()});
    api.put("/api/v1/namespaces/ossci/configmaps/ossci-budget", budget);
    put_node(&api, "n1", &[]);
    put_node(&api, "old", &[]);
    put_complaint(&api, "n1", "reboot");
    settle(&api, &context, "n1").await;
    let data = api.budget()["data"].clone();
    assert!(data.get("n1").is_some() && data.get("old").is_none(), "{data}");
}

#[tokio::test]
async fn one_pod_that_may_not_go_does_not_keep_the_others() {
    let api = ApiServer::default();
    let context = controller(&api, &policy("reboot", ""));
    for pod in ["a", "b", "c"] {
        put_pod(&api, pod, "n1");
    }
    api.protect("a", StatusCode::INTERNAL_SERVER_ERROR, "more than one PodDisruptionBudget");
    api.protect("b", StatusCode::TOO_MANY_REQUESTS, "the disruption budget allows none");
    let pods = super::observe::pods_to_leave(&context.client, "n1").await.unwrap();
    assert_eq!(pods.len(), 3);
    super::evict::evict(&context.client, &context.evictions, "n1", &pods).await;
    let left = super::observe::pods_to_leave(&context.client, "n1").await.unwrap();
    assert_eq!(left.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let refused = context.evictions.refused("n1");
    assert!(refused["default/a"].contains("more than one") && refused["default/b"].contains("allows none"));
}

#[tokio::test]
async fn two_taints_are_never_decided_at_the_same_time() {
    let api = ApiServer::default();
    let context = Arc::new(controller(&api, &policy("taint", "brakes: {taintPercent: 50}")));
    for node in ["n1", "n2"] {
        put_node(&api, node, &[]);
        put_complaint(&api, node, "reboot");
    }
    deliver(&api, &context);
    tokio::join!(reconcile(&context, "n1"), reconcile(&context, "n2"));
    let tainted = ["n1", "n2"].iter().filter(|node| api.node(node)["spec"]["taints"] != json!([])).count();
    assert_eq!(tainted, 1, "half of two nodes is one");
}
