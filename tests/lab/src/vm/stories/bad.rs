//! Stories of invalid answers from a machine: each ends with a person who gets the reason, and
//! never in a loop.

use anyhow::{Context, Result, ensure};
use ossci_remediator::core::why::Why;
use serde_json::json;

use super::{Before, episode, phase, policy, reboots, reimages, takes};
use crate::lab::Lab;
use crate::vm::bmc::Bmcs;
use crate::vm::guest::Guest;
use crate::vm::node;
use crate::wait;

/// Answers any request for a proof with nonsense, and leaves a mark.
const NONSENSE: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Local => q(/run/ossci/exporter.sock), Listen => 5) \
                        or die; while (my $c = $s->accept) { sysread $c, my $b, 4096; \
                        print $c qq(HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\nConnection: close\\r\\n\\r\\nnonsense!); \
                        close $c; open my $m, q(>>), q(/run/lab/asked); print $m q(x); close $m }";

/// The script of the reimage is deleted before it is ordered.
pub async fn script_gone(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    reimages::begins(lab, guest, "true").await?;
    phase(lab, &guest.name, "Capturing").await?;
    lab.kubectl.run(&["-n", "ossci", "delete", "configmap", "ossci-reimage"]).await?;
    reimages::fails(lab, guest, "there is no script reimage.sh in ConfigMap ossci-reimage").await?;
    let new = ["-n", "ossci", "create", "configmap", "ossci-reimage", "--from-literal=reimage.sh=true"];
    lab.kubectl.run(&new).await?;
    guest.run("rm /var/lib/lab/gpu-missing").await?;
    before.and_boots(lab, guest, 0).await
}

/// The root file system becomes read-only, as after a disk error. It is writable again after the
/// next boot.
pub async fn disk_read_only(lab: &Lab, guest: &Guest) -> Result<()> {
    let before = Before::of(lab, guest).await?;
    reimages::begins(lab, guest, "true").await?;
    phase(lab, &guest.name, "Capturing").await?;
    guest.run("sync; echo u > /proc/sysrq-trigger").await?;
    wait::until("the disk can only be read", takes(), || guest.run("! touch /var/lib/lab/probe 2>/dev/null")).await?;
    reimages::fails(lab, guest, "Read-only file system").await?;
    guest.power().reset().await?;
    guest.up(takes()).await?;
    guest.run("rm /var/lib/lab/gpu-missing").await?;
    wait::until("the boot is reported", takes(), || async {
        ensure!(node::boot_id(lab, &guest.name).await? != before.told, "not yet");
        Ok(())
    })
    .await?;
    node::ready(lab, &guest.name).await?;
    node::pods(lab, &guest.name).await?;
    before.and_boots(lab, guest, 1).await
}

/// Another program listens on the exporter's socket and answers nonsense. This is neither a pass
/// nor a failure: at the proof's deadline the node goes to a person.
pub async fn probe_nonsense(lab: &mut Lab, bmcs: &Bmcs, guests: &[Guest]) -> Result<()> {
    let mut changed = policy(bmcs);
    changed["times"]["proofSeconds"] = json!(60);
    lab.change_policy(&changed.to_string()).await?;
    let guest = guests.first().context("no machine")?;
    let name = &*guest.name;
    let before = Before::of(lab, guest).await?;
    reboots::breaks(lab, guest).await?;
    phase(lab, name, "Proving").await?;
    wait::until("the exporter has its socket", takes(), || guest.run("test -S /run/ossci/exporter.sock")).await?;
    let talks = "systemd-run --quiet --unit=nonsense perl /run/lab/nonsense";
    let begin = format!("rm /run/ossci/exporter.sock && printf %s '{NONSENSE}' > /run/lab/nonsense && {talks}");
    guest.run(&format!("mkdir -p /run/lab && {begin}")).await?;
    phase(lab, name, "Escalated").await?;
    let last = episode(lab, name).await?.steps.last().context("no step")?.outcome.clone();
    ensure!(last.why == Why::CannotProve, "{:?}: {}", last.why, last.message);
    guest.run("test -s /run/lab/asked").await.context("no proof was requested")?;
    guest
        .run("systemctl stop nonsense; rm -f /run/ossci/exporter.sock; pkill -KILL -f '^/usr/bin/ossci-exporter'")
        .await?;
    lab.kubectl.run(&["taint", "node", name, "repair-manual-"]).await?;
    before.and_boots(lab, guest, 1).await?;
    lab.change_policy(&policy(bmcs).to_string()).await
}
