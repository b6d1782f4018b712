//! Story of a pool of which half is silent: no BMC resets a machine until the others are back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use ossci_remediator::core::why::Why;
use serde_json::{Value, json};

use super::dead::signal_agent;
use super::{Before, STORY, episode, phase, policy, reboots, takes};
use crate::lab::Lab;
use crate::paper_nodes::{self as nodes, Size};
use crate::vm::bmc::Bmcs;
use crate::vm::guest::Guest;
use crate::vm::node;
use crate::{clock, wait};

/// Prefix of pool nodes without a kubelet. With two machines, one of them silent, three of six
/// nodes are silent.
const PAPER: &str = "paper";
const ALL: std::ops::Range<usize> = 0..4;
const HEARTBEATS: Duration = Duration::from_secs(5);
/// Longer than the remediator's interval for waiting nodes: an allowed reset would happen within
/// it.
const NOTHING_FOR: Duration = Duration::from_secs(45);

pub async fn silent(lab: &mut Lab, bmcs: &Bmcs, guests: &[Guest]) -> Result<()> {
    // A silent agent is not the subject here.
    let mut changed: Value = policy(bmcs);
    changed["times"]["agentSilentSeconds"] = json!(600);
    lab.change_policy(&changed.to_string()).await?;
    nodes::create(&lab.admin, PAPER, ALL, STORY, Size::Small).await?;
    let first = Arc::new(AtomicBool::new(true));
    let beats = tokio::spawn(beat(lab.admin.clone(), Arc::clone(&first)));
    let told = told(lab, bmcs, guests, &first).await;
    beats.abort();
    for number in ALL {
        lab.kubectl.run(&["delete", "node", &nodes::name(PAPER, number)]).await?;
    }
    told?;
    lab.change_policy(&policy(bmcs).to_string()).await
}

async fn told(lab: &Lab, bmcs: &Bmcs, guests: &[Guest], first: &AtomicBool) -> Result<()> {
    let mut before = Vec::new();
    for guest in guests {
        before.push((guest, Before::of(lab, guest).await?, bmcs.resets(&guest.name)));
        signal_agent(guest, "STOP").await?;
        reboots::breaks(lab, guest).await?;
    }
    for guest in guests {
        phase(lab, &guest.name, "Rebooting").await?;
    }
    first.store(false, Ordering::Relaxed);
    for guest in guests {
        guest.power().stop().await?;
    }
    for guest in guests {
        waits(lab, &guest.name).await?;
    }
    tokio::time::sleep(NOTHING_FOR).await;
    for (guest, before, resets) in &before {
        waits(lab, &guest.name).await?;
        let asked = episode(lab, &guest.name).await?.resets.len();
        let (by_bmc, seen) = (bmcs.resets(&guest.name) - resets, guest.power().resets() - before.resets);
        ensure!((asked, by_bmc, seen) == (0, 0, 0), "{asked} resets are on record, {by_bmc} asked for, {seen} seen");
    }

    first.store(true, Ordering::Relaxed);
    node::ready(lab, &nodes::name(PAPER, 0)).await?;
    for (guest, before, resets) in &before {
        phase(lab, &guest.name, "Healed").await?;
        before.and_boots(lab, guest, 1).await?;
        ensure!(bmcs.resets(&guest.name) == resets + 1, "not by its BMC");
    }
    Ok(())
}

/// Waits until the repair is blocked by the number of silent nodes.
async fn waits(lab: &Lab, name: &str) -> Result<()> {
    wait::until(format!("{name} waits for its pool"), takes(), || async move {
        let why = episode(lab, name).await?.why;
        ensure!(why.why == Why::ManyDown, "{:?}: {}", why.why, why.message);
        Ok(())
    })
    .await
}

/// Keeps the paper nodes Ready; the first one only while `first` is set.
async fn beat(client: Client, first: Arc<AtomicBool>) {
    let api: Api<Node> = Api::all(client);
    loop {
        let from = usize::from(!first.load(Ordering::Relaxed));
        for number in ALL.skip(from) {
            let ready = json!({"type": "Ready", "status": "True", "reason": "KubeletReady",
                               "lastHeartbeatTime": clock::now().to_string()});
            let status = Patch::Strategic(json!({ "status": { "conditions": [ready] } }));
            // A failed write is ignored: the story that waits for the node would notice.
            let _ = api.patch_status(&nodes::name(PAPER, number), &PatchParams::default(), &status).await;
        }
        tokio::time::sleep(HEARTBEATS).await;
    }
}
