//! Cached summaries of all nodes and records, for decisions about one node that depend on the
//! others (the budget, the brakes). The cache may be as stale as the watches; guarded writes
//! protect what is decided from it. Sends no request.

pub mod cached;
mod sums;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::core::brakes::Past;
use crate::core::budget::{Holder, Place, Places, Waiter};
use crate::core::health;
use crate::core::observation::NodeView;
use crate::core::policy::Policy;
use crate::core::pool;
use crate::core::record::{Complaint, Episode, NetworkPhase, Phase, Rung};
use crate::core::sense;
use crate::core::taint::TaintKey;
use crate::core::why::Why;
use crate::wire::budget::{Switches, Told};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode};

use self::cached::Cached;
pub use self::sums::{Asking, Counts, Standing};

/// The cached summary of a Node.
#[derive(Debug)]
struct NodeGlance {
    /// Of the Node that the watch last delivered.
    version: Option<u64>,
    pool: Option<String>,
    /// The value of the pool label that it has to get.
    label: Option<String>,
    ready: bool,
    /// When the controller first saw it cordoned.
    cordoned: Option<Instant>,
    manual: bool,
    /// It carries a taint of ours.
    tainted: bool,
    /// When its hold ends by itself.
    hold_until: Option<Timestamp>,
    /// The reason of our condition, if that says that the node is not well.
    unwell: Option<Why>,
}

/// The cached summary of a record.
#[derive(Debug)]
struct RepairGlance {
    holder: Option<Holder>,
    /// The node is under disruptive repair.
    disruptive: bool,
    /// The pool on record: of the open episode, else of the last one.
    pool: Option<String>,
    /// The episode needs no budget slot any more.
    over: bool,
    /// It is queued for a budget slot.
    waits: Option<Waiter>,
    open: Option<(Rung, Phase, Why)>,
    /// Since when its phase has lasted, and its deadline.
    since: Timestamp,
    until: Option<Timestamp>,
    /// The record can be read, but contradicts itself.
    nonsense: bool,
    network: Option<OpenNetwork>,
    /// A taint is recorded for the node, whether it is on the Node yet or not.
    placing: bool,
    past: Past,
    board: Board,
}

impl RepairGlance {
    fn firing(&self) -> impl Iterator<Item = &Complaint> {
        self.board.complaints.iter().filter(|complaint| complaint.firing)
    }
}

/// A network track that is open.
#[derive(Debug, Clone, Copy)]
struct OpenNetwork {
    phase: NetworkPhase,
    why: Why,
    since: Timestamp,
    until: Option<Timestamp>,
}

/// A node that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenCase {
    pub node: String,
    pub since: Timestamp,
}

/// A complaint board, with the UID and resourceVersion that guard a write to it.
#[derive(Debug, Clone)]
pub struct Board {
    pub uid: Option<String>,
    pub version: Option<String>,
    pub complaints: Vec<Complaint>,
}

impl Board {
    /// Whether both are of the same object and this one is newer.
    fn is_newer(&self, other: &Self) -> bool {
        self.uid == other.uid && number(self.version.as_deref()) > number(other.version.as_deref())
    }
}

/// Parses a resourceVersion. The API server increments it with every write, so two versions of one
/// object can be compared.
fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}

/// The two objects of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Node,
    Record,
}

#[derive(Debug, Default)]
struct Known {
    switches: Switches,
    /// The versions that our own last writes produced.
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

/// All nodes and records, as last delivered by the watches.
#[derive(Debug, Default)]
pub struct Fleet(RwLock<Known>);

impl Fleet {
    /// Stores a Node of the watch or of a list; `now` starts the time of a new cordon.
    pub fn saw_node(&self, node: &SlimNode, view: &NodeView, policy: &Policy, now: Instant) {
        let name = &view.name;
        self.write(|known| {
            let cordoned = known.nodes.get(name).and_then(|node| node.cordoned);
            let glance = NodeGlance {
                version: number(node.metadata.resource_version.as_deref()),
                pool: policy.pool_of(view).map(|pool| pool.name.clone()),
                label: policy.label_for(view),
                ready: view.ready,
                cordoned: view.cordoned.then(|| cordoned.unwrap_or(now)),
                manual: view.taints.contains(&TaintKey::RepairManual),
                tainted: !view.taints.is_empty(),
                hold_until: slim_node::hold_until(node),
                unwell: slim_node::condition(node).and_then(|condition| health::unwell(&condition)),
            };
            known.nodes.insert(name.clone(), glance);
            known.keep(node);
        });
    }

    /// Returns the nodes that have to get the pool label, with the version that guards the write.
    pub fn unlabelled(&self) -> Vec<(String, u64, String)> {
        self.read(|known| {
            let missing =
                |(name, node): (&String, &NodeGlance)| Some((name.clone(), node.version?, node.label.clone()?));
            known.nodes.iter().filter_map(missing).collect()
        })
    }

    /// Returns the nodes whose hold has ended, with the version that guards the write.
    pub fn held_until(&self, now: Timestamp) -> Vec<(String, u64)> {
        self.read(|known| {
            let over = known.nodes.iter().filter(|(_, node)| node.hold_until.is_some_and(|until| until <= now));
            over.filter_map(|(name, node)| Some((name.clone(), node.version?))).collect()
        })
    }

    /// Whether the pause has ended by itself.
    pub fn paused_until(&self, now: Timestamp) -> bool {
        self.read(|known| known.switches.paused_until.is_some_and(|until| until <= now))
    }

    /// Stores a Node that got the pool label.
    pub fn labelled(&self, node: &SlimNode) {
        self.write(|known| {
            if let Some(glance) = node.metadata.name.as_ref().and_then(|name| known.nodes.get_mut(name)) {
                glance.label = None;
            }
            known.keep(node);
        });
    }

    /// Stores a Node that was read or written: it may be newer than the watch's.
    pub fn read_node(&self, node: &SlimNode) {
        self.write(|known| known.keep(node));
    }

    /// Returns the cached record and Node of a node that needs work. They may be stale.
    pub fn cached(&self, name: &str) -> (Option<Arc<NodeRepair>>, Option<Arc<SlimNode>>) {
        self.read(|known| known.cached.of(name))
    }

    /// Drops the cached objects after a lost race, so that the next reconcile reads both.
    pub fn forget(&self, name: &str) {
        self.write(|known| known.cached.forget(name));
    }

    /// Removes a deleted Node.
    pub fn lost_node(&self, name: &str) {
        self.write(|known| {
            known.nodes.remove(name);
            known.cached.lost_node(name);
            known.written.remove(&(Kind::Node, name.to_owned()));
        });
    }

    /// Stores a record of the watch or of a write, unless a newer one is known.
    pub fn saw_record(&self, repair: &NodeRepair) {
        let (name, uid, record) = (&repair.name_any(), repair.uid(), repair.record());
        let board =
            Board { uid: uid.clone(), version: repair.resource_version(), complaints: record.complaints.clone() };
        let episode = record.repair.episode.as_ref();
        let open = episode.filter(|episode| !episode.phase.is_over());
        let slow = record.repair.network.as_ref().filter(|track| !track.phase.is_over());
        let glance = RepairGlance {
            holder: episode.map(|episode| pool::holder(uid.as_deref().unwrap_or_default(), episode)),
            disruptive: open.is_some_and(Episode::is_disruptive),
            pool: episode.and_then(|episode| episode.pool.clone()),
            over: episode.is_none_or(pool::is_done),
            waits: pool::waiter_of(name, &record),
            open: open.map(|episode| (episode.rung, episode.phase, episode.why.why)),
            since: episode.map_or(Timestamp::MIN, |episode| episode.since),
            until: open.and_then(|episode| episode.until),
            nonsense: sense::nonsense(&record).is_some(),
            network: slow.map(|track| OpenNetwork {
                phase: track.phase,
                why: track.why.why,
                since: track.since,
                until: track.until,
            }),
            placing: open.is_some_and(|episode| episode.taint.is_some())
                || slow.is_some_and(|track| track.taint.is_some()),
            past: Past::of(&record),
            board,
        };
        self.write(|known| {
            // The answer to our own write can arrive after the watch delivered a newer record.
            if known.repairs.get(name).is_some_and(|repair| repair.board.is_newer(&glance.board)) {
                return;
            }
            known.unreadable.remove(name);
            known.cached.record(repair, record.is_at_rest());
            known.repairs.insert(name.clone(), glance);
        });
    }

    /// Marks a record that exists but cannot be read. Its cached summary stays.
    pub fn saw_unreadable(&self, name: &str) {
        self.write(|known| {
            known.unreadable.insert(name.to_owned());
            known.cached.forget(name);
        });
    }

    /// Removes a deleted record.
    pub fn lost_record(&self, name: &str) {
        self.write(|known| {
            known.repairs.remove(name);
            known.cached.forget(name);
            known.unreadable.remove(name);
            known.written.remove(&(Kind::Record, name.to_owned()));
        });
    }

    /// Stores the budget slots in use.
    pub fn saw_places(&self, places: Places) {
        self.write(|known| known.places = Some(places));
    }

    /// Returns the notices on record, and when their mails were accepted; `None` without a
    /// budget object.
    pub fn notices(&self) -> Option<BTreeMap<String, Told>> {
        self.read(|known| known.places.as_ref().map(|_| known.switches.notices.clone()))
    }

    /// Stores the annotations of the budget object; returns whether any of them changed.
    pub fn saw_switches(&self, switches: Switches) -> bool {
        self.write(|known| std::mem::replace(&mut known.switches, switches.clone()) != switches)
    }

    /// Records the version that our own write produced.
    pub fn wrote(&self, kind: Kind, node: &str, version: Option<String>) {
        self.write(|known| drop(known.written.insert((kind, node.to_owned()), version.unwrap_or_default())));
    }

    /// Whether this version is from our own last write. The reconcile that wrote it continues by
    /// itself and needs no wake-up.
    pub fn is_ours(&self, kind: Kind, node: &str, version: Option<&str>) -> bool {
        self.read(|known| known.written.get(&(kind, node.to_owned())).map(String::as_str) == version)
    }

    /// Whether a Node or a record of this name is cached.
    pub fn knows(&self, name: &str) -> bool {
        self.read(|known| known.nodes.contains_key(name) || known.repairs.contains_key(name))
    }

    /// Whether the Node is cached, all records were listed, and it has none.
    pub fn is_first_complaint(&self, name: &str) -> bool {
        self.read(|known| known.repairs_listed && known.nodes.contains_key(name) && !known.repairs.contains_key(name))
    }

    /// Returns the node's cached complaint board.
    pub fn board(&self, name: &str) -> Option<Board> {
        self.read(|known| known.repairs.get(name).map(|repair| repair.board.clone()))
    }

    /// Whether the node holds a budget slot.
    pub fn holds(&self, node: &str) -> bool {
        self.read(|known| known.places.as_ref().is_some_and(|places| places.contains_key(node)))
    }

    /// Whether the node holds a budget slot for this episode.
    pub fn holds_for(&self, node: &str, holder: &Holder) -> bool {
        self.read(|known| {
            let place = known.places.as_ref().and_then(|places| places.get(node));
            place.is_some_and(|place| place.holder == *holder)
        })
    }

    /// Returns the nodes that have a record or a taint of ours.
    pub fn names(&self) -> BTreeSet<String> {
        self.read(|known| {
            let tainted = known.nodes.iter().filter(|(_, node)| node.tainted).map(|(name, _)| name);
            known.repairs.keys().chain(tainted).cloned().collect()
        })
    }

    /// Whether the node's record lacks this state of the alert, or received it `again` ago or
    /// earlier.
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

    /// Returns the recorded complaints that fire and whose fingerprints are not in `listed`.
    pub fn firing_but(&self, listed: &BTreeSet<String>) -> Vec<(String, Complaint)> {
        self.read(|known| {
            let all = known.repairs.iter().flat_map(|(name, repair)| repair.firing().map(move |c| (name, c)));
            let gone = all.filter(|(_, complaint)| !listed.contains(&complaint.fingerprint));
            gone.map(|(name, complaint)| (name.clone(), complaint.clone())).collect()
        })
    }

    /// Records that there is no budget object: no node may take a budget slot.
    pub fn lost_places(&self) {
        self.write(|known| known.places = None);
    }

    /// Records that the first list of all nodes is complete.
    pub fn listed_nodes(&self) {
        self.write(|known| known.nodes_listed = true);
    }

    /// Records that a list of all records is complete; returns the cached ones that are deleted.
    pub fn listed_records(&self, listed: &BTreeSet<String>) -> Vec<String> {
        self.write(|known| {
            known.repairs_listed = true;
            known.repairs.keys().chain(&known.unreadable).filter(|name| !listed.contains(*name)).cloned().collect()
        })
    }

    /// Returns the nodes that need a person, by name.
    pub fn need_person(&self) -> Vec<OpenCase> {
        let needs = |phase| matches!(phase, Phase::Escalating | Phase::Escalated);
        self.read(|known| {
            let open = known.repairs.iter().filter(|(_, repair)| repair.open.is_some_and(|(_, phase, _)| needs(phase)));
            let mut cases: Vec<_> =
                open.map(|(node, repair)| OpenCase { node: node.clone(), since: repair.since }).collect();
            cases.sort();
            cases
        })
    }

    /// Returns the nodes that wait for this reason.
    pub fn waiting_for(&self, why: Why) -> Vec<String> {
        self.read(|known| {
            let waiting =
                known.repairs.iter().filter(|(_, repair)| repair.open.is_some_and(|(_, _, open_why)| open_why == why));
            waiting.map(|(name, _)| name.clone()).collect()
        })
    }

    /// Returns the node's standing in its pool; `None` if it is in none.
    ///
    /// With `places`: from these budget slots, just read. Without: from the cache. There, a slot
    /// whose episode seems to have ended counts as free, because taking it reads that record first.
    pub fn standing(&self, asking: Asking, places: Option<&Places>) -> Option<Standing> {
        self.read(|known| match places {
            Some(places) => known.standing(asking, Some(places)),
            None => known.standing(asking, known.places_in_use(asking.node).as_ref()),
        })
    }

    /// Returns the counts for the metrics and the notices.
    pub fn counts(&self, policy: &Policy, now: Timestamp, at: Instant) -> Counts {
        self.read(|known| known.counts(policy, now, at))
    }

    /// Whether the episode that holds this budget slot has ended, by the cached record.
    pub fn is_over(&self, node: &str, holder: &Holder) -> bool {
        self.read(|known| known.is_over(node, holder))
    }

    /// Whether the node holds a budget slot for an episode that seems to have ended.
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
    /// `false` until all records were listed, and while the record cannot be read.
    fn is_over(&self, node: &str, holder: &Holder) -> bool {
        self.repairs_listed
            && !self.unreadable.contains(node)
            && self.repairs.get(node).is_none_or(|repair| repair.over || repair.holder.as_ref() != Some(holder))
    }

    /// Returns the budget slots in use, without those of other nodes' ended episodes. If such a
    /// record was deleted, no reconcile of that node gives its slot back.
    fn places_in_use(&self, asks: &str) -> Option<Places> {
        let used = |(node, place): &(&String, &Place)| *node == asks || !self.is_over(node, &place.holder);
        let places = self.places.as_ref()?.iter().filter(used);
        Some(places.map(|(node, place)| (node.clone(), place.clone())).collect())
    }

    fn keep(&mut self, node: &SlimNode) {
        // Do not cache a Node that the watch has not delivered, or has reported deleted.
        if let Some(seen) = self.nodes.get(&node.name_any()) {
            self.cached.node(node, seen.version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Ask;
    use crate::wire::node_repair::NodeRepairStatus;

    #[test]
    fn a_late_answer_does_not_replace_a_newer_record() {
        let record = |uid: &str, version: &str| {
            let mut repair = NodeRepair::default();
            repair.metadata.name = Some("n1".into());
            repair.metadata.uid = Some(uid.into());
            repair.metadata.resource_version = Some(version.into());
            repair
        };
        let fleet = Fleet::default();
        let version = || fleet.board("n1").and_then(|board| board.version);
        fleet.saw_record(&record("a", "100"));
        fleet.saw_record(&record("a", "99"));
        assert_eq!(version().as_deref(), Some("100"));
        fleet.saw_record(&record("b", "9"));
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
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        }
    }

    #[test]
    fn a_recorded_alert_is_news_when_it_changed_or_is_old() {
        let fleet = Fleet::default();
        let mut repair = NodeRepair::default();
        repair.metadata.name = Some("n1".into());
        let status = NodeRepairStatus { complaints: vec![complaint(true, 100, 110)], ..Default::default() };
        repair.status = Some(status);
        let news = |complaint| fleet.is_news("n1", &complaint, Duration::from_secs(300));
        assert!(news(complaint(true, 100, 110)), "the node has no record");
        fleet.saw_record(&repair);
        assert!(!news(complaint(true, 100, 170)), "repeated after one minute");
        assert!(news(complaint(true, 100, 410)), "repeated after five minutes");
        assert!(news(complaint(false, 100, 170)), "resolved");
        assert!(news(complaint(true, 160, 170)), "another firing");
    }

    #[test]
    fn a_slot_of_a_deleted_record_is_not_in_use() {
        let fleet = Fleet::default();
        let holder = Holder { repair_uid: "u".into(), episode: 1 };
        let place = Place { holder, pool: "gpu".into(), since: Timestamp::UNIX_EPOCH };
        fleet.saw_places(Places::from([("gone".to_owned(), place)]));
        let used = |asks| fleet.read(|known| known.places_in_use(asks).expect("places").len());
        assert_eq!(used("other"), 1, "the records are not listed yet");
        fleet.listed_records(&BTreeSet::new());
        assert_eq!(used("other"), 0, "there is no such record");
        assert!(fleet.holds_too_long("gone"));
        assert_eq!(used("gone"), 1, "a node's own slot is given back by its reconcile");
        fleet.saw_unreadable("gone");
        assert_eq!(used("other"), 1, "the record cannot be read");
    }
}
