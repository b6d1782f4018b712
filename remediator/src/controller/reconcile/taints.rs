//! Our four taints on the Node. `spec.taints` is one list that every controller and person writes,
//! so each change reads it, edits our own entries, and writes it guarded by the resourceVersion.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Taint;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::api::request::guard;
use crate::api::request::{RequestError, doing};
use crate::controller::reconcile::sight::Sight;
use crate::controller::state::fleet::{Fleet, Kind};
use crate::core::taint::TaintKey;
use crate::wire::slim_node::{SlimNode, TaintNames};

/// Adds `key` and removes those that it `replaces` in one write, so that the node is never without
/// a taint in between.
pub async fn place(
    client: &kube::Client,
    fleet: &Fleet,
    names: &TaintNames,
    sight: &Sight,
    key: TaintKey,
    replaces: &BTreeSet<TaintKey>,
) -> Result<SlimNode, RequestError> {
    change(client, fleet, sight, |taints| with(names, taints, Some(key), replaces)).await
}

/// Removes `key` from the node.
pub async fn remove(
    client: &kube::Client,
    fleet: &Fleet,
    names: &TaintNames,
    sight: &Sight,
    key: TaintKey,
) -> Result<SlimNode, RequestError> {
    change(client, fleet, sight, |taints| with(names, taints, None, &BTreeSet::from([key]))).await
}

/// The API server rejects the write when the Node changed since it was read.
async fn change(
    client: &kube::Client,
    fleet: &Fleet,
    sight: &Sight,
    edit: impl FnOnce(&[Taint]) -> Vec<Taint>,
) -> Result<SlimNode, RequestError> {
    let name = sight.name();
    let nodes: Api<SlimNode> = Api::all(client.clone());
    let node = match &sight.node {
        Some(node) => node.clone(),
        None => nodes.get(&name).await.map_err(doing("reading the node"))?,
    };
    let edited = edit(node.taints());
    if edited == node.taints() {
        return Ok(node);
    }
    let patch = json!({ "metadata": guard(node.meta()), "spec": { "taints": edited } });
    let written = nodes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    let node = written.map_err(doing("changing the node's taints"))?;
    fleet.wrote(Kind::Node, &name, node.resource_version());
    fleet.read_node(&node);
    Ok(node)
}

/// The list with `add` and without `drop`; every other taint keeps its place and content.
fn with(names: &TaintNames, taints: &[Taint], add: Option<TaintKey>, drop: &BTreeSet<TaintKey>) -> Vec<Taint> {
    let stays = |taint: &&Taint| names.read(taint).is_none_or(|key| !drop.contains(&key));
    let mut edited: Vec<Taint> = taints.iter().filter(stays).cloned().collect();
    if let Some(key) = add
        && !edited.iter().any(|taint| names.read(taint) == Some(key))
    {
        edited.push(names.to_wire(key));
    }
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(key: &str, effect: &str) -> Taint {
        Taint { key: key.into(), effect: effect.into(), ..Taint::default() }
    }

    #[test]
    fn the_next_rungs_taint_replaces_the_last_in_one_list() {
        let names = TaintNames::default();
        let before = [foreign("a", "NoExecute"), names.to_wire(TaintKey::RepairReboot), foreign("b", "NoSchedule")];
        let after = with(&names, &before, Some(TaintKey::RepairReimage), &BTreeSet::from([TaintKey::RepairReboot]));
        assert_eq!(
            after,
            [foreign("a", "NoExecute"), foreign("b", "NoSchedule"), names.to_wire(TaintKey::RepairReimage)]
        );
    }

    #[test]
    fn a_taint_of_our_name_with_another_effect_is_not_ours() {
        let names = TaintNames::default();
        let before = [foreign("repair-reboot", "NoExecute")];
        assert_eq!(with(&names, &before, None, &BTreeSet::from([TaintKey::RepairReboot])), before);
    }

    #[test]
    fn a_prefix_qualifies_all_four() {
        let names = TaintNames { prefix: Some("example.com".into()) };
        assert_eq!(names.read(&foreign("repair-reboot", "NoSchedule")), None);
        assert_eq!(names.read(&foreign("example.com/slow-network", "NoSchedule")), Some(TaintKey::SlowNetwork));
    }
}
