//! The policy file: read at the start, and again whenever it changes. An invalid file must not
//! replace the policy in force; a metric and a log line report it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::api::{Api, ListParams};

use crate::controller::context::Context;
use crate::controller::state::fleet::Fleet;
use crate::controller::state::site::Site;
use crate::metrics::Metrics;
use crate::wire::slim_node;
use crate::wire::slim_node::SlimNode;
use ossci_base::clock;

/// How often the file is read.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Nodes in one page of a list.
const PAGE: u32 = 500;

/// Reads the policy file.
pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading the policy file {}", path.display()))
}

/// Reloads the policy whenever the file changes, for as long as the process runs.
pub async fn follow(path: PathBuf, mut text: String, context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = match read(&path) {
            Ok(now) if now == text => continue,
            Ok(now) => now,
            Err(error) => {
                refuse(&context.metrics, &error);
                continue;
            }
        };
        match Site::of(&now) {
            Ok(site) if site.names != context.site().names => {
                refuse(
                    &context.metrics,
                    &anyhow::anyhow!("taintPrefix changed: nodes have taints with the old one; restart"),
                );
            }
            Ok(site) => {
                tracing::info!(policy = %path.display(), pools = site.policy.pools.len(), "policy reloaded");
                context.sites.send_replace(Arc::new(site));
                context.metrics.policy_read(clock::now(), &context.site().digest);
                if let Err(error) = look_at_nodes(&context.client, &context.fleet, &context.site()).await {
                    tracing::warn!(%error, "cannot list the nodes after a policy change, their pools may be stale");
                }
                context.wake_all();
            }
            Err(error) => refuse(&context.metrics, &error.context(path.display().to_string())),
        }
        text = now;
    }
}

/// Logs that the file is not used, and sets the metric.
fn refuse(metrics: &Metrics, error: &anyhow::Error) {
    tracing::error!(error = format!("{error:#}"), "policy file rejected, the previous policy stays in force");
    metrics.policy_refused();
}

/// Lists all nodes again, because the new policy may select other pools for them.
async fn look_at_nodes(client: &kube::Client, fleet: &Fleet, site: &Site) -> Result<(), kube::Error> {
    let api: Api<SlimNode> = Api::all(client.clone());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        for node in &list.items {
            let view = slim_node::view(node, &site.names);
            fleet.saw_node(node, &view, &site.policy, clock::monotonic());
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}
