//! What real machines go through, and what must come of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kube::api::Api;
use ossci_remediator::core::word::ClosedWord;
use ossci_remediator::wire::node_repair::NodeRepair;

use super::guest::Guest;
use super::{Room, network, node};
use crate::clock::Stopwatch;
use crate::lab::Lab;
use crate::wait;

const STORY: &str = "machines";
/// An emulated machine takes a minute to boot and some to be Ready.
const POLICY: &str = "{budget: {atMostPercent: 100}, brakes: {stormPercent: 100}, \
                      times: {drainSeconds: 60, bootSeconds: 240, proofSeconds: 240, stabiliseSeconds: 5}, proof: {gapSeconds: 5}}";
const TAKES: Duration = Duration::from_secs(420);

/// In the order in which they are played.
pub const STORIES: [&str; 2] = ["reboot-heals", "shutdown-hangs"];

/// Plays all stories, or one only, on one machine.
pub async fn play(lab: &mut Lab, room: &Room, images: &[PathBuf], only: Option<&str>) -> Result<()> {
    lab.begin(STORY);
    lab.change_policy(POLICY).await?;
    lab.serve_api(&network::api())?;
    let watch = Stopwatch::start();
    let guest = node::join(lab, room, images, STORY, "vm1", 1).await?;
    println!("vm1 is a node with our pods ({})", watch.read());
    for story in STORIES.into_iter().filter(|story| only.is_none_or(|only| only == *story)) {
        let watch = Stopwatch::start();
        let came = match story {
            "reboot-heals" => reboot_heals(lab, &guest).await,
            "shutdown-hangs" => shutdown_hangs(lab, &guest).await,
            other => bail!("there is no story {other}"),
        };
        came.with_context(|| format!("story {story}"))?;
        println!("story {story} ... ok ({})", watch.read());
    }
    Ok(())
}

/// Taint, capture, one real reboot, proof, no taint.
async fn reboot_heals(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    breaks(lab, guest).await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_one_boot(lab, guest).await
}

/// A unit that ignores every wish to end holds up the shutdown: the boot comes all the same, and nobody else is asked for it.
async fn shutdown_hangs(lab: &Lab, guest: &Guest) -> Result<()> {
    let never = "systemd-run --quiet --unit=never-ends --property=TimeoutStopSec=infinity --property=SendSIGKILL=no \
                 sh -c 'trap \"\" TERM; while :; do sleep 1000; done'";
    guest.run(never).await?;
    reboot_heals(lab, guest).await
}

/// A GPU is gone until the next boot, and somebody asks for the repair.
async fn breaks(lab: &Lab, guest: &Guest) -> Result<()> {
    // A node that was repaired today begins one rung higher: each story is about the first time.
    lab.kubectl.run(&["delete", "noderepair", &guest.name, "--ignore-not-found"]).await?;
    guest.run("mkdir -p /run/lab && touch /run/lab/gpu-missing").await?;
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-reboot=:NoSchedule"]).await.map(drop)
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

    /// The machine has booted once since then: its own journal and its monitor say the same, and the Node tells of another
    /// boot.
    async fn and_one_boot(&self, lab: &Lab, guest: &Guest) -> Result<()> {
        guest.up(TAKES).await?;
        let told = node::boot_id(lab, &guest.name).await?;
        ensure!(told != self.told, "the Node still tells of boot {told}");
        let (known, resets) = (guest.boots().await?, guest.resets() - self.resets);
        ensure!(known.len() == self.known.len() + 1, "the journal knew {:?} and knows {known:?}", self.known);
        ensure!(resets == 1, "the monitor saw {resets} resets");
        Ok(())
    }
}

async fn phase(lab: &Lab, name: &str, wanted: &str) -> Result<()> {
    let repairs: &Api<NodeRepair> = &Api::all(lab.admin.clone());
    wait::until(format!("{name} is {wanted}"), TAKES, || async move {
        let episode = repairs.get(name).await?.record().repair.episode.context("no episode")?;
        let (phase, why) = (episode.phase.as_str(), &episode.why);
        ensure!(phase == wanted, "{phase}: {}: {}", why.why.as_str(), why.message);
        Ok(())
    })
    .await
}
