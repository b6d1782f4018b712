//! Stories of reimages on a virtual machine: the script runs as a systemd unit, even if its agent
//! dies.

use anyhow::{Context, Result, ensure};
use ossci_remediator::core::why::Why;
use serde_json::json;

use super::{Before, episode, phase, reboots, takes};
use crate::lab::Lab;
use crate::vm::guest::Guest;
use crate::wait;

/// A short script in place of the driver's installation: long enough to kill an agent meanwhile.
const REIMAGE: &str =
    "set -eu\necho begun >> /var/lib/lab/reimages\nsleep 20\nrm /var/lib/lab/gpu-missing\necho installed\n";

/// The script runs once and continues without an agent; the next agent records its result.
pub async fn heals(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    begins(lab, guest, REIMAGE).await?;
    wait::until("the script runs", takes(), || guest.run("test -s /var/lib/lab/reimages")).await?;
    guest.run("pkill -KILL -f '^/usr/bin/ossci-remediator agent'").await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    ran(guest, 1).await
}

/// A person releases the node in the middle of the script, its agent is replaced, and a reboot is
/// asked for. The script holds the reboot off until it has ended.
pub async fn released(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    begins(lab, guest, &REIMAGE.replace("sleep 20", "sleep 90")).await?;
    wait::until("the script runs", takes(), || guest.run("test -s /var/lib/lab/reimages")).await?;
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-reimage-"]).await?;
    phase(lab, &guest.name, "Released").await?;
    guest.run("pkill -KILL -f '^/usr/bin/ossci-remediator agent'").await?;
    reboots::breaks(lab, guest).await?;
    wait::until("the script holds the reboot off", takes(), || async {
        let why = episode(lab, &guest.name).await?.why;
        let said = why.message.contains("OSSCI Ops") && why.message.contains("reimages this node");
        ensure!(why.why == Why::RebootInhibited && said, "{}: {}", why.why, why.message);
        Ok(())
    })
    .await?;
    guest.run("test -e /var/lib/lab/gpu-missing").await.context("the script has ended already")?;
    before.and_boots(lab, guest, 0).await?;
    phase(lab, &guest.name, "Healed").await?;
    guest.run("test ! -e /var/lib/lab/gpu-missing").await.context("the script has not ended")?;
    before.and_boots(lab, guest, 1).await?;
    ran(guest, 1).await
}

/// The power fails in the middle of the script. Its progress is unknown, so it is ordered again.
pub async fn power_fails(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    begins(lab, guest, REIMAGE).await?;
    wait::until("the script runs", takes(), || guest.run("test -s /var/lib/lab/reimages && sync")).await?;
    guest.power().reset().await?;
    phase(lab, &guest.name, "Healed").await?;
    before.and_boots(lab, guest, 2).await?;
    ran(guest, 2).await
}

/// A script with endless output that leaves a process behind, and one that forks endlessly. For
/// both a person is asked, and no process of them remains.
pub async fn misbehave(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    let talks = "setsid sleep 987654 & tr '\\0' x < /dev/zero";
    for (script, said) in [(talks, "did not end by its deadline"), ("f() { f | f & }; f; sleep 100000", "the script ")]
    {
        begins(lab, guest, script).await?;
        fails(lab, guest, said).await?;
        guest.run("! pgrep -af '[9]87654|/var/lib/ossci/[o]rders'").await.context("what is left of the script")?;
    }
    guest.run("test $(du -sm /var/lib/ossci | cut -f1) -lt 10").await.context("what it said")?;
    before.and_boots(lab, guest, 0).await
}

/// Asks for a reimage with this script, on a node whose GPU stays missing after a reboot.
pub async fn begins(lab: &Lab, guest: &Guest, script: &str) -> Result<()> {
    let map = json!({"data": {"reimage.sh": script}}).to_string();
    lab.kubectl.run(&["-n", "ossci", "patch", "configmap", "ossci-reimage", "--type=merge", "--patch", &map]).await?;
    guest.run("mkdir -p /var/lib/lab && touch /var/lib/lab/gpu-missing && rm -f /var/lib/lab/reimages").await?;
    lab.kubectl.run(&["delete", "noderepair", &guest.name, "--ignore-not-found"]).await?;
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-reimage=:NoSchedule"]).await.map(drop)
}

/// Checks that the script was started `times` times.
async fn ran(guest: &Guest, times: u32) -> Result<()> {
    let lines = guest.run("wc -l < /var/lib/lab/reimages").await?;
    ensure!(lines.trim() == times.to_string(), "the script ran {} times", lines.trim());
    Ok(())
}

/// Waits until a person is asked because the reimage failed with these words, then releases the
/// node.
pub async fn fails(lab: &Lab, guest: &Guest, said: &str) -> Result<()> {
    phase(lab, &guest.name, "Escalated").await?;
    let steps = episode(lab, &guest.name).await?.steps;
    let failed = steps.last().context("no step")?.outcome.message.clone();
    ensure!(failed.contains(said), "not {said:?}, but: {failed}");
    lab.kubectl.run(&["taint", "node", &guest.name, "repair-manual-"]).await.map(drop)
}

/// Waits until the script has changed nothing for this reason and is to be ordered again.
pub async fn is_postponed(lab: &Lab, guest: &Guest, said: &str) -> Result<()> {
    wait::until("the reimage is postponed", takes(), || async {
        let why = episode(lab, &guest.name).await?.why;
        let right = why.why == Why::ReimagePostponed && why.message.contains(said);
        ensure!(right, "not {said:?}, but {}: {}", why.why, why.message);
        Ok(())
    })
    .await
}
