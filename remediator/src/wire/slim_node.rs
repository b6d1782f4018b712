//! The fields of a Node that we read, the core's view of it, and the site's spelling of the taints.
//!
//! A real Node is 10 kB, most of it images, managed fields and the kubelet's report. All that is
//! skipped while decoding, because the memory of a list of ten thousand Nodes depends on it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeCondition, Taint};
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde::{Deserialize, Deserializer};

use crate::core::health::Condition;
use crate::core::observation::NodeView;
use crate::core::said::Said;
use crate::core::taint::TaintKey;
use ossci_base::words::ClosedWord;

/// The annotation that puts a node on hold; its value is the reason.
pub const HOLD: &str = "ossci.amd.com/hold";
/// When the controller removes the hold: an RFC 3339 time.
pub const HOLD_UNTIL: &str = "ossci.amd.com/hold-until";
/// Who changed something by hand, and why: see [`Said`].
pub const CHANGED_BY: &str = "ossci.amd.com/changed-by";
/// A person asks for a proof: [`Said`], too.
pub const VERIFY: &str = "ossci.amd.com/verify";
/// The annotations that we read.
const READ: [&str; 5] = [HOLD, HOLD_UNTIL, CHANGED_BY, VERIFY, ADOPTED];
/// The annotation that says which pool label the controller once put on the node. Without the
/// label, a person took it off.
pub const ADOPTED: &str = "ossci.amd.com/adopted";
pub use crate::core::policy::GPUS;
/// The node condition with our opinion of the node.
pub const CONDITION: &str = "OssciHealthy";
/// The kubelet's own condition.
const READY: &str = "Ready";
const NO_SCHEDULE: &str = "NoSchedule";

/// A site's spelling of our taints: bare keys, or all four with one DNS prefix.
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

    /// Returns which of our taints this is, if any: the effect has to be `NoSchedule`.
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

/// The fields of a Node (core/v1) that we read, under their own names.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SlimNode {
    #[serde(deserialize_with = "slim_metadata")]
    pub metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Spec {
    taints: Option<Vec<Taint>>,
    unschedulable: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "read_conditions")]
    conditions: Vec<NodeCondition>,
    addresses: Option<Vec<NodeAddress>>,
    node_info: Info,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Info {
    #[serde(rename = "bootID")]
    boot_id: String,
    #[serde(rename = "systemUUID")]
    system_uuid: String,
}

fn slim_metadata<'de, D: Deserializer<'de>>(decoder: D) -> Result<ObjectMeta, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Slim {
        name: Option<String>,
        uid: Option<String>,
        resource_version: Option<String>,
        labels: Option<BTreeMap<String, String>>,
        annotations: Option<BTreeMap<String, String>>,
    }
    let Slim { name, uid, resource_version, labels, annotations } = Slim::deserialize(decoder)?;
    let annotations = annotations.map(|all| all.into_iter().filter(|(key, _)| READ.contains(&key.as_str())).collect());
    Ok(ObjectMeta { name, uid, resource_version, labels, annotations, ..ObjectMeta::default() })
}

/// Reads only the conditions that we use.
fn read_conditions<'de, D: Deserializer<'de>>(decoder: D) -> Result<Vec<NodeCondition>, D::Error> {
    let all: Option<Vec<NodeCondition>> = Deserialize::deserialize(decoder)?;
    let read = |condition: &NodeCondition| [READY, CONDITION].contains(&condition.type_.as_str());
    Ok(all.into_iter().flatten().filter(read).collect())
}

impl Resource for SlimNode {
    type DynamicType = ();
    type Scope = <Node as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        Node::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Node::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Node::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Node::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl SlimNode {
    /// `spec.taints`, ours and others.
    pub fn taints(&self) -> &[Taint] {
        self.spec.taints.as_deref().unwrap_or_default()
    }

    fn condition_of(&self, kind: &str) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.type_ == kind)
    }
}

/// Returns our condition of the node.
pub fn condition(node: &SlimNode) -> Option<Condition> {
    let NodeCondition { status, reason, message, .. } = node.condition_of(CONDITION)?.clone();
    Some(Condition { status, reason: reason.unwrap_or_default(), message: message.unwrap_or_default() })
}

/// Returns when our condition last changed its status.
pub fn condition_since(node: &SlimNode) -> Option<String> {
    node.condition_of(CONDITION)?.last_transition_time.as_ref().map(|time| format!("{:.0}", time.0))
}

/// Returns when the hold ends by itself. A time that cannot be parsed is none: the hold stays.
pub fn hold_until(node: &SlimNode) -> Option<Timestamp> {
    let annotations = node.annotations();
    annotations.get(HOLD).and_then(|_| annotations.get(HOLD_UNTIL)).and_then(|text| text.parse().ok())
}

/// Returns the core's view of a Node.
pub fn view(node: &SlimNode, names: &TaintNames) -> NodeView {
    let SlimNode { metadata, spec, status } = node;
    let other = |taint: &&Taint| names.read(taint).is_none();
    NodeView {
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        boot_id: status.node_info.boot_id.clone(),
        ready: node.condition_of(READY).is_some_and(|ready| ready.status == "True"),
        taints: node.taints().iter().filter_map(|taint| names.read(taint)).collect(),
        other_taints: node.taints().iter().filter(other).map(|taint| taint.key.clone()).collect::<BTreeSet<_>>(),
        hold: metadata.annotations.as_ref().and_then(|annotations| annotations.get(HOLD)).cloned(),
        system_uuid: Some(status.node_info.system_uuid.clone()).filter(|uuid| !uuid.is_empty()),
        said: node.annotations().get(CHANGED_BY).and_then(|value| Said::parse(value)),
        verify: node.annotations().get(VERIFY).and_then(|value| Said::parse(value)),
        adopted: metadata.annotations.as_ref().and_then(|annotations| annotations.get(ADOPTED)).cloned(),
        cordoned: spec.unschedulable.unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        addresses: status
            .addresses
            .iter()
            .flatten()
            .map(|NodeAddress { type_, address }| (type_.clone(), address.clone()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_fields_do_not_change_the_view() {
        let text = r#"{"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n1", "uid": "u", "resourceVersion": "7", "labels": {"pool": "a"},
                         "annotations": {"ossci.amd.com/hold": "ask Ann", "volumes.kubernetes.io/x": "y"},
                         "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}]},
            "spec": {"podCIDR": "10.0.0.0/24", "taints": [{"key": "repair-reboot", "effect": "NoSchedule"},
                                                          {"key": "other", "effect": "NoExecute", "value": "v"}]},
            "status": {"images": [{"names": ["a"], "sizeBytes": 1}], "nodeInfo": {"bootID": "b", "kernelVersion": "6"},
                       "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                       "conditions": [{"type": "Ready", "status": "True"}, {"type": "PIDPressure", "status": "False"}]}}"#;
        let node: SlimNode = serde_json::from_str(text).expect("a Node");
        let seen = view(&node, &TaintNames::default());
        assert_eq!((seen.name.as_str(), seen.uid.as_str(), seen.boot_id.as_str()), ("n1", "u", "b"));
        assert!(seen.ready && !seen.cordoned);
        assert_eq!(seen.hold.as_deref(), Some("ask Ann"));
        assert_eq!(seen.taints, BTreeSet::from([TaintKey::RepairReboot]));
        assert_eq!(seen.other_taints, BTreeSet::from(["other".to_owned()]));
        assert_eq!(seen.addresses, [("InternalIP".to_owned(), "10.0.0.1".to_owned())]);
        assert_eq!(node.taints().len(), 2, "taints of others are written back as they were");
        assert_eq!(node.taints()[1].value.as_deref(), Some("v"));
    }

    #[test]
    fn a_node_without_conditions_is_not_ready() {
        let node: SlimNode =
            serde_json::from_str(r#"{"metadata": {"name": "n1"}, "spec": {}, "status": {}}"#).expect("a Node");
        assert!(!view(&node, &TaintNames::default()).ready);
    }
}
