//! Holds and pauses that a person has limited in time: the leader removes their annotations when
//! the time has come. Everything else happens as if the person had removed them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::api::request;
use crate::controller::context::Context;
use crate::wire::budget::{self, PAUSE, PAUSE_UNTIL};
use crate::wire::slim_node::{HOLD, HOLD_UNTIL, SlimNode};

const LOOK_EVERY: Duration = Duration::from_secs(2);
const AFTER_ERROR: Duration = Duration::from_secs(30);

/// Runs for as long as the process does. A failed write is logged and retried.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // While the clocks disagree, it is not known whether the time has come.
        if !context.leadership.leads() || context.time.skewed() {
            continue;
        }
        let mut failed = false;
        for (node, version) in context.fleet.held_until(context.now()) {
            match end_hold(&context, &node, version).await {
                Ok(()) => tracing::info!(node, "hold removed: its time is over"),
                // The watch delivers the newer Node.
                Err(error) if request::lost_race(&error) => {}
                Err(error) => {
                    tracing::warn!(node, %error, "cannot remove the hold whose time is over, retrying in 30 s");
                    failed = true;
                }
            }
        }
        if context.fleet.paused_until(context.now()) {
            match end_pause(&context).await {
                Ok(()) => tracing::info!("pause ended: its time is over"),
                Err(error) => {
                    tracing::warn!(%error, "cannot end the pause whose time is over, retrying in 30 s");
                    failed = true;
                }
            }
        }
        if failed {
            tokio::time::sleep(AFTER_ERROR).await;
        }
    }
}

async fn end_hold(context: &Context, node: &str, version: u64) -> Result<(), kube::Error> {
    let patch = json!({"metadata": {
        "resourceVersion": version.to_string(),
        "annotations": {HOLD: null, HOLD_UNTIL: null},
    }});
    let nodes: Api<SlimNode> = Api::all(context.client.clone());
    nodes.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

/// Reads the object first: a person may have paused again.
async fn end_pause(context: &Context) -> Result<(), kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    let Some(map) = request::found(maps.get(budget::NAME).await)? else { return Ok(()) };
    if budget::switches(&map).paused_until.is_none_or(|until| until > context.now()) {
        return Ok(());
    }
    let patch = json!({"metadata": {
        "resourceVersion": map.metadata.resource_version,
        "annotations": {PAUSE: null, PAUSE_UNTIL: null},
    }});
    maps.patch(budget::NAME, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}
