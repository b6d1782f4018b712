//! Stories of machines that do not respond, or seem not to: what their BMCs do, and when a person
//! is asked.

use anyhow::{Context, Result, ensure};
use kube::api::Api;
use ossci_remediator::core::record::ResetState;
use ossci_remediator::core::why::Why;
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::{Value, json};

use super::{Before, episode, phase, policy, reboots, takes};
use crate::inbox::Inbox;
use crate::lab::Lab;
use crate::vm::bmc::Bmcs;
use crate::vm::guest::Guest;
use crate::vm::node;

/// The kernel hangs before the agent accepts the reboot order. The BMC resets the machine, once.
pub async fn kernel_hangs(lab: &Lab, bmcs: &Bmcs, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    let (before, resets) = (Before::of(lab, guest).await?, bmcs.resets(name));
    reboots::breaks(lab, guest).await?;
    phase(lab, name, "Capturing").await?;
    hang(guest).await?;
    phase(lab, name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    ensure!(bmcs.resets(name) == resets + 1, "its BMC reset it {} times", bmcs.resets(name) - resets);
    let asked: Vec<ResetState> = episode(lab, name).await?.resets.iter().map(|reset| reset.state).collect();
    ensure!(asked == [ResetState::Sent], "the record has the resets {asked:?}");
    Ok(())
}

/// The kernel panics before the reboot, where a crash kernel is loaded: the machine is silent for
/// longer than a dead one may be, as while it writes a dump, and then reboots by itself. Its BMC
/// resets nothing, and that boot is the repair.
pub async fn kernel_dumps(lab: &Lab, bmcs: &Bmcs, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    let (before, resets) = (Before::of(lab, guest).await?, bmcs.resets(name));
    // The machine has no memory to spare for a crash kernel, so only the kernel's word for it is
    // replaced, where the agent reads it. The silence is real.
    let agent = guest.run("pgrep -f '^/usr/bin/ossci-remediator agent'").await?;
    let agent = agent.trim();
    let replace = format!(
        "echo 1 > /var/lib/ossci/loaded && mount --namespace {agent} --bind /host/var/lib/ossci/loaded \
         /sys/kernel/kexec_crash_loaded && cat /proc/{agent}/root/sys/kernel/kexec_crash_loaded"
    );
    let seen = guest.run(&replace).await?;
    ensure!(seen.trim() == "1", "the agent, process {agent}, reads {seen:?}");
    // A lock holds the reboot off until the kernel panics.
    guest.run("systemd-run --quiet systemd-inhibit --what=shutdown --who=upgrade sleep infinity").await?;
    reboots::breaks(lab, guest).await?;
    phase(lab, name, "Rebooting").await?;
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    let reported = repairs.get(name).await?.record().agent.is_some_and(|report| report.crash_kernel);
    ensure!(reported, "its agent reports no crash kernel");
    let silent = policy(bmcs)["bmc"]["deadSeconds"].as_u64().context("no deadSeconds")? + 30;
    let dumps = format!("sync; echo {silent} > /proc/sys/kernel/panic; (sleep 0.3; echo c > /proc/sysrq-trigger) &");
    guest.run(&dumps).await?;
    phase(lab, name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    ensure!(bmcs.resets(name) == resets, "its BMC reset it {} times", bmcs.resets(name) - resets);
    guest.run("rm /var/lib/ossci/loaded").await.map(drop)
}

/// The kernel hangs at a site whose policy has no BMC. A person is asked with that reason, resets
/// the machine, and releases the node.
pub async fn without_bmc(lab: &mut Lab, bmcs: &Bmcs, guests: &[Guest]) -> Result<()> {
    let mut changed = policy(bmcs);
    changed["bmc"] = Value::Null;
    changed["times"]["bootSeconds"] = json!(120);
    lab.change_policy(&changed.to_string()).await?;
    let guest = guests.first().context("no machine")?;
    let name = &*guest.name;
    let (before, resets) = (Before::of(lab, guest).await?, bmcs.resets(name));
    reboots::breaks(lab, guest).await?;
    phase(lab, name, "Capturing").await?;
    hang(guest).await?;
    phase(lab, name, "Escalated").await?;
    let said = "and the policy names no BMC to reset it";
    let last = episode(lab, name).await?.steps.last().context("no step")?.outcome.clone();
    ensure!(last.why == Why::DidNotComeBack && last.message.contains(said), "{:?}: {}", last.why, last.message);
    mailed(lab, name, said).await?;
    ensure!(guest.power().resets() == before.resets && bmcs.resets(name) == resets, "the machine was reset");

    guest.power().reset().await?;
    guest.up(takes()).await?;
    node::ready(lab, name).await?;
    lab.kubectl.run(&["taint", "node", name, "repair-manual-"]).await?;
    before.and_boots(lab, guest, 1).await?;
    lab.change_policy(&policy(bmcs).to_string()).await
}

/// The agent stops on a machine that is otherwise healthy. A person is asked, and no BMC is used.
/// When the agent continues, it does not carry out the order.
pub async fn agent_silent(lab: &Lab, bmcs: &Bmcs, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    let (before, resets) = (Before::of(lab, guest).await?, bmcs.resets(name));
    signal_agent(guest, "STOP").await?;
    reboots::breaks(lab, guest).await?;
    phase(lab, name, "Escalated").await?;
    let last = episode(lab, name).await?.steps.last().context("no step")?.outcome.why;
    ensure!(last == Why::AgentSilent, "it was escalated because of {last:?}");
    mailed(lab, name, "its agent does not take the order").await?;
    signal_agent(guest, "CONT").await?;
    node::pods(lab, name).await?;
    lab.kubectl.run(&["taint", "node", name, "repair-manual-"]).await?;
    guest.run("rm /run/lab/gpu-missing").await?;
    ensure!(bmcs.resets(name) == resets, "its BMC was asked");
    before.and_boots(lab, guest, 0).await
}

/// Stops the agent with a signal, or lets it continue.
pub async fn signal_agent(guest: &Guest, signal: &str) -> Result<()> {
    guest.run(&format!("pkill -{signal} -f '^/usr/bin/ossci-remediator agent'")).await.map(drop)
}

/// Panics the kernel and leaves it there. The kubelet sets a reboot after a panic, which is
/// switched off first.
async fn hang(guest: &Guest) -> Result<()> {
    let hangs = "sync; echo 0 > /proc/sys/kernel/panic; (sleep 0.3; echo c > /proc/sysrq-trigger) &";
    guest.run(hangs).await.map(drop)
}

/// Waits for a mail about this node that contains these words.
async fn mailed(lab: &Lab, name: &str, said: &str) -> Result<()> {
    let mut inbox = Inbox::open(&lab.facts.inbox, &lab.facts.mail_dir)?;
    inbox.look().await?;
    // A long line of a mail is wrapped.
    let flat = |text: &str| text.replace("=\r\n", "").split_whitespace().collect::<Vec<_>>().join(" ");
    let about = |mail: &&crate::inbox::Mail| mail.subject.contains(name) && flat(&mail.raw).contains(said);
    let subjects: Vec<&str> = inbox.mails().map(|mail| mail.subject.as_str()).collect();
    ensure!(inbox.mails().any(|mail| about(&mail)), "no mail says {said:?}; there are {subjects:?}");
    Ok(())
}
