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
/// The limits for the remediator and the agent together.
const WRITES: f64 = 30.0;
const READS: f64 = 25.0;
/// The verbs that change nothing.
const READING: [&str; 3] = ["get", "list", "watch"];
const HEALED: Duration = Duration::from_secs(180);

/// Breaks a node until it is rebooted. Returns whether the repair stayed within
/// the limits of calls.
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
    let reads = |call: &str| call.split(' ').nth(1).is_some_and(|verb| READING.contains(&verb));
    let sum =
        |of: bool| f64::from(calls.iter().filter(|(call, _)| reads(call) == of).map(|(_, count)| count).sum::<u32>());
    let figure = |name: &str, value, peer| Figure { name: name.to_owned(), value, unit: "", peer, target: 1.0 }.print();
    let writes = figure("API writes of one whole reboot repair", sum(false), WRITES);
    Ok(figure("API reads of one whole reboot repair", sum(true), READS) && writes)
}

/// Whether a call names the node, as its object or in its field selector.
fn is_about_it(line: &Value) -> bool {
    let text = |pointer: &str| line.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    text("/objectRef/name") == NODE || text("/requestURI").contains(NODE)
}
