//! The pool label: the leader puts it on each node that a pool's `nodeSelector` selects, once. A
//! node then belongs to its pool even if the fault removes the labels that selected it.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::api::request;
use crate::controller::context::Context;
use crate::core::policy::POOL;
use crate::wire::slim_node::{ADOPTED, SlimNode};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const AFTER_ERROR: Duration = Duration::from_secs(30);

/// Runs for as long as the process does. A failed write is logged and retried.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !context.leadership.leads() {
            continue;
        }
        let mut failed = false;
        for (node, version, label) in context.fleet.unlabelled() {
            match label_node(&context, &node, version, &label).await {
                Ok(()) => tracing::info!(node, pool = label, "node labelled with its pool"),
                // The watch delivers the newer Node.
                Err(error) if request::lost_race(&error) => {}
                Err(error) => {
                    tracing::warn!(node, %error, "cannot label the node with its pool, retrying in 30 s");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}

/// The annotation stays when a person removes the label: that takes the node out of management.
async fn label_node(context: &Context, node: &str, version: u64, label: &str) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {
        "resourceVersion": version.to_string(),
        "labels": {POOL: label},
        "annotations": {ADOPTED: label},
    }});
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    let node = nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await?;
    context.fleet.labelled(&node);
    Ok(())
}
