//! Benchmark of the remediator beside raw API calls: from the webhook to the durable record, from
//! the alert to the taint, floods, and the calls of one complete repair. `fleet` measures memory
//! and restarts of large fleets.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, WatchParams};
use kube::core::WatchEvent;
use ossci_remediator::wire::node_repair::NodeRepair;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Figure, calls};
use crate::clock::{self, Stopwatch};
use crate::lab::Lab;
use crate::paper_nodes::{self as nodes, CONNECTIONS, Size};
use crate::pods::App;
use crate::sender::{Sender, alert};
use crate::{enclosure, process};

/// Number of sequential requests for each median.
const SINGLE: usize = 200;
/// Number of measured chains from an alert to its taint.
const CHAINS: usize = 100;
const FLOOD: usize = 5_000;
/// Timeout of a flood. Alertmanager would time out earlier and retry.
const FLOODED: Duration = Duration::from_secs(300);
/// The pool of the benchmark: tainted, never rebooted.
const STORY: &str = "bench";
/// All nodes are tainted and none is repaired: the path to the taint is measured. The alerts are
/// sent to the webhook alone, so no Alertmanager is asked to confirm them.
pub const POLICY: &str = "{pool: {mode: taint}, brakes: {stormPercent: 100, taintPercent: 100}, alertmanager: null}";

struct Bench {
    lab: Lab,
    sender: Sender,
}

/// Runs inside an enclosure; returns whether all targets were met.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    let measured = async {
        let mut lab = Lab::start(dir, |line| eprintln!("lab: {line}")).await?;
        let mut met = calls::of_one_repair(&mut lab).await?;
        lab.begin(STORY);
        lab.change_policy(POLICY).await?;
        // These nodes have no kubelet: the stopped controller manager does not mark them as silent.
        process::signal_all(Signal::STOP, |text| text.contains("kube-controller-manager\0"));
        let sender = Sender::to(&lab.facts, lab.leading_webhook().await?)?;
        let bench = Bench { lab, sender };
        met &= bench.rows().await?;
        Ok(met)
    };
    enclosure::unless_ended(&mut end, measured).await
}

impl Bench {
    async fn rows(&self) -> Result<bool> {
        let admin = &self.lab.admin;
        nodes::create(admin, "one", 0..2 * SINGLE, STORY, Size::Real).await?;
        nodes::create(admin, "chain", 0..2 * CHAINS, STORY, Size::Real).await?;
        let mut met = true;
        met &= self.first_complaints().await?;
        // Waits until the reconciles of the previous row have finished.
        nodes::tainted(admin, "one", 0..SINGLE, FLOODED).await?;
        met &= self.further_complaints().await?;
        met &= self.to_the_taint().await?;
        nodes::create(admin, "flood", 0..2 * FLOOD, STORY, Size::Real).await?;
        met &= self.floods().await?;
        Ok(met)
    }

    /// First complaints, each of another node: create and status patch.
    async fn first_complaints(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..SINGLE {
            let node = nodes::name("one", number);
            ours.push(timed(self.sender.alerts(&[alert(&node, "first")])).await?);
            raw.push(timed(self.raw_first(&nodes::name("one", SINGLE + number))).await?);
        }
        Ok(rows("webhook, first complaint of a node", ours, raw, 1.3, 3.0))
    }

    /// Further complaints for existing records: one guarded patch.
    async fn further_complaints(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..SINGLE {
            ours.push(timed(self.sender.alerts(&[alert(&nodes::name("one", number), "second")])).await?);
            raw.push(timed(self.raw_patch(&nodes::name("one", SINGLE + number))).await?);
        }
        Ok(rows("webhook, one more complaint", ours, raw, 1.5, 3.0))
    }

    /// From the alert until a watch of Nodes shows the taint.
    async fn to_the_taint(&self) -> Result<bool> {
        let mut ours = Vec::new();
        let mut raw = Vec::new();
        for number in 0..CHAINS {
            let (node, other) = (nodes::name("chain", number), nodes::name("chain", CHAINS + number));
            ours.push(self.seen_tainted(&node, self.sender.alerts(&[alert(&node, "taint")])).await?);
            raw.push(self.seen_tainted(&other, self.raw_chain(&other)).await?);
        }
        Ok(rows("alert posted until its taint is watched", ours, raw, 1.5, 3.0))
    }

    /// 5,000 alerts of 5,000 nodes one by one, and of 5,000 others in one body.
    async fn floods(&self) -> Result<bool> {
        let raw = self.raw_flood().await?;
        println!("    raw: {:.0} creates and status patches a second", FLOOD as f64 / raw);
        let one_by_one = timed(each(0..FLOOD, |number| async move {
            self.sender.deliver(&[alert(&nodes::name("flood", number), "flood")], FLOODED).await
        }));
        let one_by_one = one_by_one.await?;
        println!("    one by one: {:.0} a second", FLOOD as f64 / one_by_one);
        let body: Vec<Value> = (FLOOD..2 * FLOOD).map(|number| alert(&nodes::name("flood", number), "flood")).collect();
        let one_body = timed(self.sender.deliver(&body, FLOODED)).await?;
        let mut met = true;
        for (name, seconds) in
            [("5,000 webhooks, 8 connections, all durable", one_by_one), ("5,000 alerts in one body", one_body)]
        {
            // The slower of the two rates is the baseline.
            let figure = Figure { name: name.to_owned(), value: seconds, unit: "s", peer: raw, target: 1.0 / 0.8 };
            met &= figure.print();
        }
        Ok(met)
    }

    /// Seconds for 5,000 creates and status patches while no remediator watches the objects.
    async fn raw_flood(&self) -> Result<f64> {
        let ours = |text: &str| text.contains(App::Controller.sign());
        process::signal_all(Signal::STOP, ours);
        let seconds =
            timed(each(0..FLOOD, |number| async move { self.raw_first(&nodes::name("raw", number)).await })).await;
        let forgotten = each(0..FLOOD, |number| async move {
            self.repairs().delete(&nodes::name("raw", number), &DeleteParams::default()).await?;
            Ok(())
        });
        forgotten.await?;
        process::signal_all(Signal::CONT, ours);
        seconds
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

    /// Seconds until an open watch shows the taint on the node.
    async fn seen_tainted(&self, name: &str, act: impl Future<Output = Result<()>>) -> Result<f64> {
        let nodes: Api<Node> = Api::all(self.lab.admin.clone());
        let version = nodes.get(name).await?.metadata.resource_version.unwrap_or_default();
        let one = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
        let mut events = nodes.watch(&one, &version).await?.boxed();
        let watch = Stopwatch::start();
        let seen = async {
            while let Some(event) = events.try_next().await? {
                let WatchEvent::Modified(node) = event else { continue };
                let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
                if taints.iter().any(|taint| ["repair-reboot", "site.example/raw"].contains(&taint.key.as_str())) {
                    return Ok(watch.elapsed().as_secs_f64());
                }
            }
            anyhow::bail!("{name} was not tainted")
        };
        let (_, seen) = tokio::try_join!(act, seen)?;
        Ok(seen)
    }
}

pub async fn timed(act: impl Future<Output = Result<()>>) -> Result<f64> {
    let watch = Stopwatch::start();
    act.await?;
    Ok(watch.elapsed().as_secs_f64())
}

/// Runs `act` for each number, with a limited number in parallel.
pub async fn each<F: Future<Output = Result<()>>>(numbers: Range<usize>, act: impl Fn(usize) -> F) -> Result<()> {
    futures::stream::iter(numbers).map(act).buffer_unordered(CONNECTIONS).try_collect::<()>().await
}

/// Prints the median and the 99th percentile beside those of the baseline.
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
