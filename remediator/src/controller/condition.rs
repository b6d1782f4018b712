//! Shows our condition on the node, by server-side apply under our own name: no other condition is touched.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::Context;
use super::observe::Sight;
use super::turn::{TurnError, doing};
use crate::core::health;
use crate::core::why::Reason;
use crate::wire::slim_node::{self, CONDITION};

const MANAGER: &str = "ossci-remediator";

pub async fn show(context: &Context, sight: &Sight, why: &Reason) -> Result<(), TurnError> {
    let Some(node) = &sight.node else { return Ok(()) };
    let (stands, wanted) = (slim_node::condition(node), health::condition(why));
    if !health::is_news(stands.as_ref(), &wanted) {
        return Ok(());
    }
    let now = format!("{:.0}", context.now());
    let since = match &stands {
        Some(stands) if stands.status == wanted.status => slim_node::condition_since(node).unwrap_or(now),
        _ => now,
    };
    let patch = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": node.name_any(), "uid": node.uid() },
        "status": { "conditions": [{
            "type": CONDITION, "status": wanted.status, "reason": wanted.reason, "message": wanted.message,
            "lastTransitionTime": since,
        }]},
    });
    let nodes: Api<Node> = Api::all(context.client.clone());
    let ours = PatchParams::apply(MANAGER).force();
    let shown = nodes.patch_status(&node.name_any(), &ours, &Patch::Apply(patch)).await;
    shown.map(drop).map_err(doing("showing the condition OssciHealthy"))
}
