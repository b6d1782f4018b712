//! What the watches know of all nodes and all records: little of each, for what is decided about one node in the light of
//! the others (the budget, and later the brakes). It is as old as the watches are; what it is used for is guarded by a
//! write that the API server orders.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::core::budget::{self, Census, Holder, Places, Seat, Waiter};
use crate::core::decide::NodeView;
use crate::core::policy::Policy;
use crate::core::record::{Episode, Phase, Record, Rung};
use crate::core::taint::TaintKey;
use crate::core::why::Why;

/// A node that has been cordoned for longer than this is a person's, and no longer counts.
const CORDONED_LONG: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct NodeGlance {
    pool: Option<String>,
    ready: bool,
    /// Since when we have seen it cordoned.
    cordoned: Option<Instant>,
    manual: bool,
}

#[derive(Debug)]
struct RepairGlance {
    holder: Option<Holder>,
    over: bool,
    waits: Option<Waiter>,
}

#[derive(Debug, Default)]
struct Known {
    nodes: HashMap<String, NodeGlance>,
    repairs: HashMap<String, RepairGlance>,
    places: Option<Places>,
    nodes_listed: bool,
    repairs_listed: bool,
}

/// All nodes and records, as the watches last told.
#[derive(Debug, Default)]
pub struct Fleet(RwLock<Known>);

impl Fleet {
    pub fn saw_node(&self, name: &str, view: &NodeView, policy: &Policy, now: Instant) {
        self.write(|known| {
            let cordoned = known.nodes.get(name).and_then(|node| node.cordoned);
            let glance = NodeGlance {
                pool: policy.pool_of(&view.labels).map(|pool| pool.name.clone()),
                ready: view.ready,
                cordoned: view.cordoned.then(|| cordoned.unwrap_or(now)),
                manual: view.taints.contains(&TaintKey::RepairManual),
            };
            known.nodes.insert(name.to_owned(), glance);
        });
    }

    pub fn lost_node(&self, name: &str) {
        self.write(|known| drop(known.nodes.remove(name)));
    }

    pub fn saw_record(&self, name: &str, uid: Option<&str>, record: &Record) {
        let episode = record.repair.episode.as_ref();
        let glance = RepairGlance {
            holder: episode.map(|episode| holder(uid.unwrap_or_default(), episode)),
            over: episode.is_none_or(is_done),
            waits: episode
                .filter(|episode| episode.phase == Phase::Waiting && episode.why.why == Why::WaitingForBudget)
                .map(|episode| waiter(name, episode)),
        };
        self.write(|known| drop(known.repairs.insert(name.to_owned(), glance)));
    }

    pub fn lost_record(&self, name: &str) {
        self.write(|known| drop(known.repairs.remove(name)));
    }

    pub fn saw_places(&self, places: Places) {
        self.write(|known| known.places = Some(places));
    }

    /// There is no budget object: nobody may take a place.
    pub fn lost_places(&self) {
        self.write(|known| known.places = None);
    }

    /// The first list of all nodes is complete.
    pub fn listed_nodes(&self) {
        self.write(|known| known.nodes_listed = true);
    }

    /// The first list of all records is complete.
    pub fn listed_records(&self) {
        self.write(|known| known.repairs_listed = true);
    }

    /// Nodes that a free place may be for.
    pub fn waiting(&self) -> Vec<String> {
        self.read(|known| {
            known.repairs.iter().filter(|(_, repair)| repair.waits.is_some()).map(|(name, _)| name.clone()).collect()
        })
    }

    /// Where an episode stands by the places as the watch last told them; `None` until everything was listed once.
    pub fn seat(&self, node: &str, uid: &str, episode: &Episode, policy: &Policy, now: Instant) -> Option<Seat> {
        self.read(|known| known.seat(known.places.as_ref()?, node, uid, episode, policy, now))
    }

    /// The same by places just read, without those whose episode is over.
    pub fn seat_among(
        &self,
        places: &Places,
        node: &str,
        uid: &str,
        episode: &Episode,
        policy: &Policy,
        now: Instant,
    ) -> Option<Seat> {
        self.read(|known| known.seat(places, node, uid, episode, policy, now))
    }

    /// Whether the episode that holds this place seems to be over, as far as the watch has come.
    pub fn is_over(&self, node: &str, holder: &Holder) -> bool {
        self.read(|known| {
            known.repairs_listed
                && known.repairs.get(node).is_none_or(|repair| repair.over || repair.holder.as_ref() != Some(holder))
        })
    }

    fn write(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, ask: impl FnOnce(&Known) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn seat(
        &self,
        places: &Places,
        node: &str,
        uid: &str,
        episode: &Episode,
        policy: &Policy,
        now: Instant,
    ) -> Option<Seat> {
        let pool = self.nodes.get(node)?.pool.as_deref()?;
        if !(self.nodes_listed && self.repairs_listed) {
            return None;
        }
        let limit = budget::places(self.census(pool, node, places, now), policy.budget);
        let mut waiting: Vec<Waiter> = self
            .repairs
            .iter()
            .filter(|(name, _)| *name != node && self.nodes.get(*name).is_some_and(|n| n.pool.as_deref() == Some(pool)))
            .filter_map(|(_, repair)| repair.waits.clone())
            .collect();
        waiting.push(waiter(node, episode));
        Some(budget::seat(node, &holder(uid, episode), pool, places, &waiting, limit))
    }

    /// A node under a repair of ours is not down for other reasons; neither is the one that asks.
    fn census(&self, pool: &str, asks: &str, places: &Places, now: Instant) -> Census {
        let mut census = Census::default();
        for (name, node) in self.nodes.iter().filter(|(_, node)| node.pool.as_deref() == Some(pool)) {
            let long_cordoned = node.cordoned.is_some_and(|since| now.duration_since(since) > CORDONED_LONG);
            if name != asks && (node.manual || long_cordoned) {
                continue;
            }
            census.members += 1;
            let down = !node.ready || node.cordoned.is_some();
            if down && name != asks && !places.contains_key(name) {
                census.down += 1;
            }
        }
        census
    }
}

/// An episode that needs no place any more: it is over, or a person has the node.
pub fn is_done(episode: &Episode) -> bool {
    episode.phase.is_over() || episode.rung == Rung::Manual
}

/// Who an episode is, in the budget.
pub fn holder(uid: &str, episode: &Episode) -> Holder {
    Holder { repair_uid: uid.to_owned(), episode: episode.number }
}

fn waiter(node: &str, episode: &Episode) -> Waiter {
    Waiter { node: node.to_owned(), rung: episode.rung, since: episode.started_at }
}
