//! `ossci-remediator uninstall`: takes off every Node what the controller put there: taints, the
//! condition, the pool label and its annotation. The records stay.

use std::collections::BTreeMap;

use anyhow::Context as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::client;
use crate::core::policy::POOL;
use crate::metrics::Calls;
use crate::wire::slim_node::{self, ADOPTED, CONDITION, SlimNode, TaintNames};

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The DNS prefix of the taints, as `taintPrefix` of the policy says.
    #[arg(long, env = "OSSCI_TAINT_PREFIX")]
    taint_prefix: Option<String>,
}

/// Runs the command; `say` prints one line for each Node that was changed.
///
/// # Errors
/// A Node could not be changed; the others are.
pub async fn run(arguments: Arguments, say: impl Fn(&str)) -> anyhow::Result<()> {
    let client = client::requests(&Calls::default()).await.context("connecting to the Kubernetes API")?;
    let names = TaintNames { prefix: arguments.taint_prefix };
    let nodes = Api::<SlimNode>::all(client.clone()).list(&ListParams::default()).await.context("listing nodes")?;
    let mut failed = BTreeMap::new();
    for node in &nodes.items {
        match clean(&client, node, &names).await {
            Ok(taken) if taken.is_empty() => {}
            Ok(taken) => say(&format!("{}: removed {}\n", node.name_any(), taken.join(", "))),
            Err(error) => {
                failed.insert(node.name_any(), error.to_string());
            }
        }
    }
    say(&format!(
        "looked at {} nodes. The CRD with its records stays: kubectl delete crd noderepairs.ossci.amd.com\n",
        nodes.items.len()
    ));
    let Some((node, error)) = failed.first_key_value() else { return Ok(()) };
    anyhow::bail!("{} nodes could not be changed, {node} for one: {error}; run it again", failed.len())
}

/// Removes what is ours, and returns what that was.
async fn clean(client: &Client, node: &SlimNode, names: &TaintNames) -> kube::Result<Vec<String>> {
    let (name, nodes) = (node.name_any(), Api::<SlimNode>::all(client.clone()));
    let guard = json!({ "resourceVersion": node.metadata.resource_version });
    let mut taken = Vec::new();
    let ours: Vec<_> = node.taints().iter().filter_map(|taint| names.read(taint)).collect();
    let mut change = json!({ "metadata": guard });
    if !ours.is_empty() {
        let others: Vec<_> = node.taints().iter().filter(|taint| names.read(taint).is_none()).collect();
        change["spec"] = json!({ "taints": others });
        taken.extend(ours.into_iter().map(|key| format!("taint {}", names.spell(key))));
    }
    if node.labels().contains_key(POOL) {
        change["metadata"]["labels"] = json!({ POOL: Value::Null });
        taken.push(format!("label {POOL}"));
    }
    if node.annotations().contains_key(ADOPTED) {
        change["metadata"]["annotations"] = json!({ ADOPTED: Value::Null });
        taken.push(format!("annotation {ADOPTED}"));
    }
    if !taken.is_empty() {
        nodes.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await?;
    }
    if slim_node::condition(node).is_some() {
        let gone = json!({ "status": { "conditions": [{ "$patch": "delete", "type": CONDITION }] } });
        nodes.patch_status(&name, &PatchParams::default(), &Patch::Strategic(gone)).await?;
        taken.push(format!("condition {CONDITION}"));
    }
    Ok(taken)
}
