//! Keeps the evidence in the cluster within its bounds: the oldest goes first.

use std::sync::Arc;
use std::time::Duration;

use super::Context;
use crate::core::record::Record;
use crate::evidence_maps;

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

/// What an episode's captures left in the cluster, with the names of their files. What is gone is not waited for: a mail
/// without it is better than none.
pub async fn of(context: &Context, record: &Record) -> Vec<(String, Vec<u8>)> {
    let steps = record.repair.episode.iter().flat_map(|episode| &episode.steps);
    let mut files = Vec::new();
    for name in steps.filter_map(|step| step.evidence.as_ref()) {
        match evidence_maps::read(&context.client, &context.namespace, name).await {
            Ok(Some(file)) => files.push((format!("{name}.txt.gz"), file)),
            Ok(None) => tracing::warn!(name, "the evidence is gone"),
            Err(error) => tracing::warn!(name, %error, "reading the evidence"),
        }
    }
    files
}
