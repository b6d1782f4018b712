//! Benchmark of the time from an order in the API to systemd, beside a raw guarded write from the
//! same machine. The controllers are stopped and the benchmark writes the orders itself. The
//! machine's journal has the time at which systemd received the request.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use kube::api::{Api, Patch, PatchParams, PostParams};
use ossci_remediator::api::request;
use ossci_remediator::core::record::AgentState;
use ossci_remediator::wire::node_repair::NodeRepair;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::guest::Guest;
use super::image::{run, tool};
use super::network::{self, GATEWAY};
use super::{Room, images, node};
use crate::bench::Figure;
use crate::clock::{self, Stopwatch};
use crate::lab::Lab;
use crate::pods::App;
use crate::process::{self, Program};
use crate::{audit, enclosure, environment, kubeconfig, wait};

const STORY: &str = "orders";
const NAME: &str = "vm1";
const SCRIPT: &str = "true\n";
/// Number of orders, and of raw writes before and after them.
const ORDERS: usize = 20;
pub const WRITES: usize = 50;
const PORT: u16 = 8081;
const PATIENCE: Duration = Duration::from_secs(120);
/// Number of readings of the machine's clock; the fastest counts.
const READINGS: usize = 10;

/// Runs inside an enclosure with a network of its own; returns whether the target was met.
pub async fn bench(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    enclosure::unless_ended(&mut end, measure(dir)).await
}

async fn measure(dir: &Path) -> Result<bool> {
    network::up().await?;
    let room = Room::find().await?;
    let mut lab = Lab::start(dir, |line| eprintln!("lab: {line}")).await?;
    lab.begin(STORY);
    lab.change_policy("{}").await?;
    lab.serve_api(&network::api())?;
    let guest = node::join(&lab, &room, &images(&room, dir).await?, STORY, NAME, 1).await?;
    process::signal_all(Signal::STOP, |text| text.contains(App::Controller.sign()));
    process::signal_all(Signal::STOP, |text| text.contains("/prometheus\0"));
    bring_writer(&room, &guest, dir).await?;
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    if request::found(repairs.get(NAME).await)?.is_none() {
        let record = serde_json::from_value(json!({"metadata": {"name": NAME}, "spec": {}}))?;
        repairs.create(&PostParams::default(), &record).await.context("creating the record")?;
    }
    let map = json!({"data": {"reimage.sh": SCRIPT}}).to_string();
    lab.kubectl.run(&["-n", "ossci", "patch", "configmap", "ossci-reimage", "--type=merge", "--patch", &map]).await?;
    lab.kubectl.run(&["taint", "node", NAME, "repair-reimage=:NoSchedule"]).await?;

    let mut writes = raw_writes(&guest).await?;
    let mut all = Vec::new();
    for number in 0..ORDERS {
        all.push(order(&lab, &guest, &repairs, number).await?);
    }
    writes.extend(raw_writes(&guest).await?);
    let told: Vec<f64> = all.iter().map(|took| took.told).collect();
    let running: Vec<f64> = all.iter().map(|took| took.running).collect();
    println!("    {} orders, ms: {}", told.len(), shown(&told));
    println!("    of these until the agent has recorded that it runs, p50 {:.1} ms", part(&running, 50));
    let uncertain = all.iter().map(|took| took.within).fold(0.0, f64::max);
    println!("    the machine's clock is known to {uncertain:.1} ms at the worst of them");
    println!(
        "    {} raw guarded writes, p10 {:.1} ms, p90 {:.1} ms",
        writes.len(),
        part(&writes, 10),
        part(&writes, 90)
    );
    let name = "order written to systemd told, p50".to_owned();
    Ok(Figure { name, value: part(&told, 50), unit: "ms", peer: part(&writes, 50), target: 5.0 }.print())
}

fn shown(values: &[f64]) -> String {
    values.iter().map(|value| format!("{value:.0}")).collect::<Vec<_>>().join(" ")
}

/// The percentile of the values.
pub fn part(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// Copies this program to the machine, which runs it for the raw writes.
async fn bring_writer(room: &Room, guest: &Guest, dir: &Path) -> Result<()> {
    let folder = dir.join("writer");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let here = folder.join("ossci-lab");
    run(tool("strip")?.arg("-o").arg(&here).arg(environment::this_program()?)).await?;
    let cluster =
        kubeconfig::Cluster { server: format!("https://{}", network::api()), ca_file: "/etc/kubernetes/ca.crt".into() };
    kubeconfig::with_token(&folder.join("kubeconfig"), &cluster, Path::new("/run/lab/token"))?;
    let at = format!("{GATEWAY}:{PORT}");
    let server = Program::new("busybox", &room.image.busybox).args(["httpd", "-f", "-p", &at, "-h"]).arg(&folder);
    let mut server = server.start(&dir.join("writer.log"))?;
    server
        .ready(PATIENCE, || async { tokio::net::TcpStream::connect(&at).await.map(drop).context("its port") })
        .await?;
    for file in ["ossci-lab", "kubeconfig"] {
        let fetch = format!("/usr/lib/apt/apt-helper download-file http://{at}/{file} /run/lab/{file}");
        guest.run(&format!("mkdir -p /run/lab && {fetch} && chmod 755 /run/lab/{file}")).await?;
    }
    Ok(())
}

/// Milliseconds of raw writes with the agent's own identity, one after the other.
async fn raw_writes(guest: &Guest) -> Result<Vec<f64>> {
    let agent = "$(pgrep -f '^/usr/bin/ossci-remediator agent' | head -n 1)";
    let token = format!("cp /proc/{agent}/root/var/run/secrets/kubernetes.io/serviceaccount/token /run/lab/token");
    let writes = format!("/run/lab/ossci-lab guarded-writes --kubeconfig=/run/lab/kubeconfig --node-name={NAME}");
    let said = guest.run(&format!("{token} && {writes}")).await?;
    let took: Vec<f64> = said.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    ensure!(took.len() == WRITES, "raw writes failed:\n{said}");
    Ok(took)
}

/// Runs on the machine: prints the milliseconds of each write.
pub async fn write_guarded(kubeconfig: &Path, node: &str) -> Result<()> {
    let repairs: Api<NodeRepair> = Api::all(kubeconfig::client(kubeconfig).await?);
    let mut version = repairs.get(node).await.context("reading the record")?.metadata.resource_version;
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("the boot id")?;
    for number in 0..WRITES {
        let agent = json!({"orderID": format!("raw-{number}"), "bootID": boot_id.trim(), "state": "Running",
                           "at": clock::now().to_string(), "message": ""});
        let change = json!({"metadata": {"resourceVersion": version}, "status": {"agent": agent}});
        let watch = Stopwatch::start();
        let written = repairs.patch_status(node, &PatchParams::default(), &Patch::Merge(change)).await;
        let took = watch.elapsed();
        version = written.context("a guarded write")?.metadata.resource_version;
        println!("{:.3}", took.as_secs_f64() * 1000.0);
    }
    Ok(())
}

/// Milliseconds since an order was written.
struct Took {
    /// Until the agent has recorded that it runs.
    running: f64,
    /// Until systemd received the request, and the uncertainty.
    told: f64,
    within: f64,
}

async fn order(lab: &Lab, guest: &Guest, repairs: &Api<NodeRepair>, number: usize) -> Result<Took> {
    let boot_id = node::boot_id(lab, NAME).await?;
    // An agent accepts only an order that matches its record's repair.
    let attempt = number + 1;
    let (id, issued) = (format!("1-reimage-{attempt}"), clock::now());
    let now = issued.to_string();
    let episode = json!({"number": 1, "startedAt": now, "rung": "reimage", "phase": "Reimaging", "attempt": attempt, "since": now,
                         "why": {"reason": "ReimageOrdered", "message": ""}, "nodeUID": "", "bootID": boot_id});
    let change: Value = json!({"status": {"episode": episode}});
    repairs.patch_status(NAME, &PatchParams::default(), &Patch::Merge(change)).await.context("an episode")?;
    let script =
        json!({"configMap": "ossci-reimage", "key": "reimage.sh", "sha256": format!("{:x}", Sha256::digest(SCRIPT))});
    let order = json!({"id": id, "kind": "reimage", "bootID": boot_id, "issuedAt": issued.to_string(),
                       "deadline": (issued + SignedDuration::from_mins(5)).to_string(), "script": script});
    let version = repairs.get(NAME).await?.metadata.resource_version;
    let change: Value = json!({"metadata": {"resourceVersion": version}, "spec": {"order": order}});
    let written = clock::now();
    repairs.patch(NAME, &PatchParams::default(), &Patch::Merge(change)).await.context("ordering")?;
    let id = &*id;
    wait::until("the script has run", PATIENCE, || async move {
        let record = repairs.get(NAME).await?.record();
        let report = record.report_on(id).map(|report| (report.state, report.message.clone()));
        ensure!(report.as_ref().is_some_and(|(state, _)| *state == AgentState::Done), "{report:?}");
        Ok(())
    })
    .await?;
    // systemd's own journal entries of the unit, in microseconds of the machine's clock. They go to
    // a pipe, because a terminal would get colours.
    let unit = format!("ossci-order-{id}-{}.service", issued.as_second());
    let journal =
        format!("journalctl --boot --quiet --no-pager --output=json --output-fields=MESSAGE UNIT={unit} | cat");
    let said = guest.run(&journal).await?;
    let first = said.lines().next().context("the journal has no entry of the unit")?;
    let entry: Value = serde_json::from_str(first).with_context(|| format!("reading {first}"))?;
    let at: f64 = entry["__REALTIME_TIMESTAMP"].as_str().context("an entry without time")?.parse()?;
    let (ahead, within) = offset(guest).await?;
    let written = written.as_microsecond() as f64 / 1000.0;
    let running = running(lab, id)?.as_microsecond() as f64 / 1000.0 - written;
    Ok(Took { running, told: at / 1000.0 - ahead - written, within })
}

/// The time at which the API server stored that this order runs.
fn running(lab: &Lab, id: &str) -> Result<jiff::Timestamp> {
    let log = std::fs::read_to_string(&lab.facts.audit_log).context("reading the audit log")?;
    let says = |write: &audit::Write| {
        let agent = &write.object["status"]["agent"];
        write.resource == "noderepairs" && agent["orderID"] == id && agent["state"] == "Running"
    };
    let first = log.lines().filter_map(audit::parse).find(says);
    first.map(|write| write.at).context("the agent has not recorded that it runs")
}

/// The offset of the machine's clock from ours in milliseconds, and its uncertainty.
async fn offset(guest: &Guest) -> Result<(f64, f64)> {
    let mut best: Option<(f64, f64)> = None;
    for _ in 0..READINGS {
        let (asked, watch) = (clock::now(), Stopwatch::start());
        let said = guest.run("date +%s%N").await?;
        let half = watch.elapsed().as_secs_f64() * 1000.0 / 2.0;
        let there = said.trim().parse::<i128>().context("the machine's time")? as f64 / 1e6;
        let here = asked.as_microsecond() as f64 / 1000.0 + half;
        if best.is_none_or(|(_, known)| half < known) {
            best = Some((there - here, half));
        }
    }
    best.context("no reading of the machine's clock")
}
