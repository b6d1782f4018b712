//! Tests of the webhook with invalid requests, large deliveries and idle connections: invalid
//! alerts are refused, valid ones in the same delivery are recorded, and idle connections block no
//! other client.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use ossci_lab::facts::Facts;
use ossci_lab::paper_nodes::Size;
use ossci_lab::sender::{Sender, alert};
use ossci_lab::{kubeconfig, paper_nodes, parts, wait};
use ossci_remediator::wire::node_repair::NodeRepair;
use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{lab_to_flood, part};

/// Timeout of a delivery. Alertmanager retries until the next flush of the group; the machine may
/// be slow.
const DELIVERED: Duration = Duration::from_secs(120);

/// The replica that receives all requests.
struct Target {
    facts: Facts,
    admin: Client,
    sender: Sender,
}

impl Target {
    /// Creates nodes with this prefix, so that two tests never share a node.
    async fn new(prefix: &str, nodes: usize) -> Self {
        let facts = lab_to_flood().await.facts().await;
        let admin = kubeconfig::client(&facts.kubeconfig).await.unwrap();
        paper_nodes::create(&admin, prefix, 0..nodes, "unmanaged", Size::Small).await.unwrap();
        let sender = Sender::to(&facts, &facts.remediator_webhooks[0]).unwrap();
        Self { facts, admin, sender }
    }

    /// Counts of the alerts received so far, by outcome.
    async fn outcomes(&self) -> BTreeMap<String, f64> {
        let url = format!("http://{}/metrics", self.facts.remediator_metrics[0]);
        let page = parts::page(&parts::http().unwrap(), &url).await.unwrap();
        let series = page.lines().filter_map(|line| {
            let (outcome, value) =
                line.strip_prefix("ossci_remediator_webhook_alerts_total{outcome=\"")?.split_once("\"} ")?;
            Some((outcome.to_owned(), value.parse().unwrap()))
        });
        series.collect()
    }

    async fn repair(&self, node: &str) -> NodeRepair {
        Api::<NodeRepair>::all(self.admin.clone()).get(node).await.unwrap_or_else(|error| panic!("{node}: {error}"))
    }
}

/// Returns an alert about an existing node, with one change.
fn changed(node: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut alert = alert(node, "changed");
    change(&mut alert);
    alert
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_alert_does_not_block_the_valid_ones() {
    let _part = part("invalid requests to the webhook");
    let lab = lab_to_flood().await;
    let to = Target::new("sense", 12).await;
    let delivery = |version: Value, alerts: Value| json!({"version": version, "alerts": alerts}).to_string();
    for (body, expected) in [
        (String::new(), StatusCode::BAD_REQUEST),
        ("GPU 3 is hot".to_owned(), StatusCode::BAD_REQUEST),
        ("[".repeat(100_000), StatusCode::BAD_REQUEST),
        (json!([alert("sense00000", "x")]).to_string(), StatusCode::BAD_REQUEST),
        (delivery(json!("3"), json!([alert("sense00000", "x")])), StatusCode::BAD_REQUEST),
        (delivery(json!(4), json!([])), StatusCode::BAD_REQUEST),
        (delivery(json!("4"), json!({})), StatusCode::BAD_REQUEST),
        ("x".repeat(50 << 20), StatusCode::PAYLOAD_TOO_LARGE),
        (delivery(json!("4"), json!([])), StatusCode::OK),
    ] {
        let status = to.sender.send(body.clone()).await.unwrap();
        assert_eq!(status, expected, "{body:.60}");
    }

    // Each body also holds one valid alert.
    let name = |number| paper_nodes::name("sense", number);
    let node = |name: &str| changed("sense00000", |alert| alert["labels"]["node"] = json!(name));
    let nonsense = [
        vec![node(&"a".repeat(10_000)), node(""), node("../sense00000"), node("sense00000/status")],
        vec![node("%2e%2e"), node("SENSE00000"), node("knöten"), node("sense00000?x=1"), node("-sense")],
        vec![changed("sense00000", |alert| drop(alert["labels"].as_object_mut().unwrap().remove("node")))],
        vec![json!(null), json!(7), json!({}), json!([]), changed("sense00000", |alert| alert["labels"] = json!([]))],
        vec![changed("sense00000", |alert| alert["startsAt"] = json!("9999-12-31T23:59:59Z"))],
        vec![changed("sense00000", |alert| alert["startsAt"] = json!(7))],
        vec![changed("sense00000", |alert| alert["status"] = json!("burning"))],
        vec![alert("unknown-node", "x")],
    ];
    let mut expected: BTreeSet<String> = BTreeSet::new();
    for (number, alerts) in nonsense.into_iter().enumerate() {
        let good = name(number + 1);
        to.sender.alerts(&[alerts, vec![alert(&good, "x")]].concat()).await.unwrap();
        assert_eq!(to.repair(&good).await.record().complaints.len(), 1, "{good}");
        expected.insert(good);
    }
    let outcomes = to.outcomes().await;
    for (outcome, count) in [("no node", 10.0), ("not understood", 7.0), ("unknown status", 1.0), ("no such node", 1.0)]
    {
        assert_eq!(outcomes.get(outcome), Some(&count), "{outcome}: {outcomes:?}");
    }

    // Unusual alerts that still are complaints: one node and one fingerprint make one complaint.
    let odd = |number: usize, alerts: Vec<Value>| (name(number), alerts);
    let over = |node: &str| {
        changed(node, |alert| {
            (alert["status"], alert["endsAt"]) = (json!("resolved"), alert["startsAt"].clone());
        })
    };
    let early = "1970-01-01T00:00:00Z";
    let at = |node: &str, time: &str| changed(node, |alert| alert["startsAt"] = json!(time));
    for ((node, alerts), fires) in [
        (odd(9, vec![at(&name(9), early), changed(&name(9), |alert| alert["endsAt"] = json!(early))]), true),
        (odd(10, vec![at(&name(10), "0001-01-01T00:00:00Z"), at(&name(10), "9999-12-01T00:00:00Z")]), true),
        (odd(11, vec![at(&name(11), early), over(&name(11))]), false),
        (odd(11, vec![over(&name(11)), at(&name(11), early)]), false),
    ] {
        to.sender.alerts(&alerts).await.unwrap();
        let complaints = to.repair(&node).await.record().complaints;
        assert_eq!(complaints.len(), 1, "{node}: {complaints:?}");
        assert_eq!(complaints[0].firing, fires, "{node}: {complaints:?}");
        assert!(complaints[0].since <= complaints[0].seen, "{node}: {complaints:?}");
        expected.insert(node);
    }

    // More unknown nodes than are looked up one by one, and one existing node among them.
    let before = to.outcomes().await;
    let mut many: Vec<Value> = (0..20_000).map(|number| alert(&format!("unknown-{number:05}"), "x")).collect();
    many.push(alert("sense00000", "x"));
    to.sender.deliver(&many, DELIVERED).await.unwrap();
    expected.insert(name(0));
    assert!(to.outcomes().await["no such node"] >= before["no such node"] + 20_000.0);
    assert_eq!(to.repair("sense00000").await.record().complaints.len(), 1);

    let repairs: Api<NodeRepair> = Api::all(to.admin.clone());
    let all = repairs.list(&ListParams::default()).await.unwrap();
    let named: BTreeSet<String> =
        all.items.iter().map(|repair| repair.name_any()).filter(|name| !name.starts_with("idle")).collect();
    assert_eq!(named, expected);
    drop(lab);
}

/// More nodes than one request can record before its timeout, in a debug build beside other tests.
const LARGE: usize = 1_500;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_of_a_large_delivery_continues_where_it_stopped() {
    let _part = part("a large delivery to the webhook");
    let _lab = lab_to_flood().await;
    let to = Target::new("large", LARGE).await;
    let alerts: Vec<Value> = (0..LARGE).map(|number| alert(&paper_nodes::name("large", number), "large")).collect();
    to.sender.deliver(&alerts, DELIVERED).await.unwrap();
    let repairs = Api::<NodeRepair>::all(to.admin.clone()).list(&ListParams::default()).await.unwrap();
    let durable = |repair: &&NodeRepair| {
        let complaints = repair.record().complaints;
        repair.name_any().starts_with("large") && complaints.iter().any(|complaint| complaint.check == "large")
    };
    assert_eq!(repairs.iter().filter(durable).count(), LARGE);
}

async fn listen(mut stream: impl AsyncRead + Unpin) -> String {
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// Sends one byte every 250 ms until the server closes the connection, and returns what it
/// received.
async fn drip(stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let (reads, mut writes) = tokio::io::split(stream);
    let drops = async {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            writes.write_all(b" ").await?;
            writes.flush().await?;
        }
    };
    tokio::select! {
        heard = listen(reads) => heard,
        error = drops => { let _: std::io::Result<()> = error; String::new() }
    }
}

fn tls(facts: &Facts) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(facts.dir.join("pki/ca.crt")).unwrap()).unwrap();
    TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// Number of files that the remediator with this webhook has open.
fn open_files(webhook: &str) -> usize {
    let sign = format!("--webhook.listen-address={webhook}\0");
    let processes = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&sign)
    });
    processes.map(|entry| fs::read_dir(entry.path().join("fd")).map_or(0, Iterator::count)).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_block_no_delivery() {
    let _part = part("idle connections at the webhook");
    let lab = lab_to_flood().await;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let to = Target::new("idle", 50).await;
    let (webhook, metrics) = (to.facts.remediator_webhooks[0].clone(), to.facts.remediator_metrics[0].clone());
    let tls = tls(&to.facts);
    let name = ServerName::try_from("localhost").unwrap();

    // Half of these never finish their request's header; half know the token and never finish the
    // body.
    let head = |end: &str| format!("POST /webhook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n{end}");
    let known = format!("Authorization: Bearer {}\r\n\r\n", to.sender.token());
    let mut drips = Vec::new();
    for number in 0..40 {
        let stream = TcpStream::connect(&webhook).await.unwrap();
        let mut stream = tls.connect(name.clone(), stream).await.unwrap();
        stream.write_all(head(if number % 2 == 0 { "X-Slow: " } else { &known }).as_bytes()).await.unwrap();
        drips.push(tokio::spawn(drip(stream)));
    }
    // Fifty connect at a time, and each stays until the server closes it.
    let strangers = futures::stream::iter(0..2_000).map(|number| {
        let (tls, name) = (tls.clone(), name.clone());
        let address = if number % 4 == 0 { &metrics } else { &webhook };
        async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let stream: Box<dyn AsyncRead + Send + Unpin> = match number % 2 {
                0 => Box::new(stream),
                _ => match tls.connect(name, stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => Box::new(tokio::io::empty()),
                },
            };
            stream
        }
    });
    let listening = strangers.buffer_unordered(50).map(|stream| tokio::spawn(listen(stream)));
    let strangers: Vec<_> = listening.collect().await;
    let http = parts::http().unwrap();
    for number in 0..50 {
        let node = paper_nodes::name("idle", number);
        to.sender.deliver(&[alert(&node, "x")], DELIVERED).await.unwrap();
        assert_eq!(to.repair(&node).await.record().complaints.len(), 1, "{node}");
        let healthy = wait::until("the remediator reports that it is healthy", Duration::from_secs(30), || async {
            parts::page(&http, &format!("http://{metrics}/-/healthy")).await
        });
        healthy.await.unwrap();
        assert!(open_files(&webhook) < 800, "{} files are open", open_files(&webhook));
    }
    assert!(open_files(&webhook) > 20, "the open files of the remediator were not found");

    // The server closes every idle connection.
    let all =
        tokio::time::timeout(Duration::from_secs(60), async { (join_all(strangers).await, join_all(drips).await) });
    let (strangers, drips) = all.await.expect("some are still connected");
    assert_eq!(strangers.len(), 2_000);
    let answered = drips.iter().filter(|heard| heard.as_ref().unwrap().starts_with("HTTP/1.1 503")).count();
    assert!(answered >= 15, "a timeout of ours must be answered with 503, so that Alertmanager retries: {drips:?}");
    drop(lab);
}
