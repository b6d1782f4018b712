//! The one budget object of the cluster: ConfigMap `ossci-budget` in our namespace, one key for each node that holds a place.
//! Every change is a guarded write, so two controllers that both believe to lead never give out one place twice.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::{Map, Value, json};

use crate::api::request::{RequestError, doing, guard};
use crate::controller::context::Context;
use crate::controller::state::fleet;
use crate::controller::state::fleet::Asking;
use crate::core::budget::{Holder, Seat};
use crate::core::observation::Observation;
use crate::wire::budget::{NAME, Written, read};
use crate::wire::node_repair::NodeRepair;
use ossci_base::clock;

/// Takes a place for the record's episode, when by the places just read it is still its turn; gives back, in the same
/// write, places whose episode is over.
pub async fn take(context: &Context, repair: &NodeRepair, seen: &Observation) -> Result<(), RequestError> {
    let record = repair.record();
    let (Some(node), Some(episode)) = (&seen.node, &record.repair.episode) else { return Ok(()) };
    let site = context.site();
    let Some(pool) = site.policy.pool_of(&node.labels) else { return Ok(()) };
    let (name, uid) = (repair.name_any(), repair.uid().unwrap_or_default());
    let map = get(context).await?;
    let mut places = read(&map);
    let seem_over: Vec<(String, Holder)> = places
        .iter()
        .filter(|(node, place)| context.fleet.is_over(node, &place.holder))
        .map(|(node, place)| (node.clone(), place.holder.clone()))
        .collect();
    let mut over = Vec::new();
    for (node, holder) in seem_over {
        if is_over(context, &node, &holder).await? {
            places.remove(&node);
            over.push(node);
        }
    }
    let (now, at) = (context.now(), clock::monotonic());
    let asking = Asking { node: &name, uid: &uid, record: &record, policy: &site.policy, now, at };
    if context.fleet.standing(asking, Some(&places)).and_then(|standing| standing.seat) != Some(Seat::Free) {
        context.fleet.saw_places(places);
        return Ok(());
    }
    let Holder { repair_uid, episode } = fleet::holder(&uid, episode);
    let written = Written { repair_uid, episode, pool: pool.name.clone(), since: now };
    let mut data: Map<String, Value> = over.into_iter().map(|node| (node, Value::Null)).collect();
    data.insert(name, Value::String(json!(written).to_string()));
    patch(context, &map, data).await
}

/// The watch may be behind an episode that has just taken its place, so its record is read before the place is taken away.
async fn is_over(context: &Context, node: &str, holder: &Holder) -> Result<bool, RequestError> {
    let repairs: Api<NodeRepair> = Api::all(context.client.clone());
    let repair = repairs.get_opt(node).await.map_err(doing("reading the record of a place's holder"))?;
    let Some(repair) = repair else { return Ok(true) };
    let holds = repair.record().repair.episode.is_some_and(|episode| {
        fleet::holder(&repair.uid().unwrap_or_default(), &episode) == *holder && !fleet::is_done(&episode)
    });
    Ok(!holds)
}

/// Gives the node's place back.
pub async fn give_back(context: &Context, node: &str) -> Result<(), RequestError> {
    let map = get(context).await?;
    if map.data.as_ref().is_none_or(|data| !data.contains_key(node)) {
        context.fleet.saw_places(read(&map));
        return Ok(());
    }
    patch(context, &map, Map::from_iter([(node.to_owned(), Value::Null)])).await
}

fn api(context: &Context) -> Api<ConfigMap> {
    Api::namespaced(context.client.clone(), &context.namespace)
}

async fn get(context: &Context) -> Result<ConfigMap, RequestError> {
    api(context).get(NAME).await.map_err(doing("reading the budget (ConfigMap ossci-budget)"))
}

async fn patch(context: &Context, map: &ConfigMap, data: Map<String, Value>) -> Result<(), RequestError> {
    let patch = json!({ "metadata": guard(map.meta()), "data": data });
    let map = api(context)
        .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(doing("writing the budget (ConfigMap ossci-budget)"))?;
    context.fleet.saw_places(read(&map));
    Ok(())
}
