//! What the remediator costs beside the raw API: the webhook until it is durable, the way to the taint, floods, memory, calls.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use ossci_remediator::wire::node_repair::NodeRepair;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Figure;
use crate::clock::{self, Stopwatch};
use crate::lab::Lab;
use crate::paper_nodes::{self as nodes, CONNECTIONS};
use crate::pods::App;
use crate::{parts, process, wait};

/// Requests one after the other, for each median.
const SINGLE: usize = 200;
/// Chains of alert to taint.
const CHAINS: usize = 100;
const FLOOD: usize = 5_000;
/// The pool of the bench: tainted, never rebooted.
const STORY: &str = "bench";

struct Bench {
    lab: Lab,
    http: reqwest::Client,
    token: String,
    /// The leader's webhook.
    url: String,
}

/// Runs inside an enclosure; whether all targets were met.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    let measured = async {
        let mut lab = Lab::start(dir, |line| eprintln!("lab: {line}")).await?;
        lab.begin(STORY);
        // Everybody is tainted, nobody is repaired: what is measured is the way to the taint.
        lab.change_policy("{pool: {mode: taint}, brakes: {stormPercent: 100, taintPercent: 100}}").await?;
        // Nobody is behind these nodes, and nobody is to find that out.
        process::signal_all(Signal::STOP, |text| text.contains("kube-controller-manager\0"));
        let token = fs::read_to_string(&lab.facts.webhook_token).context("reading the webhook's token")?;
        let url = format!("https://{}/webhook", lab.leading_webhook().await?);
        let bench = Bench { lab, http: client()?, token, url };
        bench.rows().await
    };
    tokio::select! {
        met = measured => met,
        _ = end.wait_for(|end| *end) => anyhow::bail!("interrupted"),
    }
}

fn client() -> Result<reqwest::Client> {
    // The certificate's issuer is the lab's own; whose it is, is not what is measured.
    let builder = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    builder.build().context("setting up HTTP")
}

impl Bench {
    async fn rows(&self) -> Result<bool> {
        let admin = &self.lab.admin;
        nodes::create(admin, "one", 2 * SINGLE, STORY).await?;
        nodes::create(admin, "chain", 2 * CHAINS, STORY).await?;
        let mut met = true;
        met &= self.first_complaints().await?;
        met &= self.further_complaints().await?;
        met &= self.to_the_taint().await?;
        nodes::create(admin, "flood", FLOOD, STORY).await?;
        self.memory("5,600 Node objects").await?;
        met &= self.floods().await?;
        self.memory("5,600 Node objects and 5,000 records").await?;
        Ok(met)
    }

    /// Each a node of its own: create and status patch.
    async fn first_complaints(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..SINGLE {
            let node = nodes::name("one", number);
            ours.push(timed(self.post(&[alert(&node, "first")])).await?);
            raw.push(timed(self.raw_first(&nodes::name("one", SINGLE + number))).await?);
        }
        Ok(rows("webhook, first complaint of a node", ours, raw, 1.3, 3.0))
    }

    /// Records exist: one guarded patch.
    async fn further_complaints(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..SINGLE {
            ours.push(timed(self.post(&[alert(&nodes::name("one", number), "second")])).await?);
            raw.push(timed(self.raw_patch(&nodes::name("one", SINGLE + number))).await?);
        }
        Ok(rows("webhook, one more complaint", ours, raw, 1.5, 3.0))
    }

    /// From the post until a watcher of nodes sees the taint.
    async fn to_the_taint(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..CHAINS {
            let (node, other) = (nodes::name("chain", number), nodes::name("chain", CHAINS + number));
            ours.push(self.seen_tainted(&node, self.post(&[alert(&node, "taint")])).await?);
            raw.push(self.seen_tainted(&other, self.raw_chain(&other)).await?);
        }
        Ok(rows("alert posted until its taint is watched", ours, raw, 1.5, 3.0))
    }

    /// 5,000 alerts of 5,000 nodes.
    async fn floods(&self) -> Result<bool> {
        let half = FLOOD / 2;
        let raw =
            timed(each(0..half, |number| async move { self.raw_first(&nodes::name("flood", number)).await })).await?;
        self.forget(0..half).await?;
        let posts =
            timed(each(
                0..half,
                |number| async move { self.post(&[alert(&nodes::name("flood", number), "flood")]).await },
            ));
        let posts = posts.await?;
        let body: Vec<Value> = (half..FLOOD).map(|number| alert(&nodes::name("flood", number), "flood")).collect();
        let watch = Stopwatch::start();
        // What is too much for one answer is a 503, and Alertmanager comes again.
        while !self.try_post(&body).await?.is_success() {}
        let one_body = watch.elapsed().as_secs_f64();
        let rate = |seconds: f64| half as f64 / seconds;
        let mut met = true;
        for (name, seconds) in
            [("2,500 webhooks, 8 connections, all durable", posts), ("2,500 alerts in one body", one_body)]
        {
            // The slower of two rates is the larger figure.
            let figure = Figure { name: name.to_owned(), value: seconds, unit: "s", peer: raw, target: 1.0 / 0.8 };
            met &= figure.print();
            println!("{:<44} {:>10.0} /s   raw {:.0} /s", "", rate(seconds), rate(raw));
        }
        Ok(met)
    }

    async fn memory(&self, what: &str) -> Result<()> {
        let mut most = 0.0_f64;
        for status in process::texts_of(|text| text.contains(App::Controller.sign()), "status") {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
            most = most.max(kilobytes / 1024.0);
        }
        Figure { name: format!("resident memory, {what}"), value: most, unit: "MiB", peer: 32.0, target: 1.0 }.print();
        Ok(())
    }

    async fn post(&self, alerts: &[Value]) -> Result<()> {
        let status = self.try_post(alerts).await?;
        ensure!(status.is_success(), "the webhook answered {status}");
        Ok(())
    }

    async fn try_post(&self, alerts: &[Value]) -> Result<reqwest::StatusCode> {
        let body = json!({"version": "4", "status": "firing", "alerts": alerts});
        let answer = self.http.post(&self.url).bearer_auth(self.token.trim()).json(&body).send().await?;
        Ok(answer.status())
    }

    fn repairs(&self) -> Api<NodeRepair> {
        Api::all(self.lab.admin.clone())
    }

    /// A create and a status patch, as a first complaint needs them.
    async fn raw_first(&self, name: &str) -> Result<()> {
        let repair = serde_json::from_value(json!({"apiVersion": "ossci.amd.com/v1alpha1", "kind": "NodeRepair",
                                                   "metadata": {"name": name}, "spec": {}}))?;
        self.repairs().create(&PostParams::default(), &repair).await?;
        self.raw_patch(name).await
    }

    async fn raw_patch(&self, name: &str) -> Result<()> {
        let now = clock::now();
        let complaint = json!({"fingerprint": "raw", "remediation": "manual", "check": "x", "firing": false, "summary": "raw",
                               "since": now.to_string(), "seen": now.to_string()});
        let patch = Patch::Merge(json!({"status": {"complaints": [complaint]}}));
        self.repairs().patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Create, status patch, status patch, taint patch.
    async fn raw_chain(&self, name: &str) -> Result<()> {
        self.raw_first(name).await?;
        self.raw_patch(name).await?;
        let taint = json!({"key": "site.example/raw", "effect": "NoSchedule"});
        let nodes: Api<Node> = Api::all(self.lab.admin.clone());
        let patch = Patch::Merge(json!({"spec": {"taints": [taint]}}));
        nodes.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Seconds until a watch that is open already shows a taint on the node.
    async fn seen_tainted(&self, name: &str, act: impl Future<Output = Result<()>>) -> Result<f64> {
        let nodes: Api<Node> = Api::all(self.lab.admin.clone());
        let version = nodes.get(name).await?.metadata.resource_version.unwrap_or_default();
        let one = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
        let mut events = nodes.watch(&one, &version).await?.boxed();
        let watch = Stopwatch::start();
        let seen = async {
            while let Some(event) = events.try_next().await? {
                let WatchEvent::Modified(node) = event else { continue };
                if node.spec.and_then(|spec| spec.taints).is_some_and(|taints| !taints.is_empty()) {
                    return Ok(watch.elapsed().as_secs_f64());
                }
            }
            anyhow::bail!("{name} was not tainted")
        };
        let (_, seen) = tokio::try_join!(act, seen)?;
        Ok(seen)
    }

    /// Takes records away, so that the same nodes can complain for the first time again.
    async fn forget(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        each(numbers, |number| async move {
            self.repairs().delete(&nodes::name("flood", number), &kube::api::DeleteParams::default()).await?;
            Ok(())
        })
        .await?;
        // The watches have to have seen it.
        let http = &parts::http()?;
        let metrics = &self.lab.facts.remediator_metrics[0];
        wait::until("the remediator is there", Duration::from_secs(10), || async move {
            parts::page(http, &format!("http://{metrics}/-/ready")).await.map(drop)
        })
        .await
    }
}

fn alert(node: &str, check: &str) -> Value {
    json!({"status": "firing", "fingerprint": format!("{node}{check}"), "startsAt": clock::now().to_string(),
           "labels": {"node": node, "cluster": "lab", "remediation": "reboot", "check": check, "severity": "critical"},
           "annotations": {"summary": "three strikes"}})
}

async fn timed(act: impl Future<Output = Result<()>>) -> Result<f64> {
    let watch = Stopwatch::start();
    act.await?;
    Ok(watch.elapsed().as_secs_f64())
}

/// For each number, so many at a time.
async fn each<F: Future<Output = Result<()>>>(numbers: std::ops::Range<usize>, act: impl Fn(usize) -> F) -> Result<()> {
    futures::stream::iter(numbers).map(act).buffer_unordered(CONNECTIONS).try_collect::<()>().await
}

/// Median and 99th percentile beside the peer's.
fn rows(name: &str, mut ours: Vec<f64>, mut raw: Vec<f64>, p50: f64, p99: f64) -> bool {
    ours.sort_by(f64::total_cmp);
    raw.sort_by(f64::total_cmp);
    let at = |sorted: &[f64], percent: usize| sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)] * 1000.0;
    let row = |percent, target| {
        let name = format!("{name}, p{percent}");
        Figure { name, value: at(&ours, percent), unit: "ms", peer: at(&raw, percent), target }.print()
    };
    let median = row(50, p50);
    row(99, p99) && median
}
