//! Cache of complete objects: the Nodes that need work, and their records. A reconcile may decide
//! on them without a read. An older Node never replaces a newer one.

use std::collections::HashMap;
use std::sync::Arc;

use kube::ResourceExt;

use crate::controller::state::fleet::number;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

/// The cached objects, by node.
#[derive(Debug, Default)]
pub struct Cached {
    /// Records that are not at rest.
    records: HashMap<String, Arc<NodeRepair>>,
    /// Nodes whose record is in `records`.
    nodes: HashMap<String, Arc<SlimNode>>,
}

impl Cached {
    pub fn of(&self, name: &str) -> (Option<Arc<NodeRepair>>, Option<Arc<SlimNode>>) {
        (self.records.get(name).cloned(), self.nodes.get(name).cloned())
    }

    /// Caches a record, or drops one that is at rest. The caller checks that none is newer.
    pub fn record(&mut self, repair: &NodeRepair, at_rest: bool) {
        let name = repair.name_any();
        if at_rest {
            self.forget(&name);
        } else {
            self.records.insert(name, Arc::new(repair.clone()));
        }
    }

    /// Caches a Node unless a newer one is known. `seen`: the version that the watch last
    /// delivered.
    pub fn node(&mut self, node: &SlimNode, seen: Option<u64>) {
        let (name, version) = (node.name_any(), number(node.metadata.resource_version.as_deref()));
        let kept = self.nodes.get(&name).map(|kept| number(kept.metadata.resource_version.as_deref()));
        if self.records.contains_key(&name) && version >= seen && kept.is_none_or(|kept| version >= kept) {
            self.nodes.insert(name, Arc::new(node.clone()));
        }
    }

    pub fn lost_node(&mut self, name: &str) {
        self.nodes.remove(name);
    }

    pub fn forget(&mut self, name: &str) {
        self.records.remove(name);
        self.nodes.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: &str) -> SlimNode {
        let mut node = SlimNode::default();
        node.metadata.name = Some("n1".into());
        node.metadata.resource_version = Some(version.into());
        node
    }

    #[test]
    fn a_node_is_cached_while_its_record_is_and_never_an_older_one() {
        let mut kept = Cached::default();
        let version = |kept: &Cached| kept.of("n1").1.and_then(|node| node.metadata.resource_version.clone());
        kept.node(&node("10"), Some(10));
        assert_eq!(version(&kept), None, "it has no record");
        let mut repair = NodeRepair::default();
        repair.metadata.name = Some("n1".into());
        kept.record(&repair, false);
        kept.node(&node("9"), Some(10));
        assert_eq!(version(&kept), None, "the watch has delivered a newer one");
        kept.node(&node("12"), Some(10));
        kept.node(&node("11"), Some(11));
        assert_eq!(version(&kept).as_deref(), Some("12"), "the watch is behind a read");
        kept.node(&node("100"), Some(100));
        assert_eq!(version(&kept).as_deref(), Some("100"), "versions compare as numbers");
        kept.record(&repair, true);
        assert_eq!((kept.of("n1").0, version(&kept)), (None, None), "its record is at rest");
    }
}
