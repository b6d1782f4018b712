//! What the watches know of all nodes and all records: little of each, for what is decided about one node in the light of
//! the others (the budget, the brakes). It is as old as the watches are; what it is used for is guarded by a write that the
//! API server orders.

use std::collections::{BTreeSet, HashMap};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::core::brakes::{self, Past, Storm};
use crate::core::budget::{self, Census, Holder, Places, Seat, Waiter};
use crate::core::decide::NodeView;
use crate::core::policy::Policy;
use crate::core::record::{Ask, Complaint, Episode, Phase, Record, Rung};
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
    /// It carries a taint of ours.
    tainted: bool,
}

#[derive(Debug)]
struct RepairGlance {
    holder: Option<Holder>,
    over: bool,
    waits: Option<Waiter>,
    /// A taint is about to be placed.
    placing: bool,
    past: Past,
    firing: Vec<Complaint>,
}

/// Which of a node's two objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Node,
    Record,
}

/// What people switched for the whole cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// Nothing disruptive starts; the text says why.
    pub paused: Option<String>,
    /// The brakes forget what was before.
    pub resumed: Option<Timestamp>,
}

/// What the other nodes of its pool mean for one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Where it stands in its pool's budget; `None` until everything was listed once.
    pub seat: Option<Seat>,
    pub storm: Storm,
    pub rung_fails: bool,
    pub taints_full: bool,
    pub many_slow: bool,
    pub paused: Option<String>,
}

/// Who asks, by what rules, at what time.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub node: &'a str,
    /// The record's UID.
    pub uid: &'a str,
    pub episode: Option<&'a Episode>,
    pub policy: &'a Policy,
    pub now: Timestamp,
    pub at: Instant,
}

#[derive(Debug, Default)]
struct Known {
    switches: Switches,
    /// The versions of objects that our own last writes made.
    written: HashMap<(Kind, String), String>,
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
                tainted: !view.taints.is_empty(),
            };
            known.nodes.insert(name.to_owned(), glance);
        });
    }

    pub fn lost_node(&self, name: &str) {
        self.write(|known| {
            known.nodes.remove(name);
            known.written.remove(&(Kind::Node, name.to_owned()));
        });
    }

    pub fn saw_record(&self, name: &str, uid: Option<&str>, record: &Record) {
        let episode = record.repair.episode.as_ref();
        let glance = RepairGlance {
            holder: episode.map(|episode| holder(uid.unwrap_or_default(), episode)),
            over: episode.is_none_or(is_done),
            waits: episode
                .filter(|episode| episode.phase == Phase::Waiting && episode.why.why == Why::WaitingForBudget)
                .map(|episode| waiter(name, episode)),
            placing: [
                episode.filter(|episode| !episode.phase.is_over()).and_then(|episode| episode.taint),
                record.repair.network.as_ref().filter(|track| !track.phase.is_over()).and_then(|track| track.taint),
            ]
            .iter()
            .any(Option::is_some),
            past: Past::of(record),
            firing: record.complaints.iter().filter(|complaint| complaint.firing).cloned().collect(),
        };
        self.write(|known| drop(known.repairs.insert(name.to_owned(), glance)));
    }

    pub fn lost_record(&self, name: &str) {
        self.write(|known| {
            known.repairs.remove(name);
            known.written.remove(&(Kind::Record, name.to_owned()));
        });
    }

    pub fn saw_places(&self, places: Places) {
        self.write(|known| known.places = Some(places));
    }

    pub fn saw_switches(&self, switches: Switches) {
        self.write(|known| known.switches = switches);
    }

    /// An object's version comes from a write of ours.
    pub fn wrote(&self, kind: Kind, node: &str, version: Option<String>) {
        self.write(|known| drop(known.written.insert((kind, node.to_owned()), version.unwrap_or_default())));
    }

    /// Whether it does: then the turn that wrote it goes on anyway.
    pub fn is_ours(&self, kind: Kind, node: &str, version: Option<&str>) -> bool {
        self.read(|known| known.written.get(&(kind, node.to_owned())).map(String::as_str) == version)
    }

    /// Whether the node holds a place in the budget.
    pub fn holds(&self, node: &str) -> bool {
        self.read(|known| known.places.as_ref().is_some_and(|places| places.contains_key(node)))
    }

    /// Every node that something is known of beyond its being there: a record, or a taint of ours.
    pub fn names(&self) -> BTreeSet<String> {
        self.read(|known| {
            let tainted = known.nodes.iter().filter(|(_, node)| node.tainted).map(|(name, _)| name);
            known.repairs.keys().chain(tainted).cloned().collect()
        })
    }

    /// Whether the record of the node does not know yet that this alert fires, or was not told so since `again`.
    pub fn is_news(&self, node: &str, complaint: &Complaint, again: Duration) -> bool {
        self.read(|known| {
            let firing = known.repairs.get(node).map(|repair| repair.firing.as_slice()).unwrap_or_default();
            let same = firing.iter().find(|other| other.fingerprint == complaint.fingerprint);
            same.is_none_or(|other| {
                let age = complaint.seen.duration_since(other.seen);
                complaint.since > other.since || age.unsigned_abs() >= again
            })
        })
    }

    /// Complaints that fire by the records and are not among the `listed` fingerprints.
    pub fn firing_but(&self, listed: &BTreeSet<String>) -> Vec<(String, Complaint)> {
        self.read(|known| {
            let all = known.repairs.iter().flat_map(|(name, repair)| repair.firing.iter().map(move |c| (name, c)));
            let gone = all.filter(|(_, complaint)| !listed.contains(&complaint.fingerprint));
            gone.map(|(name, complaint)| (name.clone(), complaint.clone())).collect()
        })
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

    /// What the pool means for a node, by the places just read, or else as the watch last told them.
    pub fn standing(&self, asking: Asking, places: Option<&Places>) -> Option<Standing> {
        self.read(|known| known.standing(asking, places.or(known.places.as_ref())))
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
    /// `None`: the node is in no pool.
    fn standing(&self, asking: Asking, places: Option<&Places>) -> Option<Standing> {
        let Asking { node, episode, policy, now, .. } = asking;
        let pool = self.nodes.get(node)?.pool.as_deref()?;
        let members: Vec<&String> = self
            .nodes
            .iter()
            .filter(|(_, glance)| glance.pool.as_deref() == Some(pool))
            .map(|(name, _)| name)
            .collect();
        let size = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let mut past = Past::default();
        let (mut tainted, mut slow) = (0_u32, 0_u32);
        for name in members {
            let repair = self.repairs.get(name);
            let carries = self.nodes.get(name).is_some_and(|glance| glance.tainted);
            tainted += u32::from(name != node && (carries || repair.is_some_and(|repair| repair.placing)));
            let Some(repair) = repair else { continue };
            past.add(&repair.past);
            slow += u32::from(repair.firing.iter().any(|complaint| complaint.ask == Ask::SlowNetwork));
        }
        let storm = brakes::storm(&past, size, &policy.brakes, self.switches.resumed, now);
        let seat = episode.zip(places).and_then(|(episode, places)| self.seat(asking, episode, pool, places, storm));
        let fails = |episode: &Episode| brakes::rung_fails(&past, episode.rung, &policy.brakes, self.switches.resumed);
        Some(Standing {
            seat,
            storm,
            rung_fails: episode.is_some_and(fails),
            taints_full: brakes::taints_are_full(tainted, size, &policy.brakes),
            many_slow: brakes::many_are_slow(slow, size, &policy.brakes),
            paused: self.switches.paused.clone(),
        })
    }

    fn seat(&self, asking: Asking, episode: &Episode, pool: &str, places: &Places, storm: Storm) -> Option<Seat> {
        let Asking { node, uid, policy, at, .. } = asking;
        if !(self.nodes_listed && self.repairs_listed) {
            return None;
        }
        let limit = budget::places(self.census(pool, node, places, at), policy.budget);
        let limit = if storm == Storm::Probation { limit.min(1) } else { limit };
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
