//! The chronicle: the writes to each node in the API server's audit log, as sequences. Pure.
//!
//! The audit log is independent of our programs. It has every write to a Node or a NodeRepair, its
//! author, and the resulting object.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use ossci_remediator::core::policy::POOL;
use ossci_remediator::wire::slim_node::ADOPTED;
use serde::Deserialize;
use serde_json::Value;

/// The taints of the ladder, lowest rung first.
pub const LADDER: [&str; 3] = ["repair-reboot", "repair-reimage", "repair-manual"];
const NETWORK: &str = "slow-network";
/// Reasons that block a repair until a person changes something. A golden file shows them beside
/// their phase. Other reasons depend on the speed of the machine.
const HOLDS: [&str; 10] = [
    "Cordoned",
    "DrainBlocked",
    "ModeStopsHere",
    "ModeTaintOnly",
    "ObserveOnly",
    "OnHold",
    "Paused",
    "RungNotWorking",
    "TaintLimit",
    "UnderMaintenance",
];
/// The prefix of our programs' service accounts.
pub const OURS: &str = "system:serviceaccount:ossci:";

/// One successful write.
#[derive(Debug, Clone)]
pub struct Write {
    pub at: Timestamp,
    pub user: String,
    pub resource: String,
    pub name: String,
    pub resource_version: u64,
    pub object: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage_timestamp: Timestamp,
    user: User,
    object_ref: ObjectRef,
    response_status: Option<Status>,
    response_object: Option<Value>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

/// Parses one line. Returns `None` for a refused write, and for anything but a write of an object.
pub fn parse(line: &str) -> Option<Write> {
    let line: Line = serde_json::from_str(line).ok()?;
    let code = line.response_status?.code?;
    let object = line.response_object?;
    let resource_version = object.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()?;
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or(&line.object_ref.name).to_owned();
    let (at, user, resource) = (line.stage_timestamp, line.user.username, line.object_ref.resource);
    (200..300).contains(&code).then_some(Write { at, user, resource, name, resource_version, object })
}

/// Our taints on a node, before and after one write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaintChange {
    pub at: Timestamp,
    /// One of our programs made it.
    pub ours: bool,
    pub before: BTreeSet<String>,
    pub after: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseChange {
    pub at: Timestamp,
    pub rung: String,
    pub phase: String,
    /// The reasons of `HOLDS` that the record had in this phase, each once.
    pub holds: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderSeen {
    pub id: String,
    pub kind: String,
    pub boot_id: String,
}

/// The history of one node.
#[derive(Debug, Clone, Default)]
pub struct NodeStory {
    pub taints: Vec<TaintChange>,
    pub phases: Vec<PhaseChange>,
    pub network: Vec<PhaseChange>,
    pub orders: Vec<OrderSeen>,
    /// The fingerprint of every alert that the record ever contained.
    pub complaints: BTreeSet<String>,
    /// Changes that our programs made to fields that they do not own.
    pub foreign: Vec<String>,
    /// The order IDs of captures that finished without evidence in the cluster.
    pub without_evidence: BTreeSet<String>,
    /// Disruptive orders that an agent began after their repair had left the phase.
    pub called_back: BTreeSet<String>,
    /// Each new reason: of the episode, or of the network repair if no episode is open. The last
    /// one is the reason now.
    pub whys: Vec<String>,
    /// The state that the agent reports for the current order.
    pub agent: String,
    node: Option<(u64, Value)>,
    repair: Option<(u64, Value)>,
}

/// The histories of all nodes.
#[derive(Debug, Clone, Default)]
pub struct Chronicle(BTreeMap<String, NodeStory>);

impl Chronicle {
    /// Builds the chronicle from writes in the order of their resource versions. The log has them
    /// in the order of their responses.
    pub fn of(writes: &[Write]) -> Self {
        let mut sorted: Vec<&Write> = writes.iter().collect();
        sorted.sort_by_key(|write| write.resource_version);
        let mut chronicle = Self::default();
        sorted.into_iter().for_each(|write| chronicle.apply(write));
        chronicle
    }

    /// Every node that was ever written, by name.
    pub fn nodes(&self) -> impl Iterator<Item = (&str, &NodeStory)> {
        self.0.iter().map(|(name, story)| (name.as_str(), story))
    }

    pub fn node(&self, name: &str) -> Option<&NodeStory> {
        self.0.get(name)
    }

    pub fn apply(&mut self, write: &Write) {
        let story = self.0.entry(write.name.clone()).or_default();
        match write.resource.as_str() {
            "nodes" => story.apply_node(write),
            "noderepairs" => story.apply_repair(write),
            _ => {}
        }
    }
}

impl NodeStory {
    /// Our taints that the node carries now.
    pub fn taints_now(&self) -> BTreeSet<String> {
        self.taints.last().map(|change| change.after.clone()).unwrap_or_default()
    }

    /// The reason of the record now; empty while it has none.
    pub fn why_now(&self) -> &str {
        self.whys.last().map_or("", String::as_str)
    }

    fn apply_node(&mut self, write: &Write) {
        let previous = self.node.replace((write.resource_version, write.object.clone()));
        let before = match &previous {
            Some((version, _)) if *version >= write.resource_version => {
                self.node = previous;
                return;
            }
            Some((_, object)) => {
                if write.user.starts_with(OURS) && stripped(object) != stripped(&write.object) {
                    self.foreign
                        .push(format!("{} changed more of the Node than our taints and our condition", write.user));
                }
                if write.user.starts_with(OURS) && pool(object) && !pool(&write.object) {
                    self.foreign.push(format!("{} removed the pool label", write.user));
                }
                our_taints(object)
            }
            None => BTreeSet::new(),
        };
        let after = our_taints(&write.object);
        if before != after {
            self.taints.push(TaintChange { at: write.at, ours: write.user.starts_with(OURS), before, after });
        }
    }

    fn apply_repair(&mut self, write: &Write) {
        if self.repair.as_ref().is_some_and(|(version, _)| *version >= write.resource_version) {
            return;
        }
        let text = |pointer: &str| write.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let change = |rung: String, phase: String| PhaseChange { at: write.at, rung, phase, holds: Vec::new() };
        let (phase, why) = (text("/status/episode/phase"), text("/status/episode/why/reason"));
        push_changed(&mut self.phases, change(text("/status/episode/rung"), phase), &why);
        let (phase, why) = (text("/status/network/phase"), text("/status/network/why/reason"));
        push_changed(&mut self.network, change(String::new(), phase), &why);
        let board = write.object.pointer("/status/complaints").and_then(Value::as_array);
        let known = board.into_iter().flatten().filter_map(|complaint| complaint["fingerprint"].as_str());
        self.complaints.extend(known.map(str::to_owned));
        let id = text("/spec/order/id");
        let of_order = text("/status/agent/orderID") == id && !id.is_empty();
        let before =
            std::mem::replace(&mut self.agent, if of_order { text("/status/agent/state") } else { String::new() });
        let phase = match text("/spec/order/kind").as_str() {
            "reboot" => "Rebooting",
            "reimage" => "Reimaging",
            _ => "",
        };
        let begun = self.agent == "Running" && before.is_empty();
        if begun && !phase.is_empty() && text("/status/episode/phase") != phase {
            self.called_back.insert(id.clone());
        }
        if self.agent == "Done" && text("/spec/order/kind") == "capture" && text("/status/agent/evidence").is_empty() {
            self.without_evidence.insert(id.clone());
        }
        // A request to the provisioning service counts as an order, although no agent receives it.
        let asked =
            ("provisioning".to_owned(), text("/status/episode/provisioning/id"), text("/status/episode/bootID"));
        for (kind, id, boot_id) in [(text("/spec/order/kind"), id, text("/spec/order/bootID")), asked] {
            if !id.is_empty() && self.orders.iter().all(|order| order.id != id) {
                self.orders.push(OrderSeen { id, kind, boot_id });
            }
        }
        let over =
            ["", "Healed", "Recovered", "Released", "NodeGone"].contains(&text("/status/episode/phase").as_str());
        let network = text("/status/network/why/reason");
        let why = if over && !network.is_empty() { network } else { text("/status/episode/why/reason") };
        if self.whys.last() != Some(&why) {
            self.whys.push(why);
        }
        self.repair = Some((write.resource_version, write.object.clone()));
    }
}

/// Appends `change` unless the record is in that phase already. Adds `why` to the holds of the
/// phase.
fn push_changed(changes: &mut Vec<PhaseChange>, change: PhaseChange, why: &str) {
    if change.phase.is_empty() {
        return;
    }
    let same = changes.last().is_some_and(|last| last.phase == change.phase && last.rung == change.rung);
    if !same {
        changes.push(change);
    }
    if let Some(last) = changes.last_mut()
        && HOLDS.contains(&why)
        && !last.holds.iter().any(|hold| hold == why)
    {
        last.holds.push(why.to_owned());
    }
}

fn is_ours(taint: &Value) -> bool {
    taint.pointer("/key").and_then(Value::as_str).is_some_and(|key| LADDER.contains(&key) || key == NETWORK)
}

fn our_taints(node: &Value) -> BTreeSet<String> {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let ours = taints.into_iter().flatten().filter(|taint| is_ours(taint));
    ours.filter_map(|taint| taint.pointer("/key").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// Whether a Node has the pool label.
fn pool(node: &Value) -> bool {
    node["metadata"]["labels"].get(POOL).is_some()
}

/// A Node without the fields that we may change: our taints, our condition, the pool label with its
/// annotation, and the metadata that every write changes.
fn stripped(node: &Value) -> Value {
    let mut node = node.clone();
    let kept = |list: Option<&Value>, ours: fn(&Value) -> bool| {
        let list = list.and_then(Value::as_array).cloned().unwrap_or_default();
        Value::Array(list.into_iter().filter(|item| !ours(item)).collect())
    };
    let taints = kept(node.pointer("/spec/taints"), is_ours);
    let conditions = kept(node.pointer("/status/conditions"), |condition| condition["type"] == "OssciHealthy");
    node["spec"]["taints"] = taints;
    node["status"]["conditions"] = conditions;
    if let Some(metadata) = node.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("managedFields");
        for (map, ours) in [("labels", POOL), ("annotations", ADOPTED)] {
            let mut rest = metadata.remove(map).unwrap_or_default();
            if let Some(fields) = rest.as_object_mut() {
                fields.remove(ours);
            }
            if rest.as_object().is_some_and(|fields| !fields.is_empty()) {
                metadata.insert(map.to_owned(), rest);
            }
        }
    }
    node
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(version: u64, user: &str, taints: &[&str], labels: Value) -> Write {
        let taints: Vec<Value> = taints.iter().map(|key| json!({"key": key, "effect": "NoSchedule"})).collect();
        let metadata = json!({"name": "gpu1", "resourceVersion": version.to_string(), "labels": labels});
        Write {
            at: Timestamp::UNIX_EPOCH,
            user: user.into(),
            resource: "nodes".into(),
            name: "gpu1".into(),
            resource_version: version,
            object: json!({"metadata": metadata, "spec": {"taints": taints}, "status": {}}),
        }
    }

    #[test]
    fn writes_are_read_in_the_order_of_their_versions() {
        let us = "system:serviceaccount:ossci:ossci-remediator";
        let chronicle = Chronicle::of(&[
            node(3, us, &["other"], json!({})),
            node(1, "lab-admin", &["other"], json!({})),
            node(2, us, &["other", "repair-reboot"], json!({})),
        ]);
        let story = chronicle.node("gpu1").unwrap();
        let taints: Vec<usize> = story.taints.iter().map(|change| change.after.len()).collect();
        assert_eq!(taints, [1, 0]);
        assert!(story.foreign.is_empty());
    }

    #[test]
    fn a_reason_that_passes_quickly_is_kept() {
        let write = |version: u64, why: &str| Write {
            resource: "noderepairs".into(),
            object: json!({"status": {"episode": {"phase": "Rebooting", "why": {"reason": why}}}}),
            ..node(version, "", &[], json!({}))
        };
        let writes = [write(1, "NotReady"), write(2, "BmcReset"), write(3, "BmcReset"), write(4, "WaitingForBoot")];
        let chronicle = Chronicle::of(&writes);
        assert_eq!(chronicle.node("gpu1").unwrap().whys, ["NotReady", "BmcReset", "WaitingForBoot"]);
    }

    #[test]
    fn our_programs_are_seen_when_they_touch_what_is_not_theirs() {
        let us = "system:serviceaccount:ossci:ossci-remediator";
        let pool = || json!({POOL: "gpu"});
        for (before, taints, labels, times) in [
            (json!({}), &[][..], json!({}), 1),
            (json!({}), &["other"], json!({"a": "b"}), 1),
            (json!({}), &["other"], pool(), 0),
            (pool(), &["other"], json!({}), 1),
        ] {
            let writes = [node(1, "lab-admin", &["other"], before), node(2, us, taints, labels)];
            assert_eq!(Chronicle::of(&writes).node("gpu1").unwrap().foreign.len(), times);
        }
    }

    #[test]
    fn a_refused_write_is_no_write() {
        let line = r#"{"stageTimestamp":"2026-01-01T00:00:00.000000Z","user":{"username":"u"},"objectRef":{"resource":"nodes","name":"n"},"responseStatus":{"code":409},"responseObject":{"metadata":{"resourceVersion":"5"}}}"#;
        assert!(parse(line).is_none());
        assert!(parse(&line.replace("409", "200")).is_some());
    }
}
