//! Takes and gives back slots of the budget: ConfigMap `ossci-budget` in our namespace. Every
//! change is a guarded write, so two controllers that both believe to lead never give out one slot
//! twice.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use ossci_base::clock;
use serde_json::{Map, Value, json};

use crate::api::request::{self, RequestError, doing, guard};
use crate::controller::state::fleet::{Asking, Fleet};
use crate::core::budget::{Holder, Seat};
use crate::core::observation::Observation;
use crate::core::policy::Policy;
use crate::core::pool;
use crate::wire::budget::{NAME, Written, read};
use crate::wire::node_repair::NodeRepair;

/// The budget object, and what the cache knows of the nodes that hold its slots.
pub struct Budget<'a> {
    pub client: &'a kube::Client,
    pub namespace: &'a str,
    pub fleet: &'a Fleet,
}

impl Budget<'_> {
    /// Takes a slot for the record's episode if it is still its turn by the slots just read. Gives
    /// back, in the same write, slots whose episode has ended.
    pub async fn take(
        &self,
        policy: &Policy,
        now: Timestamp,
        repair: &NodeRepair,
        seen: &Observation,
    ) -> Result<(), RequestError> {
        let record = repair.record();
        let (Some(node), Some(episode)) = (&seen.node, &record.repair.episode) else { return Ok(()) };
        let Some(pool) = policy.pool_for(episode.pool.as_deref(), node) else { return Ok(()) };
        let (name, uid) = (repair.name_any(), repair.uid().unwrap_or_default());
        let map = self.get().await?;
        let mut places = read(&map);
        let seem_over: Vec<(String, Holder)> = places
            .iter()
            .filter(|(node, place)| self.fleet.is_over(node, &place.holder))
            .map(|(node, place)| (node.clone(), place.holder.clone()))
            .collect();
        let mut over = Vec::new();
        for (node, holder) in seem_over {
            if self.is_over(&node, &holder).await? {
                places.remove(&node);
                over.push(node);
            }
        }
        let at = clock::monotonic();
        let asking = Asking { node: &name, uid: &uid, record: &record, policy, now, at };
        if self.fleet.standing(asking, Some(&places)).and_then(|standing| standing.seat) != Some(Seat::Free) {
            self.fleet.saw_places(places);
            return Ok(());
        }
        let Holder { repair_uid, episode } = pool::holder(&uid, episode);
        let written = Written { repair_uid, episode, pool: pool.name.clone(), since: now };
        let mut data: Map<String, Value> = over.into_iter().map(|node| (node, Value::Null)).collect();
        data.insert(name, Value::String(json!(written).to_string()));
        self.patch(&map, data).await
    }

    /// The cache may be older than an episode that has just taken its slot, so the record is read
    /// before the slot is taken away.
    async fn is_over(&self, node: &str, holder: &Holder) -> Result<bool, RequestError> {
        let repairs: Api<NodeRepair> = Api::all(self.client.clone());
        let repair = request::found(repairs.get(node).await).map_err(doing("reading the record of a slot's holder"))?;
        let Some(repair) = repair else { return Ok(true) };
        let holds = repair.record().repair.episode.is_some_and(|episode| {
            pool::holder(&repair.uid().unwrap_or_default(), &episode) == *holder && !pool::is_done(&episode)
        });
        Ok(!holds)
    }

    /// Gives the node's slot back.
    pub async fn give_back(&self, node: &str) -> Result<(), RequestError> {
        let map = self.get().await?;
        if map.data.as_ref().is_none_or(|data| !data.contains_key(node)) {
            self.fleet.saw_places(read(&map));
            return Ok(());
        }
        self.patch(&map, Map::from_iter([(node.to_owned(), Value::Null)])).await
    }

    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn get(&self) -> Result<ConfigMap, RequestError> {
        self.api().get(NAME).await.map_err(doing("reading the budget (ConfigMap ossci-budget)"))
    }

    async fn patch(&self, map: &ConfigMap, data: Map<String, Value>) -> Result<(), RequestError> {
        let patch = json!({ "metadata": guard(map.meta()), "data": data });
        let map = self
            .api()
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(doing("writing the budget (ConfigMap ossci-budget)"))?;
        self.fleet.saw_places(read(&map));
        Ok(())
    }
}
