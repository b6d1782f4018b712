//! A Node as the core needs it, out of the API server's form, and the taint keys as a site spells them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Taint};

use crate::core::decide::NodeView;
use crate::core::health::Condition;
use crate::core::taint::TaintKey;
use crate::core::word::ClosedWord;

/// Hands off this node; the value says why.
pub const HOLD: &str = "ossci.amd.com/hold";
/// The expected number of GPUs.
pub const GPUS: &str = "ossci.amd.com/gpus";
/// The node condition that says what we think of the node.
pub const CONDITION: &str = "OssciHealthy";
const NO_SCHEDULE: &str = "NoSchedule";

/// How a site spells our taints: bare keys, or all four qualified with one DNS prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaintNames {
    /// `example.com`, without the slash.
    pub prefix: Option<String>,
}

impl TaintNames {
    pub fn spell(&self, key: TaintKey) -> String {
        match &self.prefix {
            Some(prefix) => format!("{prefix}/{key}"),
            None => key.as_str().to_owned(),
        }
    }

    /// The taint of ours that this is, if it is one: the effect has to be `NoSchedule`.
    pub fn read(&self, taint: &Taint) -> Option<TaintKey> {
        let bare = match &self.prefix {
            Some(prefix) => taint.key.strip_prefix(prefix.as_str())?.strip_prefix('/')?,
            None => &taint.key,
        };
        TaintKey::parse(bare).filter(|_| taint.effect == NO_SCHEDULE)
    }

    pub fn to_wire(&self, key: TaintKey) -> Taint {
        Taint { key: self.spell(key), effect: NO_SCHEDULE.to_owned(), ..Taint::default() }
    }
}

fn ours(node: &Node) -> Option<&NodeCondition> {
    node.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == CONDITION)
}

/// Our condition as it stands on the node.
pub fn condition(node: &Node) -> Option<Condition> {
    let NodeCondition { status, reason, message, .. } = ours(node)?.clone();
    Some(Condition { status, reason: reason.unwrap_or_default(), message: message.unwrap_or_default() })
}

/// Since when it has its status.
pub fn condition_since(node: &Node) -> Option<String> {
    ours(node)?.last_transition_time.as_ref().map(|time| format!("{:.0}", time.0))
}

/// What the core needs of a Node.
pub fn view(node: &Node, names: &TaintNames) -> NodeView {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    NodeView {
        name: node.metadata.name.clone().unwrap_or_default(),
        uid: node.metadata.uid.clone().unwrap_or_default(),
        boot_id: status.node_info.map(|info| info.boot_id).unwrap_or_default(),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        taints: spec.taints.iter().flatten().filter_map(|taint| names.read(taint)).collect::<BTreeSet<_>>(),
        other_taints: spec
            .taints
            .iter()
            .flatten()
            .filter(|taint| names.read(taint).is_none())
            .map(|taint| taint.key.clone())
            .collect(),
        hold: node.metadata.annotations.as_ref().and_then(|annotations| annotations.get(HOLD)).cloned(),
        cordoned: spec.unschedulable.unwrap_or_default(),
        labels: node.metadata.labels.clone().unwrap_or_default(),
        addresses: status
            .addresses
            .unwrap_or_default()
            .into_iter()
            .map(|address| (address.type_, address.address))
            .collect(),
    }
}
