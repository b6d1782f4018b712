//! Stories of reboots of a virtual machine: ordered ones, and unexpected ones.

use std::io::Read as _;

use anyhow::{Context, Result, ensure};
use kube::api::Api;
use ossci_remediator::api::evidence_maps;
use ossci_remediator::core::record::Verdict;
use ossci_remediator::core::why::Why;
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::json;

use super::{Before, episode, kill_agent, phase, reboot_runs, takes};
use crate::lab::Lab;
use crate::story::Standing;
use crate::vm::guest::Guest;
use crate::vm::watched;
use crate::vm::workload::Workload;
use crate::wait;

/// A GPU goes missing, and the exporter in the machine detects it. Three strikes, an alert and a
/// taint follow; an ordinary pod is evicted. After capture, one real reboot and the proof, the
/// taint is removed, the pod runs again, and the alert is resolved.
pub async fn heals(lab: &Lab, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    tokio::select! {
        told = from_strikes(lab, guest) => told?,
        lost = watched::follow(lab, name) => lost.context("following the exporter")?,
    }
    watched::forget(lab, name);
    Ok(())
}

async fn from_strikes(lab: &Lab, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    let before = Before::of(lab, guest).await?;
    let workload = Workload::start(lab, name, 5).await?;
    lab.kubectl.run(&["delete", "noderepair", name, "--ignore-not-found"]).await?;
    wait::until("the machine is scraped", takes(), || async {
        ensure!(lab.alerting.has_seen(name, 0).await?, "Prometheus has no sample");
        Ok(())
    })
    .await?;
    guest.run("mkdir -p /run/lab && touch /run/lab/gpu-missing").await?;
    let began = wait::until("three strikes begin a repair", takes(), || async { episode(lab, name).await });
    let began = began.await?.steps.first().map(|step| step.outcome.why);
    ensure!(began == Some(Why::Complaint), "the repair began because of {began:?}");
    phase(lab, name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    let steps = episode(lab, name).await?.steps;
    let stood = |verdict: &Verdict| verdict.check == "load-test" && verdict.verdict == "passed";
    ensure!(steps.iter().flat_map(|step| &step.verdicts).any(stood), "no load test passed: {steps:?}");
    evidence(lab, guest).await?;
    workload.runs_again().await?;
    wait::until("the alert is resolved", takes(), || async {
        ensure!(lab.alerting.stands(name, Standing::None).await?, "it still fires");
        Ok(())
    })
    .await
}

/// Checks that the evidence from before the reboot is in the cluster and on the machine's disk.
async fn evidence(lab: &Lab, guest: &Guest) -> Result<()> {
    let steps = episode(lab, &guest.name).await?.steps;
    let name = steps.iter().find_map(|step| step.evidence.clone()).context("no step names its evidence")?;
    let file = evidence_maps::read(&lab.admin, "ossci", &name).await?.context("the ConfigMap is gone")?;
    ensure!(file.len() <= 64 * 1024, "{} bytes", file.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*file).read_to_string(&mut text).context("the evidence is no gzip")?;
    for said in ["rocm-smi failed gpu-missing", "ID=debian", "root=/dev/nvme0n1", "systemd[1]: Hostname set to"] {
        ensure!(text.contains(said), "{said:?} is not in the evidence:\n{text}");
    }
    guest.run("zcat /var/lib/ossci/evidence/*.txt.gz | grep -q '==== kernel log of this boot ===='").await.map(drop)
}

/// A unit that ignores SIGTERM delays the shutdown. The machine still reboots, and no BMC is asked.
pub async fn hangs(lab: &Lab, guest: &Guest) -> Result<()> {
    let never = "systemd-run --quiet --unit=never-ends --property=TimeoutStopSec=infinity --property=SendSIGKILL=no \
                 sh -c 'trap \"\" TERM; while :; do sleep 1000; done'";
    guest.run(never).await?;
    let before = Before::of(lab, guest).await?;
    breaks(lab, guest).await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    evidence(lab, guest).await
}

/// A program holds an inhibitor lock, as an upgrade does. The host refuses the reboot, and the
/// record says who holds it off. When the lock is gone, the same order reboots the machine.
pub async fn inhibited(lab: &Lab, guest: &Guest) -> Result<()> {
    let upgrade = "systemd-run --quiet --unit=upgrade systemd-inhibit --what=shutdown --mode=block --who=upgrade \
                   --why='packages are half written' sleep infinity";
    guest.run(upgrade).await?;
    let before = Before::of(lab, guest).await?;
    breaks(lab, guest).await?;
    wait::until("the reboot is held off", takes(), || async {
        let why = episode(lab, &guest.name).await?.why;
        let said = why.message.contains("upgrade") && why.message.contains("packages are half written");
        ensure!(why.why == Why::RebootInhibited && said, "{}: {}", why.why, why.message);
        Ok(())
    })
    .await?;
    before.and_boots(lab, guest, 0).await?;
    guest.run("systemctl stop upgrade").await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 1).await
}

/// Removes a GPU until the next boot, and asks for the repair.
pub async fn breaks(lab: &Lab, guest: &Guest) -> Result<()> {
    // A node that was repaired today begins one rung higher, so the old record is deleted.
    lab.kubectl.run(&["delete", "noderepair", &guest.name, "--ignore-not-found"]).await?;
    guest.run("mkdir -p /run/lab && touch /run/lab/gpu-missing").await?;
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-reboot=:NoSchedule"]).await.map(drop)
}

/// The order is written twice: again while another agent carries it out, and again on the next
/// boot. It ends one boot.
pub async fn doubled(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    breaks(lab, guest).await?;
    let order = json!({"spec": {"order": reboot_runs(lab, &guest.name).await?}}).to_string();
    let untaken = ["patch", "noderepair", &guest.name, "--subresource=status", "--type=merge", "--patch"];
    lab.kubectl.run(&[&untaken[..], &[r#"{"status":{"agent":null}}"#]].concat()).await?;
    kill_agent(guest).await;
    phase(lab, &guest.name, "Healed").await?;

    lab.kubectl.run(&["patch", "noderepair", &guest.name, "--type=merge", "--patch", &order]).await?;
    let repairs: &Api<NodeRepair> = &Api::all(lab.admin.clone());
    wait::until("the order is withdrawn", takes(), || async move {
        let order = repairs.get(&guest.name).await?.spec.order;
        ensure!(order.is_none(), "{order:?} is still there");
        Ok(())
    })
    .await?;
    before.and_boots(lab, guest, 1).await
}

/// The kernel panics during the proof, and the machine reboots by itself. That boot is proven too,
/// and no other one is ordered.
pub async fn panics(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    breaks(lab, guest).await?;
    phase(lab, &guest.name, "Proving").await?;
    guest.run("sync; echo 1 > /proc/sys/kernel/panic; (sleep 1; echo c > /proc/sysrq-trigger) &").await?;
    wait::until("the boot by itself is on record", takes(), || async {
        let episode = episode(lab, &guest.name).await?;
        ensure!(episode.unexpected_boots == 1, "{} boots by itself", episode.unexpected_boots);
        Ok(())
    })
    .await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 2).await
}
