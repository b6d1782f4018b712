//! Reads what is known of one node, for the answer to why it is where it is.

use jiff::Timestamp;
use kube::Client;
use kube::api::Api;

use crate::api::request;
use crate::core::explain::{self, About, Explanation};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};

/// Returns the explanation of a node's state, from two reads. `None`: there is neither a Node of
/// this name nor a record of one.
///
/// # Errors
/// A read failed.
pub async fn explain(
    client: &Client,
    name: &str,
    names: &TaintNames,
    now: Timestamp,
) -> Result<Option<Explanation>, kube::Error> {
    let (nodes, repairs) = (Api::<SlimNode>::all(client.clone()), Api::<NodeRepair>::all(client.clone()));
    let (node, repair) = tokio::join!(nodes.get(name), repairs.get(name));
    let (node, repair) = (request::found(node)?, request::found(repair)?);
    if node.is_none() && repair.is_none() {
        return Ok(None);
    }
    let view = node.as_ref().map(|node| slim_node::view(node, names));
    let condition = node.as_ref().and_then(slim_node::condition);
    let record = repair.map(|repair| repair.record());
    let about = About { name, node: view.as_ref(), condition: condition.as_ref(), record: record.as_ref(), now };
    Ok(Some(explain::explain(&about)))
}
