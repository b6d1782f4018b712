//! Story of a repair whose agent is killed at each step, and whose node loses the API server in the
//! middle. The boot ends once, and an order for an old boot ends none.

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use kube::api::Api;
use ossci_remediator::core::record::AgentState;
use ossci_remediator::wire::node_repair::NodeRepair;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Before, kill_agent, phase, reboot_runs, reboots, takes};
use crate::lab::Lab;
use crate::pods::App;
use crate::vm::guest::Guest;
use crate::vm::node;
use crate::vm::workload::Workload;
use crate::{clock, process, wait};

/// Seconds that the pod takes to terminate: long enough to kill an agent meanwhile.
const LEAVES: u32 = 20;

pub async fn and_cut_off(lab: &Lab, guest: &Guest) -> Result<()> {
    let name = &*guest.name;
    let before = Before::of(lab, guest).await?;
    let workload = Workload::start(lab, name, LEAVES).await?;
    reboots::breaks(lab, guest).await?;
    for step in ["Capturing", "Draining"] {
        phase(lab, name, step).await?;
        kill_agent(guest).await;
    }
    let order = reboot_runs(lab, name).await?;
    kill_agent(guest).await;

    // The machine boots without a network, and stays disconnected until the control plane has
    // noticed.
    wait::until("the machine begins its boot", takes(), || async {
        ensure!(guest.power().resets() > before.resets, "it was not reset");
        Ok(())
    })
    .await?;
    guest.cut_off(true).await?;
    guest.up(takes()).await?;
    node::silent(lab, name).await?;
    let told = node::boot_id(lab, name).await?;
    ensure!(told == before.told, "the Node has a boot ID that the machine could not report: {told}");
    guest.cut_off(false).await?;

    phase(lab, name, "Proving").await?;
    kill_agent(guest).await;
    phase(lab, name, "Healed").await?;
    before.and_boots(lab, guest, 1).await?;
    workload.runs_again().await?;
    refuses(lab, name, order).await?;
    before.and_boots(lab, guest, 1).await
}

/// A person writes the order again, with a future time and a taint that allows it, while no
/// controller runs to withdraw it. The agent itself compares the order's boot with its own.
async fn refuses(lab: &Lab, name: &str, mut order: Value) -> Result<()> {
    order["id"] = json!("by-hand");
    order["deadline"] = json!((clock::now() + SignedDuration::from_mins(10)).to_string());
    ensure!(signal_controllers(Signal::STOP) > 0, "no controller runs");
    lab.kubectl.run(&["taint", "node", name, "repair-reboot=:NoSchedule"]).await?;
    put(lab, name, order).await?;
    let repairs: &Api<NodeRepair> = &Api::all(lab.admin.clone());
    wait::until("the agent refuses an order for an old boot", takes(), || async move {
        let record = repairs.get(name).await?.record();
        let report = record.report_on("by-hand").map(|report| (report.state, report.message.clone()));
        let refused = |(state, said): &(AgentState, String)| {
            *state == AgentState::Refused && said.starts_with("the order is for boot ")
        };
        ensure!(report.as_ref().is_some_and(refused), "{report:?}");
        Ok(())
    })
    .await?;
    put(lab, name, Value::Null).await?;
    lab.kubectl.run(&["taint", "node", name, "repair-reboot-"]).await?;
    signal_controllers(Signal::CONT);
    Ok(())
}

async fn put(lab: &Lab, name: &str, order: Value) -> Result<()> {
    let order = json!({"spec": {"order": order}}).to_string();
    lab.kubectl.run(&["patch", "noderepair", name, "--type=merge", "--patch", &order]).await.map(drop)
}

fn signal_controllers(signal: Signal) -> usize {
    process::signal_all(signal, |text| text.contains(App::Controller.sign()))
}
