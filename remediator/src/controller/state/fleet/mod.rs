//! What the watches know of all nodes and all records: little of each, for what is decided about one node in the light of
//! the others (the budget, the brakes). It is as old as the watches are; what it is used for is guarded by a write that the
//! API server orders.

pub mod cached;
mod pool;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::core::brakes::Past;
use crate::core::budget::{Holder, Place, Places, Waiter};
use crate::core::observation::NodeView;
use crate::core::policy::Policy;
use crate::core::record::{Complaint, Episode, Phase, Rung, Severity};
use crate::core::sense;
use crate::core::taint::TaintKey;
use crate::core::why::Why;
use crate::wire::budget::Switches;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

use self::cached::Cached;
pub use self::pool::{Asking, Counts, Standing};

#[derive(Debug)]
struct NodeGlance {
    /// Of the Node that the watch last told of.
    version: Option<u64>,
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
    /// The episode needs no place any more.
    over: bool,
    /// It waits for a place.
    waits: Option<Waiter>,
    open: Option<(Rung, Phase, Why)>,
    /// The record can be read, and makes no sense.
    nonsense: bool,
    slow: bool,
    /// A taint is on its way to the node, or there.
    placing: bool,
    past: Past,
    board: Board,
}

impl RepairGlance {
    fn firing(&self) -> impl Iterator<Item = &Complaint> {
        self.board.complaints.iter().filter(|complaint| complaint.firing)
    }
}

/// A complaint board, and the object that a guarded write over it has to find.
#[derive(Debug, Clone)]
pub struct Board {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub complaints: Vec<Complaint>,
}

impl Board {
    /// Of the same object.
    fn is_newer(&self, other: &Self) -> bool {
        self.uid == other.uid && number(self.version.as_deref()) > number(other.version.as_deref())
    }
}

/// As the API server numbers its writes (Kubernetes: resource versions are numbers that grow).
fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// Which of a node's two objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Node,
    Record,
}

#[derive(Debug, Default)]
struct Known {
    switches: Switches,
    /// The versions of objects that our own last writes made.
    written: HashMap<(Kind, String), String>,
    nodes: HashMap<String, NodeGlance>,
    cached: Cached,
    repairs: HashMap<String, RepairGlance>,
    /// Nodes whose record cannot be read.
    unreadable: BTreeSet<String>,
    places: Option<Places>,
    nodes_listed: bool,
    repairs_listed: bool,
}

/// All nodes and records, as the watches last told.
#[derive(Debug, Default)]
pub struct Fleet(RwLock<Known>);

impl Fleet {
    pub fn saw_node(&self, node: &SlimNode, view: &NodeView, policy: &Policy, now: Instant) {
        let name = &view.name;
        self.write(|known| {
            let cordoned = known.nodes.get(name).and_then(|node| node.cordoned);
            let glance = NodeGlance {
                version: number(node.metadata.resource_version.as_deref()),
                pool: policy.pool_of(&view.labels).map(|pool| pool.name.clone()),
                ready: view.ready,
                cordoned: view.cordoned.then(|| cordoned.unwrap_or(now)),
                manual: view.taints.contains(&TaintKey::RepairManual),
                tainted: !view.taints.is_empty(),
            };
            known.nodes.insert(name.clone(), glance);
            known.keep(node);
        });
    }

    /// A Node was read, or is the answer to a write of ours: it may be newer than what the watch told.
    pub fn read_node(&self, node: &SlimNode) {
        self.write(|known| known.keep(node));
    }

    /// What is kept of a node that something is to be done with, as fresh as the watches are.
    pub fn cached(&self, name: &str) -> (Option<Arc<NodeRepair>>, Option<Arc<SlimNode>>) {
        self.read(|known| known.cached.of(name))
    }

    /// What is kept of it lost a race: the next turn reads both.
    pub fn forget(&self, name: &str) {
        self.write(|known| known.cached.forget(name));
    }

    pub fn lost_node(&self, name: &str) {
        self.write(|known| {
            known.nodes.remove(name);
            known.cached.lost_node(name);
            known.written.remove(&(Kind::Node, name.to_owned()));
        });
    }

    pub fn saw_record(&self, repair: &NodeRepair) {
        let (name, uid, record) = (&repair.name_any(), repair.uid(), repair.record());
        let board =
            Board { uid: uid.clone(), version: repair.resource_version(), complaints: record.complaints.clone() };
        let episode = record.repair.episode.as_ref();
        let open = episode.filter(|episode| !episode.phase.is_over());
        let slow = record.repair.network.as_ref().filter(|track| !track.phase.is_over());
        let queues = |episode: &&Episode| episode.phase == Phase::Waiting && stands_in_line(episode.why.why);
        let glance = RepairGlance {
            holder: episode.map(|episode| holder(uid.as_deref().unwrap_or_default(), episode)),
            over: episode.is_none_or(is_done),
            waits: open.filter(queues).map(|episode| waiter(name, episode, record.severity(episode))),
            open: open.map(|episode| (episode.rung, episode.phase, episode.why.why)),
            nonsense: sense::nonsense(&record).is_some(),
            slow: slow.is_some(),
            placing: open.is_some_and(|episode| episode.taint.is_some())
                || slow.is_some_and(|track| track.taint.is_some()),
            past: Past::of(&record),
            board,
        };
        self.write(|known| {
            // The answer to a write of ours can come after the watch has told of a later one.
            if known.repairs.get(name).is_some_and(|repair| repair.board.is_newer(&glance.board)) {
                return;
            }
            known.unreadable.remove(name);
            known.cached.record(repair, record.is_at_rest());
            known.repairs.insert(name.clone(), glance);
        });
    }

    /// There is a record, and it cannot be read: what was known of it stays.
    pub fn saw_unreadable(&self, name: &str) {
        self.write(|known| {
            known.unreadable.insert(name.to_owned());
            known.cached.forget(name);
        });
    }

    pub fn lost_record(&self, name: &str) {
        self.write(|known| {
            known.repairs.remove(name);
            known.cached.forget(name);
            known.unreadable.remove(name);
            known.written.remove(&(Kind::Record, name.to_owned()));
        });
    }

    pub fn saw_places(&self, places: Places) {
        self.write(|known| known.places = Some(places));
    }

    /// What people were told of the pools; `None` before the budget object was seen.
    pub fn told(&self) -> Option<Vec<String>> {
        self.read(|known| known.places.as_ref().map(|_| known.switches.told.clone()))
    }

    /// Whether people switched anything.
    pub fn saw_switches(&self, switches: Switches) -> bool {
        self.write(|known| std::mem::replace(&mut known.switches, switches.clone()) != switches)
    }

    /// An object's version comes from a write of ours.
    pub fn wrote(&self, kind: Kind, node: &str, version: Option<String>) {
        self.write(|known| drop(known.written.insert((kind, node.to_owned()), version.unwrap_or_default())));
    }

    /// Whether it does: then the turn that wrote it goes on anyway.
    pub fn is_ours(&self, kind: Kind, node: &str, version: Option<&str>) -> bool {
        self.read(|known| known.written.get(&(kind, node.to_owned())).map(String::as_str) == version)
    }

    /// Whether there is a Node or a record of this name, as far as the watches have come.
    pub fn knows(&self, name: &str) -> bool {
        self.read(|known| known.nodes.contains_key(name) || known.repairs.contains_key(name))
    }

    /// Whether there is this Node and no record of it, as far as the watches have come.
    pub fn is_first_complaint(&self, name: &str) -> bool {
        self.read(|known| known.repairs_listed && known.nodes.contains_key(name) && !known.repairs.contains_key(name))
    }

    /// The node's board, as far as the watches have come.
    pub fn board(&self, name: &str) -> Option<Board> {
        self.read(|known| known.repairs.get(name).map(|repair| repair.board.clone()))
    }

    /// Whether the node holds a place in the budget.
    pub fn holds(&self, node: &str) -> bool {
        self.read(|known| known.places.as_ref().is_some_and(|places| places.contains_key(node)))
    }

    /// Whether it holds one for this very episode.
    pub fn holds_for(&self, node: &str, holder: &Holder) -> bool {
        self.read(|known| {
            let place = known.places.as_ref().and_then(|places| places.get(node));
            place.is_some_and(|place| place.holder == *holder)
        })
    }

    /// Every node that something is known of beyond its being there: a record, or a taint of ours.
    pub fn names(&self) -> BTreeSet<String> {
        self.read(|known| {
            let tainted = known.nodes.iter().filter(|(_, node)| node.tainted).map(|(name, _)| name);
            known.repairs.keys().chain(tainted).cloned().collect()
        })
    }

    /// Whether the record of the node does not know this of the alert yet, or was not told so since `again`.
    pub fn is_news(&self, node: &str, complaint: &Complaint, again: Duration) -> bool {
        self.read(|known| {
            let mut board = known.repairs.get(node).into_iter().flat_map(|repair| &repair.board.complaints);
            let same = board.find(|other| other.fingerprint == complaint.fingerprint);
            same.is_none_or(|other| {
                let age = complaint.seen.duration_since(other.seen);
                complaint.firing != other.firing || complaint.since > other.since || age.unsigned_abs() >= again
            })
        })
    }

    /// Complaints that fire by the records and are not among the `listed` fingerprints.
    pub fn firing_but(&self, listed: &BTreeSet<String>) -> Vec<(String, Complaint)> {
        self.read(|known| {
            let all = known.repairs.iter().flat_map(|(name, repair)| repair.firing().map(move |c| (name, c)));
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

    /// A list of all records is complete; returns those that are gone.
    pub fn listed_records(&self, listed: &BTreeSet<String>) -> Vec<String> {
        self.write(|known| {
            known.repairs_listed = true;
            known.repairs.keys().chain(&known.unreadable).filter(|name| !listed.contains(*name)).cloned().collect()
        })
    }

    /// Nodes that wait for this.
    pub fn waiting_for(&self, why: Why) -> Vec<String> {
        self.read(|known| {
            let waiting = known.repairs.iter().filter(|(_, repair)| {
                repair.open.is_some_and(|(_, phase, open_why)| phase == Phase::Waiting && open_why == why)
            });
            waiting.map(|(name, _)| name.clone()).collect()
        })
    }

    /// What the pool means for a node, by the places just read, or else as the watch last told them: then a place whose episode
    /// seems to be over counts as free, and whoever takes it sees to that.
    pub fn standing(&self, asking: Asking, places: Option<&Places>) -> Option<Standing> {
        self.read(|known| match places {
            Some(places) => known.standing(asking, Some(places)),
            None => known.standing(asking, known.places_in_use(asking.node).as_ref()),
        })
    }

    /// How many nodes are where, and how each pool stands.
    pub fn counts(&self, policy: &Policy, now: Timestamp, at: Instant) -> Counts {
        self.read(|known| known.counts(policy, now, at))
    }

    /// Whether the episode that holds this place seems to be over, as far as the watch has come.
    pub fn is_over(&self, node: &str, holder: &Holder) -> bool {
        self.read(|known| known.is_over(node, holder))
    }

    /// Whether the node holds a place for an episode that seems to be over.
    pub fn holds_too_long(&self, node: &str) -> bool {
        self.read(|known| {
            let place = known.places.as_ref().and_then(|places| places.get(node));
            place.is_some_and(|place| known.is_over(node, &place.holder))
        })
    }

    fn write<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, ask: impl FnOnce(&Known) -> T) -> T {
        ask(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Known {
    fn is_over(&self, node: &str, holder: &Holder) -> bool {
        self.repairs_listed
            && !self.unreadable.contains(node)
            && self.repairs.get(node).is_none_or(|repair| repair.over || repair.holder.as_ref() != Some(holder))
    }

    /// The places without those of others whose episodes seem to be over: nobody else may be there to give them back.
    fn places_in_use(&self, asks: &str) -> Option<Places> {
        let used = |(node, place): &(&String, &Place)| *node == asks || !self.is_over(node, &place.holder);
        let places = self.places.as_ref()?.iter().filter(used);
        Some(places.map(|(node, place)| (node.clone(), place.clone())).collect())
    }

    fn keep(&mut self, node: &SlimNode) {
        // A Node that the watch has not told of, or told that it is gone, is read each time.
        if let Some(seen) = self.nodes.get(&node.name_any()) {
            self.cached.node(node, seen.version);
        }
    }
}

/// An episode that needs no place any more: it is over, or a person has the node.
pub fn is_done(episode: &Episode) -> bool {
    episode.phase.is_over() || episode.rung == Rung::Manual
}

/// Waits for a place, or for what keeps the whole pool from starting: when that ends they are served in their order, and not as
/// they happen to look. Each looks again within a minute, so nobody who has no turn any more holds the others up.
fn stands_in_line(why: Why) -> bool {
    matches!(why, Why::WaitingForBudget | Why::StormBrake | Why::Paused)
}

/// Who an episode is, in the budget.
pub fn holder(uid: &str, episode: &Episode) -> Holder {
    Holder { repair_uid: uid.to_owned(), episode: episode.number }
}

fn waiter(node: &str, episode: &Episode, severity: Severity) -> Waiter {
    Waiter { node: node.to_owned(), severity, rung: episode.rung, since: episode.started_at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Ask;
    use crate::wire::node_repair::NodeRepairStatus;

    #[test]
    fn an_answer_that_comes_late_does_not_undo_what_the_watch_told() {
        let told = |uid: &str, version: &str| {
            let mut repair = NodeRepair::default();
            repair.metadata.name = Some("n1".into());
            repair.metadata.uid = Some(uid.into());
            repair.metadata.resource_version = Some(version.into());
            repair
        };
        let fleet = Fleet::default();
        let version = || fleet.board("n1").and_then(|board| board.version);
        fleet.saw_record(&told("a", "100"));
        fleet.saw_record(&told("a", "99"));
        assert_eq!(version().as_deref(), Some("100"));
        fleet.saw_record(&told("b", "9"));
        assert_eq!(version().as_deref(), Some("9"), "another object");
    }

    fn complaint(firing: bool, since: i64, seen: i64) -> Complaint {
        let at = |second| Timestamp::from_second(second).expect("a time");
        Complaint {
            fingerprint: "f".into(),
            ask: Ask::Reboot,
            check: "rocm-smi".into(),
            since: at(since),
            seen: at(seen),
            firing,
            summary: String::new(),
            labels: Default::default(),
        }
    }

    #[test]
    fn what_the_record_knows_of_an_alert_is_news_only_when_it_is_old() {
        let fleet = Fleet::default();
        let mut repair = NodeRepair::default();
        repair.metadata.name = Some("n1".into());
        let status = NodeRepairStatus { complaints: vec![complaint(true, 100, 110)], ..Default::default() };
        repair.status = Some(status);
        let news = |told| fleet.is_news("n1", &told, Duration::from_secs(300));
        assert!(news(complaint(true, 100, 110)), "nothing is known of the node");
        fleet.saw_record(&repair);
        assert!(!news(complaint(true, 100, 170)), "told again a minute later");
        assert!(news(complaint(true, 100, 410)), "told again after five");
        assert!(news(complaint(false, 100, 170)), "it is over");
        assert!(news(complaint(true, 160, 170)), "another firing");
    }

    #[test]
    fn a_place_that_nobody_is_left_to_give_back_is_not_in_use() {
        let fleet = Fleet::default();
        let holder = Holder { repair_uid: "u".into(), episode: 1 };
        let place = Place { holder, pool: "gpu".into(), since: Timestamp::UNIX_EPOCH };
        fleet.saw_places(Places::from([("gone".to_owned(), place)]));
        let used = |asks| fleet.read(|known| known.places_in_use(asks).expect("places").len());
        assert_eq!(used("other"), 1, "the records are not known yet");
        fleet.listed_records(&BTreeSet::new());
        assert_eq!(used("other"), 0, "there is no such record");
        assert!(fleet.holds_too_long("gone"));
        assert_eq!(used("gone"), 1, "its own is given back by itself");
        fleet.saw_unreadable("gone");
        assert_eq!(used("other"), 1, "nobody can say whether it is over");
    }
}
