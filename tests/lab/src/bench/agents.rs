//! Benchmark of an agent's cost on its node, beside a client that only watches, and of the API
//! server's cost of thousands of agents. Each simulated agent is a client with its own connections,
//! and watches its own NodeRepair and Node.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use ossci_remediator::wire::node_repair::NodeRepair;
use ossci_remediator::wire::slim_node::SlimNode;
use rustix::process::Signal;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::remediator::each;
use super::{Figure, used};
use crate::clock::Stopwatch;
use crate::lab::Lab;
use crate::paper_nodes::{self as nodes, Size};
use crate::pods::App;
use crate::process::{self, Program};
use crate::{enclosure, environment, kubeconfig};

const FLEET: &str = "watched";
const SOME: usize = 1_000;
const ALL: usize = 5_000;
/// Number of records that are changed, one after the other.
const CHANGES: usize = 500;
const QUIET: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);
/// The node of the only real agent.
const NODE: &str = "whole";

/// Runs inside an enclosure; returns whether all targets were met.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    enclosure::unless_ended(&mut end, rows(dir)).await
}

async fn rows(dir: &Path) -> Result<bool> {
    let mut lab = Lab::start(dir, |line| eprintln!("lab: {line}")).await?;
    lab.begin(FLEET);
    lab.add_nodes(&[NODE.to_owned()]).await?;
    let mut met = one(&lab).await?;

    // These nodes have no kubelet. Only the API server's work for agents is measured.
    process::signal_all(Signal::STOP, |text| text.contains("kube-controller-manager\0"));
    process::signal_all(Signal::STOP, |text| text.contains("/prometheus\0"));
    process::signal_all(Signal::STOP, |text| text.contains(App::Controller.sign()));
    nodes::create(&lab.admin, FLEET, 0..ALL, FLEET, Size::Real).await?;
    let repairs: &Api<NodeRepair> = &Api::all(lab.admin.clone());
    each(0..CHANGES, |number| async move {
        let record = serde_json::from_value(json!({"metadata": {"name": nodes::name(FLEET, number)}, "spec": {}}))?;
        repairs.create(&PostParams::default(), &record).await.map(drop).context("creating a record")
    })
    .await?;
    let (told, mut heard) = mpsc::unbounded_channel();
    let mut agents = JoinSet::new();
    let none = change_all(&lab, None).await?;
    join(&lab, &mut agents, &told, &mut heard, 0..SOME).await?;
    let some = change_all(&lab, Some(&mut heard)).await?;
    join(&lab, &mut agents, &told, &mut heard, SOME..ALL).await?;
    println!("    the API server with 5,000 agents: {:.0} MiB resident", used::resident(api_server)?);
    println!("    the API server with 5,000 agents at rest: {:.1} % of a core", at_rest(api_server).await?);
    let all = change_all(&lab, Some(&mut heard)).await?;
    println!(
        "    CPU of the API server for a record's change: {none:.2} ms without agents, {some:.2} ms with 1,000, {all:.2} ms with 5,000"
    );
    let name = "API server's CPU for a change, 5,000 agents".to_owned();
    met &= Figure { name, value: all, unit: "ms", peer: some, target: 1.25 }.print();
    Ok(met)
}

/// Measures the lab's real agent beside an idle client: memory, and CPU time at rest.
async fn one(lab: &Lab) -> Result<bool> {
    let client = Program::new("idle client", environment::this_program()?);
    let kubeconfig = format!("--kubeconfig={}", lab.facts.kubeconfig.display());
    let client = client.args(["idle-client", &kubeconfig, &format!("--node-name={NODE}")]);
    let _client = client.start(&lab.facts.dir.join("idle-client.log"))?;
    let agent = |text: &str| text.contains(App::Agent.sign()) && text.contains(&format!("--node-name={NODE}"));
    let busy = at_rest(agent).await?;
    let idle = used::resident(|text| text.contains("\0idle-client\0"))?;
    let name = "resident memory of an agent".to_owned();
    let met = Figure { name, value: used::resident(agent)?, unit: "MiB", peer: idle, target: 1.25 }.print();
    let name = "CPU of an agent at rest".to_owned();
    Ok(Figure { name, value: busy, unit: "%", peer: 0.1, target: 1.0 }.print() && met)
}

/// Watches the objects that an agent watches, without end.
pub async fn watch_idly(kubeconfig: &Path, node: &str) -> Result<()> {
    let client = kubeconfig::client(kubeconfig).await?;
    let here = || watcher::Config::default().fields(&format!("metadata.name={node}"));
    let record = watcher(Api::<NodeRepair>::all(client.clone()), here()).default_backoff().for_each(|_| async {});
    let node = watcher(Api::<SlimNode>::all(client), here()).default_backoff().for_each(|_| async {});
    tokio::join!(record, node);
    Ok(())
}

fn api_server(text: &str) -> bool {
    text.contains("kube-apiserver\0")
}

/// CPU usage of an idle process, in percent of a core.
async fn at_rest(which: impl Fn(&str) -> bool) -> Result<f64> {
    let (before, watch) = (used::processor_seconds(&which)?, Stopwatch::start());
    tokio::time::sleep(QUIET).await;
    let took = used::processor_seconds(&which)?[0] - before[0];
    Ok(took / watch.elapsed().as_secs_f64() * 100.0)
}

/// Starts the watches of `count` agents, and waits until each has its first response.
async fn join(
    lab: &Lab,
    agents: &mut JoinSet<()>,
    told: &mpsc::UnboundedSender<String>,
    heard: &mut mpsc::UnboundedReceiver<String>,
    numbers: std::ops::Range<usize>,
) -> Result<()> {
    let (count, watch) = (numbers.len(), Stopwatch::start());
    for number in numbers {
        let client = kubeconfig::client(&lab.facts.kubeconfig).await?;
        agents.spawn(follow(client, nodes::name(FLEET, number), told.clone()));
    }
    for _ in 0..count {
        tokio::time::timeout(PATIENCE, heard.recv()).await.context("the watch of an agent does not start")?;
    }
    println!("    {count} more agents watch ({})", watch.read());
    Ok(())
}

/// One agent's two watches. Sends the agent's name when both have started, and at each change of
/// its record.
async fn follow(client: Client, name: String, told: mpsc::UnboundedSender<String>) {
    let here = || watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut nodes = watcher(Api::<SlimNode>::all(client.clone()), here()).default_backoff().boxed();
    while !matches!(nodes.try_next().await, Ok(Some(watcher::Event::InitDone))) {}
    let mut records = watcher(Api::<NodeRepair>::all(client), here()).default_backoff().boxed();
    let nodes = async { while nodes.next().await.is_some() {} };
    let records = async {
        while let Some(event) = records.next().await {
            if matches!(event, Ok(watcher::Event::InitDone | watcher::Event::Apply(_))) {
                // The benchmark may have finished and dropped the receiver.
                let _ = told.send(name.clone());
            }
        }
    };
    tokio::join!(nodes, records);
}

/// Changes records one after the other, each when the agent has received the change before. Returns
/// the API server's CPU time per change, in ms.
async fn change_all(lab: &Lab, mut heard: Option<&mut mpsc::UnboundedReceiver<String>>) -> Result<f64> {
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    let before = used::processor_seconds(api_server)?;
    let mark = uuid::Uuid::new_v4().to_string();
    for number in 0..CHANGES {
        let name = nodes::name(FLEET, number);
        let change = Patch::Merge(json!({"metadata": {"annotations": {"changed": mark}}}));
        repairs.patch(&name, &PatchParams::default(), &change).await.context("changing a record")?;
        if let Some(heard) = &mut heard {
            let who = tokio::time::timeout(PATIENCE, heard.recv()).await.context("no agent received the change")?;
            ensure!(who.as_deref() == Some(&*name), "{who:?} received the change of {name}");
        }
    }
    let after = used::processor_seconds(api_server)?;
    let changes = u32::try_from(CHANGES)?;
    Ok((after[0] - before[0]) / f64::from(changes) * 1000.0)
}
