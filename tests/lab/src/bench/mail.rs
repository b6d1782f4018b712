//! Benchmark of mails: how soon one is accepted, how many a storm of escalations becomes, what a
//! silent server costs the other nodes, and how long the longest mail takes to compose.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use kube::api::{Api, ListParams};
use ossci_remediator::api::evidence_maps::Stored;
use ossci_remediator::core::record::Phase;
use ossci_remediator::mail::{Mailer, compose, examples};
use ossci_remediator::wire::node_repair::NodeRepair;
use ossci_remediator::wire::policy_file::PolicyFile;
use serde_json::json;
use tokio::sync::watch;

use super::Figure;
use crate::clock::Stopwatch;
use crate::lab::Lab;
use crate::paper_nodes::{self, Size};
use crate::post_office::{Encryption, Manners, Point, PostOffice};
use crate::site_policy::STORY;
use crate::{enclosure, wait};

/// Nodes that escalate one by one, each in a pool of its own.
const SINGLE: usize = 20;
const STORM: usize = 250;
const OVER: Duration = Duration::from_secs(60);
/// Escalations that a silent server holds.
const STUCK: usize = 50;
/// Nodes that complain meanwhile.
const OTHERS: usize = 100;
const ROUNDS: [&str; 3] = ["before", "beside", "after"];
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs inside an enclosure. Returns whether every target was met.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<bool> {
    let met = enclosure::unless_ended(&mut end, measure(dir));
    met.await
}

async fn measure(dir: &Path) -> Result<bool> {
    let mut met = composing()?.print();
    let mut lab = Lab::start(dir, |_| {}).await?;
    let office = PostOffice::open(Encryption::StartTls, &lab.server_pair("post")?, Manners::default()).await?;
    let pools: Vec<_> = (0..SINGLE)
        .map(|number| format!("single{number}"))
        .chain(["storm", "stuck"].into_iter().chain(ROUNDS).map(str::to_owned))
        .map(|name| json!({ "name": name, "nodeSelector": { STORY: name }, "mode": "reimage" }))
        .collect();
    let mail = json!({ "server": "127.0.0.1", "port": office.port });
    lab.change_policy(&json!({ "pools": pools, "mail": mail, "brakes": { "stormPercent": 100 } }).to_string()).await?;
    for figure in accepted_soon(&lab).await? {
        met &= figure.print();
    }
    // The mails of the part before count for the pace of this one.
    tokio::time::sleep(OVER).await;
    for figure in folded(&lab, &office).await? {
        met &= figure.print();
    }
    met &= others_go_on(&lab, &office).await?.print();
    Ok(met)
}

/// Composes the mail with 3 MB of logs.
fn composing() -> Result<Figure> {
    let yaml =
        "pools: [{name: mi300x, nodeSelector: {a: b}}]\nmail: {from: a@b.example, to: [a@b.example], directory: /}";
    let mailer = Mailer::of(&PolicyFile::parse(yaml)?)?.context("the policy has a mail section")?;
    let record = examples::missing();
    let log = "[Sat Nov 28 22:04:31 2026] amdgpu 0000:65:00.0: amdgpu: a line of a kernel log\n".repeat(6_400);
    let stored = |number: usize| {
        (format!("log-{number}"), Ok(Stored { packed: Vec::new(), text: Some(log.clone().into_bytes()) }))
    };
    let evidence: Vec<_> = (0..6).map(stored).collect();
    let bytes: usize = log.len() * evidence.len();
    ensure!(bytes > 3_000_000, "{bytes} bytes of logs");
    let case = compose::Case { node: "gpu-0417", machine: None, record: &record, pods: &[], evidence: &evidence };
    let mut took = Vec::new();
    for _ in 0..20 {
        let watch = Stopwatch::start();
        let letter = mailer.about_node(&case).context("the record has an episode")?;
        let thread = ossci_remediator::mail::Thread { message_id: "<1@b.example>".to_owned(), ..Default::default() };
        let eml = mailer.eml(&thread, &letter, crate::clock::now())?;
        ensure!(eml.len() > 2_000_000, "{} bytes of mail", eml.len());
        took.push(watch.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Figure {
        name: "compose with 3 MB of logs, slowest of 20".into(),
        value: worst(&took),
        unit: "ms",
        peer: 100.0,
        target: 1.0,
    })
}

/// From the decision, which is on record, to the record of the acceptance.
async fn accepted_soon(lab: &Lab) -> Result<Vec<Figure>> {
    for number in 0..SINGLE {
        paper_nodes::create(&lab.admin, &format!("one{number}-"), 0..1, &format!("single{number}"), Size::Small)
            .await?;
    }
    let mut took = Vec::new();
    for number in 0..SINGLE {
        let node = paper_nodes::name(&format!("one{number}-"), 0);
        paper_nodes::hand_over(&lab.admin, &node).await?;
        let record = paper_nodes::escalated(&lab.admin, &node, PATIENCE).await?;
        let mail =
            record.repair.episode.as_ref().and_then(|episode| episode.mails.first().cloned()).context("a mail")?;
        let (due, accepted) = mail.due_at.zip(mail.accepted_at).context("both times")?;
        took.push(accepted.duration_since(due).as_secs_f64() * 1e3);
    }
    took.sort_by(f64::total_cmp);
    let figure = |what: &str, value: f64| Figure {
        name: format!("decision to accepted, {what} of {SINGLE}"),
        value,
        unit: "ms",
        peer: 200.0,
        target: 1.0,
    };
    println!("decision to accepted, slowest of {SINGLE}: {:.0} ms", worst(&took));
    Ok(vec![figure("p50", took[took.len() / 2])])
}

/// Nodes of one pool that need a person within a minute.
async fn folded(lab: &Lab, office: &PostOffice) -> Result<Vec<Figure>> {
    paper_nodes::create(&lab.admin, "storm-", 0..STORM, "storm", Size::Small).await?;
    let before = office.accepted().len();
    let watch = Stopwatch::start();
    let mut first = None;
    for number in 0..STORM {
        paper_nodes::hand_over(&lab.admin, &paper_nodes::name("storm-", number)).await?;
        if office.accepted().len() > before {
            first = first.or(Some(watch.elapsed()));
        }
        let due = OVER * u32::try_from(number).unwrap_or_default() / u32::try_from(STORM).unwrap_or(1);
        tokio::time::sleep(due.saturating_sub(watch.elapsed())).await;
    }
    wait::until("all are escalated", PATIENCE, || async {
        let left = in_phase(lab, "storm-", Phase::Escalated).await?;
        ensure!(left == STORM, "{left} of {STORM}");
        Ok(())
    })
    .await?;
    let mails = office.accepted().split_off(before);
    let named: BTreeSet<usize> = (0..STORM)
        .filter(|number| {
            let name = paper_nodes::name("storm-", *number);
            mails.iter().any(|mail| mail.raw.contains(&name))
        })
        .collect();
    ensure!(named.len() == STORM, "only {} of {STORM} nodes are named", named.len());
    println!("{STORM} escalations: all named, the last accepted after {:.0} s", watch.elapsed().as_secs_f64());
    let count = |value: usize| f64::from(u32::try_from(value).unwrap_or(u32::MAX));
    Ok(vec![
        Figure {
            name: format!("mails for {STORM} escalations"),
            value: count(mails.len()),
            unit: "",
            peer: 3.0,
            target: 1.0,
        },
        Figure {
            name: "the first of them".into(),
            value: first.context("no mail within the minute")?.as_secs_f64(),
            unit: "s",
            peer: 60.0,
            target: 1.0,
        },
    ])
}

/// Complaints to the start of their repairs, beside a server that takes a mail and never answers.
/// Each round leaves more nodes in repair than the one before, so it is compared with the mean of
/// one round before it and one after it.
async fn others_go_on(lab: &Lab, office: &PostOffice) -> Result<Figure> {
    for round in ROUNDS {
        paper_nodes::create(&lab.admin, &format!("{round}-"), 0..OTHERS, round, Size::Small).await?;
    }
    paper_nodes::create(&lab.admin, "stuck-", 0..STUCK, "stuck", Size::Small).await?;
    let before = started(lab, ROUNDS[0]).await?;
    office.behave(|manners| manners.silent_at = Some(Point::End));
    for number in 0..STUCK {
        paper_nodes::hand_over(&lab.admin, &paper_nodes::name("stuck-", number)).await?;
    }
    stuck(lab, Phase::Escalating).await?;
    let beside = started(lab, ROUNDS[1]).await?;
    let waiting = in_phase(lab, "stuck-", Phase::Escalating).await?;
    ensure!(waiting == STUCK, "only {waiting} mails still wait: this measured nothing");
    office.behave(|manners| manners.silent_at = None);
    stuck(lab, Phase::Escalated).await?;
    let after = started(lab, ROUNDS[2]).await?;
    let at = |times: &[f64], share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    for (what, times) in [("before", &before), ("beside", &beside), ("after", &after)] {
        println!("complaint to repair, {what}: p50 {:.0} ms, p99 {:.0} ms", at(times, 50), at(times, 99));
    }
    Ok(Figure {
        name: format!("complaint to repair p99, {STUCK} mails stuck"),
        value: at(&beside, 99),
        unit: "ms",
        peer: f64::midpoint(at(&before, 99), at(&after, 99)),
        target: 1.2,
    })
}

async fn stuck(lab: &Lab, phase: Phase) -> Result<()> {
    wait::until(format!("{STUCK} nodes are {phase}"), PATIENCE, || async {
        let there = in_phase(lab, "stuck-", phase).await?;
        ensure!(there == STUCK, "{there} of {STUCK}");
        Ok(())
    })
    .await
}

/// Milliseconds from the reception of a complaint to the start of its repair, sorted.
async fn started(lab: &Lab, round: &str) -> Result<Vec<f64>> {
    let prefix = &format!("{round}-");
    let names: Vec<_> = (0..OTHERS).map(|number| paper_nodes::name(prefix, number)).collect();
    lab.alerting.complain(&names).await?;
    let mut took = wait::until("all repairs have begun", PATIENCE, || async {
        let repairs = Api::<NodeRepair>::all(lab.admin.clone()).list(&ListParams::default()).await?;
        let times: Vec<f64> = repairs
            .items
            .iter()
            .filter(|repair| repair.metadata.name.as_deref().is_some_and(|name| name.starts_with(prefix)))
            .filter_map(|repair| {
                let record = repair.record();
                let seen: Timestamp = record.complaints.iter().map(|complaint| complaint.seen).min()?;
                Some(record.repair.episode?.started_at.duration_since(seen).as_secs_f64() * 1e3)
            })
            .collect();
        ensure!(times.len() == OTHERS, "{} of {OTHERS}", times.len());
        Ok(times)
    })
    .await?;
    took.sort_by(f64::total_cmp);
    Ok(took)
}

async fn in_phase(lab: &Lab, prefix: &str, phase: Phase) -> Result<usize> {
    let repairs = Api::<NodeRepair>::all(lab.admin.clone()).list(&ListParams::default()).await?;
    let ours = repairs.items.iter().filter(|repair| {
        repair.metadata.name.as_deref().is_some_and(|name| name.starts_with(prefix))
            && repair.record().repair.episode.is_some_and(|episode| episode.phase == phase)
    });
    Ok(ours.count())
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}
