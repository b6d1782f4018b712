//! What real machines go through, and what must come of it.

mod packages;
mod reboots;
mod reimages;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::api::Api;
use ossci_remediator::core::record::Episode;
use ossci_remediator::core::word::ClosedWord;
use ossci_remediator::wire::node_repair::NodeRepair;

use super::guest::Guest;
use super::{Room, network, node};
use crate::clock::Stopwatch;
use crate::lab::Lab;
use crate::wait;

const STORY: &str = "machines";
const TAKES: Duration = Duration::from_secs(420);

/// An emulated machine takes a minute to boot and some to be Ready.
const POLICY: &str = "{budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, times: {drainSeconds: 60, \
                      reimageSeconds: 200, bootSeconds: 240, proofSeconds: 240, stabiliseSeconds: 5}, proof: {gapSeconds: 5}}";

/// What is played on each machine, one story after the other. All machines share one script of a reimage, so all reimages
/// are one machine's.
const LANES: [&[&str]; 2] = [
    &["reboot-heals", "order-doubled", "shutdown-hangs", "kernel-panics"],
    &["packages-heal", "driver-too-new", "packages-fail", "reimage-heals", "power-fails", "scripts-misbehave"],
];

/// All of them.
pub fn stories() -> impl Iterator<Item = &'static str> {
    LANES.into_iter().flatten().copied()
}

/// Plays these stories, or all, on as many machines as it takes.
pub async fn play(lab: &mut Lab, room: &Room, images: &[PathBuf], wanted: &[String]) -> Result<()> {
    lab.begin(STORY);
    lab.change_policy(POLICY).await?;
    lab.serve_api(&network::api())?;
    let lab: &Lab = lab;
    let is_wanted = |story: &&str| wanted.is_empty() || wanted.iter().any(|name| name == story);
    let lanes = (1..).zip(LANES).map(|(number, lane)| async move {
        let lane: Vec<&str> = lane.iter().copied().filter(is_wanted).collect();
        if lane.is_empty() { Ok(()) } else { on_one(lab, room, images, number, &lane).await }
    });
    futures::future::try_join_all(lanes).await.map(drop)
}

async fn on_one(lab: &Lab, room: &Room, images: &[PathBuf], number: u8, stories: &[&str]) -> Result<()> {
    let (name, watch) = (format!("vm{number}"), Stopwatch::start());
    let guest = &node::join(lab, room, images, STORY, &name, number).await?;
    println!("{name} is a node with our pods ({})", watch.read());
    for story in stories {
        let watch = Stopwatch::start();
        let came = match *story {
            "reboot-heals" => reboots::heals(lab, guest).await,
            "order-doubled" => reboots::doubled(lab, guest).await,
            "shutdown-hangs" => reboots::hangs(lab, guest).await,
            "kernel-panics" => reboots::panics(lab, guest).await,
            "packages-heal" => packages::heal(lab, room, guest).await,
            "driver-too-new" => packages::too_new(lab, room, guest).await,
            "packages-fail" => packages::fail(lab, room, guest).await,
            "reimage-heals" => reimages::heals(lab, guest).await,
            "power-fails" => reimages::power_fails(lab, guest).await,
            "scripts-misbehave" => reimages::misbehave(lab, guest).await,
            other => bail!("there is no story {other}"),
        };
        came.with_context(|| format!("story {story}"))?;
        println!("story {story} ... ok ({})", watch.read());
    }
    Ok(())
}

/// What a machine's boots were when a story began.
struct Before {
    told: String,
    known: Vec<String>,
    resets: u32,
}

impl Before {
    async fn of(lab: &Lab, guest: &Guest) -> Result<Self> {
        let told = node::boot_id(lab, &guest.name).await?;
        Ok(Self { told, known: guest.boots().await?, resets: guest.resets() })
    }

    /// The machine has booted so often since then: its own journal and its monitor say the same, and so does the Node.
    async fn and_boots(&self, lab: &Lab, guest: &Guest, times: u32) -> Result<()> {
        guest.up(TAKES).await?;
        let told = node::boot_id(lab, &guest.name).await?;
        ensure!((told != self.told) == (times > 0), "the Node told of boot {} and tells of {told}", self.told);
        let (known, resets) = (guest.boots().await?, guest.resets() - self.resets);
        let new = known.len().saturating_sub(self.known.len());
        ensure!(new == times as usize, "the journal knew {:?} and knows {known:?}", self.known);
        ensure!(resets == times, "the monitor saw {resets} resets");
        Ok(())
    }
}

async fn phase(lab: &Lab, name: &str, wanted: &str) -> Result<()> {
    wait::until(format!("{name} is {wanted}"), TAKES, || async move {
        let episode = episode(lab, name).await?;
        let (phase, why) = (episode.phase.as_str(), &episode.why);
        ensure!(phase == wanted, "{phase}: {}: {}", why.why.as_str(), why.message);
        Ok(())
    })
    .await
}

async fn episode(lab: &Lab, name: &str) -> Result<Episode> {
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    repairs.get(name).await?.record().repair.episode.context("no episode")
}
