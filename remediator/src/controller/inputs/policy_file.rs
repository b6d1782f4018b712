//! What the site has decided, as the policy file says it now: read at the start, and again whenever the file changes. A file
//! that cannot be used changes nothing and says so in a metric.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kube::api::{Api, ListParams};

use crate::controller::context::Context;
use crate::controller::state::site::Site;
use crate::wire::slim_node;
use crate::wire::slim_node::SlimNode;
use ossci_base::clock;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Nodes in one page of a list.
const PAGE: u32 = 500;

pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading the policy file {}", path.display()))
}

/// Reads the file again whenever it changed.
pub async fn follow(path: PathBuf, mut text: String, context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = match read(&path) {
            Ok(now) if now == text => continue,
            Ok(now) => now,
            Err(error) => {
                refuse(&context, &error);
                continue;
            }
        };
        match Site::of(&now) {
            Ok(site) if site.names != context.site().names => {
                refuse(&context, &anyhow::anyhow!("taintPrefix changed: nodes carry taints of the old name; restart"));
            }
            Ok(site) => {
                tracing::info!(policy = %path.display(), pools = site.policy.pools.len(), "policy read again");
                context.sites.send_replace(Arc::new(site));
                context.metrics.policy_read(Some(clock::now()));
                if let Err(error) = look_at_nodes(&context).await {
                    tracing::warn!(%error, "listing the nodes after the policy changed");
                }
                context.wake_all();
            }
            Err(error) => refuse(&context, &error.context(path.display().to_string())),
        }
        text = now;
    }
}

fn refuse(context: &Context, error: &anyhow::Error) {
    tracing::error!(error = format!("{error:#}"), "the policy file is not used; the one before stays in force");
    context.metrics.policy_read(None);
}

/// Which pool a node is in may have changed with the policy.
async fn look_at_nodes(context: &Context) -> Result<(), kube::Error> {
    let (api, site): (Api<SlimNode>, _) = (Api::all(context.client.clone()), context.site());
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = api.list(&page).await?;
        for node in &list.items {
            let view = slim_node::view(node, &site.names);
            context.fleet.saw_node(node, &view, &site.policy, clock::monotonic());
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}
