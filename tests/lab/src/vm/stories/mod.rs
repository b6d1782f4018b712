//! The stories on virtual machines, and their expected results.

mod bad;
mod dead;
mod half;
mod killed;
mod packages;
mod reboots;
mod reimages;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use kube::api::Api;
use ossci_base::words::ClosedWord;
use ossci_remediator::core::record::{AgentState, Episode, OrderKind};
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::{Value, json};

use super::bmc::Bmcs;
use super::guest::Guest;
use super::{Room, network, node, speed};
use crate::clock::Stopwatch;
use crate::lab::Lab;
use crate::wait;

const STORY: &str = "machines";
/// The deadline of a reimage on the usual machine, in seconds.
const REIMAGE: u64 = 600;
/// Timeout of each step of a story there: a script that never ends is killed at its deadline.
const TAKES: Duration = Duration::from_secs(REIMAGE + 180);

/// Timeout of each step of a story, on this machine.
pub fn takes() -> Duration {
    speed::scaled(TAKES)
}

/// The stories of each machine, played one after the other. All machines share one reimage script,
/// so all reimages are on one machine.
const LANES: [&[&str]; 2] = [
    &[
        "reboot-heals",
        "inhibited",
        "order-doubled",
        "shutdown-hangs",
        "kernel-panics",
        "killed-and-cut-off",
        "kernel-hangs",
        "kernel-dumps",
    ],
    &[
        "packages-heal",
        "driver-too-new",
        "packages-fail",
        "packages-locked",
        "power-fails-in-dpkg",
        "reimage-heals",
        "released-midway",
        "power-fails",
        "scripts-misbehave",
        "script-gone",
        "disk-read-only",
        "agent-silent",
    ],
];
/// Played after the lanes: these need every machine, or change shared state.
const LAST: [&str; 3] = ["half-silent", "hangs-without-bmc", "probe-nonsense"];

/// All story names.
pub fn stories() -> impl Iterator<Item = &'static str> {
    LANES.into_iter().flatten().copied().chain(LAST)
}

/// The policy of every story. An emulated machine takes a minute to boot, two at the same time
/// longer, and then some time to be Ready. Only after that a silent kubelet counts as dead. A node
/// is NotReady after 50 s.
fn policy(bmcs: &Bmcs) -> Value {
    let scaled = |seconds| speed::scaled(Duration::from_secs(seconds)).as_secs();
    json!({
        "budget": {"atMostPercent": 100}, "brakes": {"stormPercent": 100},
        "proof": {"gapSeconds": 5, "loadTest": {"key": "passes.sh", "seconds": 60}},
        "times": {"drainSeconds": scaled(60), "reimageSeconds": scaled(REIMAGE), "bootSeconds": scaled(240),
                  "proofSeconds": scaled(240), "stabiliseSeconds": 5, "agentSilentSeconds": scaled(90),
                  "reimageEvidenceSeconds": 10},
        "bmc": {"url": bmcs.url(), "deadSeconds": scaled(120)},
    })
}

/// The objects that a story uses.
#[derive(Clone, Copy)]
struct Place<'a> {
    lab: &'a Lab,
    room: &'a Room,
    bmcs: &'a Bmcs,
    images: &'a [PathBuf],
}

/// Plays these stories, or all, on as many machines as needed.
pub async fn play(lab: &mut Lab, room: &Room, images: &[PathBuf], wanted: &[String]) -> Result<()> {
    lab.begin(STORY);
    // Without its pool no machine gets the pool label, and so no agent.
    lab.change_policy("{}").await?;
    let names: Vec<String> = (1..=LANES.len()).map(|number| format!("vm{number}")).collect();
    let bmcs = &Bmcs::start(lab, &room.sushy, &names).await?;
    lab.serve_api(&network::api())?;
    let is_wanted = |story: &&str| wanted.is_empty() || wanted.iter().any(|name| name == story);
    let last: Vec<&str> = LAST.iter().copied().filter(is_wanted).collect();
    let place = Place { lab, room, bmcs, images };
    let lanes: Vec<Lane> = (1..)
        .zip(names)
        .zip(LANES)
        .map(|((number, name), lane)| Lane { number, name, stories: lane.iter().copied().filter(is_wanted).collect() })
        .filter(|lane| !lane.stories.is_empty() || !last.is_empty())
        .collect();
    let watch = Stopwatch::start();
    let guests = try_join_all(lanes.iter().map(|lane| lane.machine(place))).await?;
    let factor = speed::measure(watch.elapsed());
    println!("the machines are nodes with our pods ({}): times are scaled by {factor:.1}", watch.read());
    lab.change_policy(&policy(bmcs).to_string()).await?;
    let place = Place { lab, room, bmcs, images };
    try_join_all(lanes.iter().zip(&guests).map(|(lane, guest)| lane.play(place, guest))).await?;
    for story in last {
        let watch = Stopwatch::start();
        let came = match story {
            "half-silent" => half::silent(lab, bmcs, &guests).await,
            "hangs-without-bmc" => dead::without_bmc(lab, bmcs, &guests).await,
            "probe-nonsense" => bad::probe_nonsense(lab, bmcs, &guests).await,
            other => bail!("there is no story {other}"),
        };
        came.with_context(|| format!("story {story}"))?;
        println!("story {story} ... ok ({})", watch.read());
    }
    Ok(())
}

/// One machine, and the stories that it plays one after the other.
struct Lane {
    number: u8,
    name: String,
    stories: Vec<&'static str>,
}

impl Lane {
    async fn machine(&self, Place { lab, room, bmcs, images }: Place<'_>) -> Result<Guest> {
        let guest = node::join(lab, room, images, STORY, &self.name, self.number).await?;
        bmcs.plug(&self.name, guest.power().clone());
        Ok(guest)
    }

    async fn play(&self, Place { lab, room, bmcs, .. }: Place<'_>, guest: &Guest) -> Result<()> {
        for story in &self.stories {
            let watch = Stopwatch::start();
            let came = match *story {
                "reboot-heals" => reboots::heals(lab, guest).await,
                "inhibited" => reboots::inhibited(lab, guest).await,
                "order-doubled" => reboots::doubled(lab, guest).await,
                "shutdown-hangs" => reboots::hangs(lab, guest).await,
                "kernel-panics" => reboots::panics(lab, guest).await,
                "killed-and-cut-off" => killed::and_cut_off(lab, guest).await,
                "kernel-hangs" => dead::kernel_hangs(lab, bmcs, guest).await,
                "kernel-dumps" => dead::kernel_dumps(lab, bmcs, guest).await,
                "agent-silent" => dead::agent_silent(lab, bmcs, guest).await,
                "packages-heal" => packages::heal(lab, room, guest).await,
                "driver-too-new" => packages::too_new(lab, room, guest).await,
                "packages-fail" => packages::fail(lab, room, guest).await,
                "packages-locked" => packages::locked(lab, room, guest).await,
                "power-fails-in-dpkg" => packages::power_fails(lab, room, guest).await,
                "reimage-heals" => reimages::heals(lab, guest).await,
                "released-midway" => reimages::released(lab, guest).await,
                "power-fails" => reimages::power_fails(lab, guest).await,
                "scripts-misbehave" => reimages::misbehave(lab, guest).await,
                "script-gone" => bad::script_gone(lab, guest).await,
                "disk-read-only" => bad::disk_read_only(lab, guest).await,
                other => bail!("there is no story {other}"),
            };
            came.with_context(|| format!("story {story}"))?;
            println!("story {story} ... ok ({})", watch.read());
        }
        Ok(())
    }
}

/// The boots of a machine before a story.
struct Before {
    told: String,
    known: Vec<String>,
    resets: u32,
}

impl Before {
    async fn of(lab: &Lab, guest: &Guest) -> Result<Self> {
        let told = node::boot_id(lab, &guest.name).await?;
        Ok(Self { told, known: guest.boots().await?, resets: guest.power().resets() })
    }

    /// Checks that the machine has booted `times` times since then, by its journal, its power
    /// switch and its Node.
    async fn and_boots(&self, lab: &Lab, guest: &Guest, times: u32) -> Result<()> {
        guest.up(takes()).await?;
        let told = node::boot_id(lab, &guest.name).await?;
        ensure!((told != self.told) == (times > 0), "the Node had boot {} and has {told}", self.told);
        let (known, resets) = (guest.boots().await?, guest.power().resets() - self.resets);
        let new = known.len().saturating_sub(self.known.len());
        ensure!(new == times as usize, "the journal had {:?} and has {known:?}", self.known);
        ensure!(resets == times, "the machine was reset {resets} times, not {times}");
        Ok(())
    }
}

async fn phase(lab: &Lab, name: &str, wanted: &str) -> Result<()> {
    let came = wait::until(format!("{name} is {wanted}"), takes(), || async move {
        let episode = episode(lab, name).await?;
        let (phase, why) = (episode.phase.as_str(), &episode.why);
        ensure!(phase == wanted, "{phase} since {}: {}: {}", episode.since, why.why.as_str(), why.message);
        Ok(())
    });
    match came.await {
        Ok(()) => Ok(()),
        Err(error) => Err(error.context(standing(lab, name).await)),
    }
}

/// The agent's order and state and the status of our pods, for the error: the machine is gone when
/// a person reads it.
async fn standing(lab: &Lab, name: &str) -> String {
    let (here, of_agent) =
        (format!("--field-selector=spec.nodeName={name}"), "-o=jsonpath={.spec.order} {.status.agent}");
    let record = lab.kubectl.run(&["get", "noderepair", name, of_agent]).await;
    let pods = lab.kubectl.run(&["-n", "ossci", "get", "pods", &here]).await;
    [record, pods].map(|said| said.unwrap_or_else(|error| format!("{error:#}"))).join("\n")
}

async fn episode(lab: &Lab, name: &str) -> Result<Episode> {
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    repairs.get(name).await?.record().repair.episode.context("no episode")
}

/// Waits until a reboot is carried out; returns its order from the record.
async fn reboot_runs(lab: &Lab, name: &str) -> Result<Value> {
    let repairs: &Api<NodeRepair> = &Api::all(lab.admin.clone());
    wait::until(format!("the reboot of {name} is carried out"), takes(), || async move {
        let record = repairs.get(name).await?;
        let order = record.record().order.filter(|order| order.kind == OrderKind::Reboot).context("no reboot")?;
        let report = record.record().report_on(&order.id).map(|report| report.state);
        ensure!(report == Some(AgentState::Running), "the agent has not accepted {}", order.id);
        serde_json::to_value(record.spec.order).context("its order")
    })
    .await
}

/// Kills the agent. It may be exiting already, with the machine.
async fn kill_agent(guest: &Guest) {
    let _ = guest.run("pkill -KILL -f '^/usr/bin/ossci-remediator agent'").await;
}
