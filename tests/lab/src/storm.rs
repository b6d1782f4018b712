//! The command `ossci-lab storm`: 400, then 700 of a thousand nodes complain. Two of them are
//! simulated machines with an agent; the others are only Node objects. All of the 400 are tainted;
//! of the 700 only half of the pool. The rest get a condition, a record and a mail. After the brake
//! the first node has to heal before the second repair starts.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::{Api, ListParams};
use ossci_base::words::ClosedWord;
use ossci_remediator::wire::node_repair::NodeRepair;
use ossci_remediator::wire::slim_node::{self, SlimNode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::watch;

use crate::audit::Write;
use crate::clock;
use crate::lab::Lab;
use crate::paper_nodes::{self, Size};
use crate::witness::Witness;
use crate::{enclosure, process, verdict, wait};

/// The pool's name.
const STORM: &str = "storm";
const NODES: usize = 1_000;
/// These complain first, so they are repaired first.
const MACHINES: [&str; 2] = ["storm-a", "storm-b"];
const FIRST: usize = 400;
const ALL: usize = 700;
/// The taint limit in percent of the pool: the default.
const TAINTED: usize = 50;
const REPAIRED: usize = 10;
/// Longer than all of them take to complain, on any machine.
const BRAKE: &str = "{brakes: {stormSeconds: 7200, taintPercent: 50}}";
const TAKES: Duration = Duration::from_secs(400);

/// Runs inside an enclosure; prints its observations.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, storm(dir)).await
}

async fn storm(dir: &Path) -> Result<()> {
    let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
    lab.begin(STORM);
    lab.change_policy(BRAKE).await?;
    lab.add_nodes(&MACHINES.map(str::to_owned)).await?;
    // These nodes have no kubelet: the stopped controller manager does not mark them as silent.
    process::signal_all(Signal::STOP, |text| text.contains("kube-controller-manager\0"));
    paper_nodes::create(&lab.admin, STORM, 0..NODES - MACHINES.len(), STORM, Size::Small).await?;
    println!("{NODES} nodes exist");

    let mut names = MACHINES.map(str::to_owned).to_vec();
    names.extend((0..NODES - MACHINES.len()).map(|number| paper_nodes::name(STORM, number)));
    // Two nodes alone are not a storm.
    let pause = "ossci.amd.com/pause";
    lab.kubectl
        .run(&["-n", "ossci", "annotate", "configmap", "ossci-budget", &format!("{pause}=until-400-asked")])
        .await?;
    for numbers in [0..MACHINES.len(), MACHINES.len()..FIRST] {
        lab.alerting.complain(&names[numbers.clone()]).await?;
        standing(&lab, numbers.end, 0, "Paused").await?;
    }
    lab.kubectl.run(&["-n", "ossci", "annotate", "configmap", "ossci-budget", &format!("{pause}-")]).await?;
    standing(&lab, FIRST, 0, "StormBrake").await?;
    println!("{FIRST} complained: all are tainted");
    let second = clock::now();
    lab.alerting.complain(&names[FIRST..ALL]).await?;
    let tainted = NODES * TAINTED / 100;
    standing(&lab, tainted, ALL - tainted, "StormBrake").await?;
    println!("{ALL} complained: {tainted} are tainted, {} are only reported", ALL - tainted);

    let mut witness = Witness::new(&lab.facts)?;
    told_by_mail(&mut witness).await?;
    let drained = drained_before_a_heal(&witness);
    ensure!(drained.is_empty(), "drained while the storm lasted: {drained:?}");

    // The window now ends after the second wave, which is a storm of its own.
    let window = clock::now().duration_since(second).as_secs() + 1;
    lab.change_policy(&format!("{{brakes: {{stormSeconds: {window}, taintPercent: 50}}}}")).await?;
    wait::until("both machines are healed", TAKES, || async {
        let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
        for name in MACHINES {
            let repair = repairs.get(name).await?;
            let episode = repair.record().repair.episode.context("no episode")?;
            let (phase, why) = (episode.phase.as_str(), episode.why.why.as_str());
            ensure!(phase == "Healed", "{name}: {phase}: {why}");
        }
        Ok(())
    })
    .await?;
    witness.look().await?;
    judge(&witness, &names)?;
    println!("the storm is over");
    Ok(())
}

/// Waits until `tainted` nodes carry the taint and wait for `why`, `kept` nodes are at the taint
/// limit, and every complaint is recorded.
async fn standing(lab: &Lab, tainted: usize, kept: usize, why: &str) -> Result<()> {
    // Repeated lists of a thousand nodes would add load: the remediator's metrics are polled first.
    wait::until(format!("{tainted} wait for {why} and {kept} for TaintLimit"), TAKES, || async {
        let page = lab.metrics_of_all().await?;
        let waiting = |why: &str, count: usize| {
            let of = format!("why=\"{why}\"}} {count}");
            page.lines().any(|line| line.starts_with("ossci_remediator_waiting{") && line.ends_with(&of))
        };
        ensure!(waiting(why, tainted) && waiting("TaintLimit", kept), "they do not yet");
        Ok(())
    })
    .await?;
    let (nodes, repairs): (Api<SlimNode>, Api<NodeRepair>) = (Api::all(lab.admin.clone()), Api::all(lab.admin.clone()));
    wait::until(format!("{tainted} nodes are tainted and {kept} are not"), TAKES, || async {
        let nodes = nodes.list(&ListParams::default()).await?.items;
        let with = nodes.iter().filter(|node| node.taints().iter().any(|taint| taint.key == "repair-reboot"));
        let told = nodes.iter().filter(|node| slim_node::condition(node).is_some_and(|ours| ours.status == "False"));
        let whys: Vec<&str> = repairs
            .list(&ListParams::default())
            .await?
            .iter()
            .map(|repair| repair.record().repair.episode.map_or("none", |episode| episode.why.why.as_str()))
            .collect();
        let limited = whys.iter().filter(|why| **why == "TaintLimit").count();
        let waiting = whys.iter().filter(|known| **known == why).count();
        let seen = (with.count(), waiting, limited, told.count());
        ensure!(seen == (tainted, tainted, kept, tainted + kept), "tainted, waiting, at the limit, recorded: {seen:?}");
        Ok(())
    })
    .await
}

async fn told_by_mail(witness: &mut Witness) -> Result<()> {
    let watch = clock::Stopwatch::start();
    loop {
        witness.look().await?;
        let subjects: BTreeSet<&str> = witness.mails_about(STORM).iter().map(|mail| mail.subject.as_str()).collect();
        let told = |words: &str| subjects.iter().any(|subject| subject.contains(words));
        if told("too many nodes ask for a repair at once") && told("the limit of tainted nodes is reached") {
            return Ok(());
        }
        ensure!(watch.elapsed() < TAKES, "only these mails were sent: {subjects:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Nodes that were drained before any node was healed, in the order of the writes; the audit log's
/// times are those of the responses.
fn drained_before_a_heal(witness: &Witness) -> BTreeSet<&str> {
    let phase =
        |write: &Write| write.object.pointer("/status/episode/phase").and_then(Value::as_str).map(str::to_owned);
    let before = witness.in_order().into_iter().take_while(|write| phase(write).as_deref() != Some("Healed"));
    before.filter(|write| phase(write).as_deref() == Some("Draining")).map(|write| write.name.as_str()).collect()
}

/// Checks that the budget was never exceeded, that one node was repaired before the second started,
/// and that no foreign field was changed.
fn judge(witness: &Witness, names: &[String]) -> Result<()> {
    let pool: Vec<&str> = names.iter().map(String::as_str).collect();
    let chronicle = &witness.whole();
    let mut wrong = verdict::crowds(chronicle, &pool, REPAIRED);
    for (name, story) in chronicle.nodes().filter(|(name, _)| pool.contains(name)) {
        wrong.extend(story.foreign.iter().map(|what| format!("never-foreign: {name}: {what}")));
        if !story.phases.is_empty() && story.why_now().is_empty() {
            wrong.push(format!("never-silent: {name} has no reason"));
        }
    }
    // They complained at the same time: any of them may have been recorded first.
    let drained = drained_before_a_heal(witness);
    if drained.len() != 1 || !MACHINES.iter().any(|name| drained.contains(name)) {
        wrong.push(format!("before the first was healed, these were drained: {drained:?}"));
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
