//! Benchmark of the API calls of one complete reboot repair, counted in the audit log: all requests
//! of the remediator and of the node's agent from the fault to phase Healed, with reads and
//! watches.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::api::Api;
use ossci_remediator::core::record::Phase;
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::Value;

use super::Figure;
use crate::audit::OURS;
use crate::fault::{Broken, Fault, Faults, Until};
use crate::lab::Lab;
use crate::wait;

const NODE: &str = "whole";
/// The limit for the remediator and the agent together.
const AT_MOST: f64 = 40.0;
const HEALED: Duration = Duration::from_secs(180);

/// Breaks a node until it is rebooted. Returns whether the repair stayed within the limit of calls.
pub async fn of_one_repair(lab: &mut Lab) -> Result<bool> {
    lab.begin(NODE);
    lab.add_nodes(&[NODE.to_owned()]).await?;
    let before = fs::metadata(&lab.facts.audit_log).context("the audit log")?.len();
    let broken = Broken { fault: Fault::GpuMissing, until: Until::Reboot };
    lab.node_dir(NODE).set_faults(&Faults::default().with(broken))?;
    let repairs: Api<NodeRepair> = Api::all(lab.admin.clone());
    wait::until(format!("{NODE} is healed"), HEALED, || async {
        let phase = repairs.get(NODE).await?.record().repair.episode.map(|episode| episode.phase);
        ensure!(phase == Some(Phase::Healed), "{phase:?}");
        Ok(())
    })
    .await?;
    let log = fs::read(&lab.facts.audit_log).context("the audit log")?;
    let new = String::from_utf8_lossy(log.get(usize::try_from(before)?..).unwrap_or_default());
    let mut calls: BTreeMap<String, u32> = BTreeMap::new();
    for line in new.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let Some(who) = text("/user/username").strip_prefix(OURS) else { continue };
        // Nodes without GPUs have agents too; their calls do not belong to this repair.
        if who == "ossci-agent" && !is_about_it(&line) {
            continue;
        }
        let resource = [text("/objectRef/resource"), text("/objectRef/subresource")].join("/");
        *calls.entry(format!("{who} {} {}", text("/verb"), resource.trim_end_matches('/'))).or_default() += 1;
    }
    for (call, count) in &calls {
        println!("    {count:>4}  {call}");
    }
    let total = f64::from(calls.values().sum::<u32>());
    let name = "API calls of one whole reboot repair".to_owned();
    Ok(Figure { name, value: total, unit: "", peer: AT_MOST, target: 1.0 }.print())
}

/// Whether a call names the node, as its object or in its field selector.
fn is_about_it(line: &Value) -> bool {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/objectRef/name") == NODE || text("/requestURI").contains(NODE)
}
