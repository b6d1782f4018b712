//! Retention of evidence: the leader deletes the oldest ConfigMaps above the limit.

use std::sync::Arc;
use std::time::Duration;

use crate::api::evidence_maps;
use crate::controller::context::Context;

const LOOK_EVERY: Duration = Duration::from_secs(600);

/// Runs for as long as the process does. A failed round is logged and retried.
pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !context.leadership.leads() {
            continue;
        }
        match evidence_maps::prune(&context.client, &context.namespace).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "oldest evidence deleted"),
            Err(error) => tracing::warn!(%error, "cannot delete the oldest evidence, retrying in 10 min"),
        }
    }
}
