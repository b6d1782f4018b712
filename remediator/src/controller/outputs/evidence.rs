//! Keeps the evidence in the cluster within its bounds: the oldest goes first.

use std::sync::Arc;
use std::time::Duration;

use crate::api::evidence_maps;
use crate::controller::context::Context;

const LOOK_EVERY: Duration = Duration::from_secs(600);

pub async fn follow(context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !context.leadership.leads() {
            continue;
        }
        match evidence_maps::prune(&context.client, &context.namespace).await {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "the oldest evidence was deleted"),
            Err(error) => tracing::warn!(%error, "deleting the oldest evidence"),
        }
    }
}
