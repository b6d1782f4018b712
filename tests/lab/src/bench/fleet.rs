//! Benchmark of the remediator with a large fleet: memory, an idle minute, and a restart. The Node
//! objects are as large as real ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, ListParams, Patch, PatchParams};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::remediator::{POLICY, each, timed};
use super::{Figure, used};
use crate::clock::{self, Stopwatch};
use crate::lab::{INFRA, Lab};
use crate::paper_nodes::{self as nodes, Size};
use crate::pods::App;
use crate::process::Program;
use crate::sender::{Sender, alert};
use crate::{enclosure, environment, parts, process, wait};

const FLEET: &str = "fleet";
const HALF: usize = 5_000;
const WHOLE: usize = 10_000;
const OPEN: usize = 500;
/// A kubelet renews its Lease, and also writes the status of its Node about every five minutes.
const HEARTBEAT: Duration = Duration::from_secs(270);
const QUIET: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs inside an enclosure; returns whether all targets were met.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    enclosure::unless_ended(&mut end, rows(dir)).await
}

fn ours(text: &str) -> bool {
    text.contains(App::Controller.sign())
}

async fn rows(dir: &Path) -> Result<bool> {
    let mut lab = Lab::start(dir, |line| eprintln!("lab: {line}")).await?;
    lab.begin(FLEET);
    lab.change_policy(POLICY).await?;
    // These nodes have no kubelet: the stopped controller manager does not mark them as silent.
    // Real sites do not scrape every second either.
    process::signal_all(Signal::STOP, |text| text.contains("kube-controller-manager\0"));
    process::signal_all(Signal::STOP, |text| text.contains("/prometheus\0"));
    let mut met = true;
    nodes::create(&lab.admin, FLEET, 0..HALF, FLEET, Size::Real).await?;
    settled(&lab, HALF).await?;
    met &= memory("5,000 Nodes, seen one by one", 32.0)?;
    restart(&lab, HALF).await?;
    met &= memory("5,000 Nodes, listed at the start", 32.0)?;
    met &= quiet(&lab).await?;
    nodes::create(&lab.admin, FLEET, HALF..WHOLE, FLEET, Size::Real).await?;
    settled(&lab, WHOLE).await?;
    restart(&lab, WHOLE).await?;
    met &= memory("10,000 Nodes, listed at the start", 45.0)?;
    met &= first_decision(&lab).await?;
    Ok(met)
}

/// Waits until the leader counts `count` nodes of the pool.
async fn settled(lab: &Lab, count: usize) -> Result<()> {
    let line = &format!("ossci_remediator_pool_nodes{{pool=\"{FLEET}\"}} {count}");
    wait::until(format!("the remediator knows {count} nodes"), PATIENCE, || async move {
        ensure!(lab.metrics_of_all().await?.lines().any(|known| known == line), "not yet");
        Ok(())
    })
    .await
}

async fn restart(lab: &Lab, count: usize) -> Result<()> {
    lab.kill(App::Controller, None).await?;
    settled(lab, count).await
}

/// Prints the resident memory of the larger replica.
fn memory(what: &str, at_most: f64) -> Result<bool> {
    let most = used::resident(ours)?;
    let name = format!("resident memory, {what}");
    Ok(Figure { name, value: most, unit: "MiB", peer: at_most, target: 1.0 }.print())
}

/// Measures a minute in which only heartbeats happen.
async fn quiet(lab: &Lab) -> Result<bool> {
    let beats = HALF * usize::try_from(QUIET.as_secs())? / usize::try_from(HEARTBEAT.as_secs())?;
    let pause = QUIET / u32::try_from(beats)?;
    let api: Api<Node> = Api::all(lab.admin.clone());
    let (before, watch) = (used::processor_seconds(ours)?, Stopwatch::start());
    for number in 0..beats {
        let beat =
            json!({"status": {"conditions": [{"type": "Ready", "lastHeartbeatTime": format!("{:.0}", clock::now())}]}});
        api.patch_status(&nodes::name(FLEET, number), &PatchParams::default(), &Patch::Strategic(beat)).await?;
        let next = pause * u32::try_from(number + 1)?;
        tokio::time::sleep(next.saturating_sub(watch.elapsed())).await;
    }
    let wall = watch.elapsed().as_secs_f64();
    let after = used::processor_seconds(ours)?;
    let most = before.iter().zip(&after).map(|(before, after)| after - before).fold(0.0_f64, f64::max);
    let name = "CPU of the busier replica, 5,000 Nodes at rest".to_owned();
    Ok(Figure { name, value: most / wall * 100.0, unit: "%", peer: 1.0, target: 1.0 }.print())
}

/// Measures from the Lease to the first decision, with 500 open repairs that all have something to
/// decide.
async fn first_decision(lab: &Lab) -> Result<bool> {
    let alerts: Vec<Value> = (0..OPEN).map(|number| alert(&nodes::name(FLEET, number), "restart")).collect();
    Sender::to(&lab.facts, lab.leading_webhook().await?)?.deliver(&alerts, PATIENCE).await?;
    nodes::tainted(&lab.admin, FLEET, 0..OPEN, PATIENCE).await?;
    let mut met = true;
    let controllers: Vec<String> =
        lab.facts.remediator_metrics.iter().map(|address| format!("--controller=http://{address}")).collect();
    let open = nodes::name(FLEET, 0);
    let policy = parts::flag("policy", lab.policy_file());
    let with = |args: &[&'static str]| -> Vec<&str> {
        args.iter().copied().chain(controllers.iter().map(String::as_str)).collect()
    };
    let doctor = [with(&["doctor"]), vec![policy.as_str()]].concat();
    let asked: [(&str, Vec<&str>, f64); 4] = [
        ("status", with(&["status"]), 1.0),
        ("explain NODE", vec!["explain", &open], 1.0),
        ("history", vec!["history"], 1.0),
        ("doctor", doctor, 30.0),
    ];
    for (name, args, limit) in asked {
        met &= command(lab, name, &args, limit).await?;
    }
    process::signal_all(Signal::STOP, ours);
    // No remediator sees this now: the next leader finds 500 nodes that a person has released.
    let api: &Api<Node> = &Api::all(lab.admin.clone());
    each(0..OPEN, |number| async move {
        let none = Patch::Merge(json!({"spec": {"taints": null}}));
        api.patch(&nodes::name(FLEET, number), &PatchParams::default(), &none).await?;
        Ok(())
    })
    .await?;
    let list = timed(async {
        api.list(&ListParams::default()).await?;
        Ok(())
    });
    let http = parts::http()?;
    let read =
        timed(async { parts::page(&http, &format!("{}/api/v2/alerts", lab.facts.alertmanager)).await.map(drop) });
    let (list, read) = (list.await?, read.await?);

    let logs = INFRA.map(|node| lab.node_dir(node).log(App::Controller.word()));
    let mut ends = Vec::new();
    for log in &logs {
        ends.push(usize::try_from(fs::metadata(log).with_context(|| format!("{}", log.display()))?.len())?);
    }
    let killed = clock::now();
    lab.kill(App::Controller, None).await?;
    let (leads, first, last) = wait::until("all 500 are decided", PATIENCE, || async {
        let both: Vec<(Timestamp, Vec<Timestamp>)> =
            logs.iter().zip(&ends).filter_map(|(log, end)| since_it_leads(log, *end)).collect();
        let [(leads, recorded)] = both.as_slice() else { bail!("{} lead", both.len()) };
        ensure!(recorded.len() >= OPEN, "{} of {OPEN}", recorded.len());
        Ok((*leads, recorded[0], recorded[OPEN - 1]))
    })
    .await?;
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    println!("    take-over: {:.2} s from kill -9 of both replicas to the lease", seconds(killed, leads));
    println!("    raw: list of 10,000 Nodes {list:.2} s, one read of the alerts {read:.3} s");
    println!("    all 500 decided {:.2} s after the lease", seconds(leads, last));
    let name = "restart: lease held to the first decision".to_owned();
    Ok(met & Figure { name, value: seconds(leads, first), unit: "s", peer: list + read, target: 1.5 }.print())
}

/// Measures a command that a person runs: its time, at most `limit` seconds, and its most memory.
async fn command(lab: &Lab, name: &str, args: &[&str], limit: f64) -> Result<bool> {
    const MIB: f64 = 100.0;
    let watch = Stopwatch::start();
    let program = Program::new(name, environment::our_program("ossci-remediator")?);
    let program = program.args(args).env("KUBECONFIG", &lab.facts.kubeconfig);
    let mut child = program.start(&lab.facts.dir.join("logs/commands.log"))?;
    let mut most = 0.0_f64;
    // The kernel stores the high-water mark: the last look before the end has it.
    let ended = loop {
        if let Some(ended) = child.ended() {
            break ended;
        }
        let status = child.id().map(|id| format!("/proc/{id}/status")).unwrap_or_default();
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = mark.map_or(most, |kib: f64| most.max(kib / 1024.0));
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    let seconds = watch.elapsed().as_secs_f64();
    ensure!(ended.code().is_some_and(|code| code < 2), "{name}: {ended}");
    let of = |what: &str| format!("{name} at 10,000 nodes, 500 repairs: {what}");
    let time = Figure { name: of("time"), value: seconds, unit: "s", peer: limit, target: 1.0 }.print();
    let memory = Figure { name: of("memory"), value: most, unit: "MiB", peer: MIB, target: 1.0 }.print();
    Ok(time && memory)
}

/// Returns the time at which a replica began to lead and the times of its decisions, from its log
/// after `end`.
fn since_it_leads(log: &Path, end: usize) -> Option<(Timestamp, Vec<Timestamp>)> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(text.get(end..)?).into_owned();
    let mut lines = text.lines();
    let at = |line: &str| line.split_whitespace().next()?.parse::<Timestamp>().ok();
    let leads = lines.find(|line| line.contains("leadership") && line.contains("leads=true")).and_then(at)?;
    Some((leads, lines.filter(|line| line.contains(" recorded ")).filter_map(at).collect()))
}
