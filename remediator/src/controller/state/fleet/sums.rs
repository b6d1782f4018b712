//! Sums over the nodes of a pool, for one node's decisions and for the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::controller::state::fleet::Known;
use crate::core::brakes;
use crate::core::brakes::Storm;
use crate::core::budget;
use crate::core::budget::{Census, Holder, Places, Seat, Waiter};
use crate::core::notices::{self, PoolStanding};
use crate::core::policy::Policy;
use crate::core::pool::{self, Holding, Member, Pooled};
use crate::core::record::{Ask, Episode, Phase, Record, Rung};
use crate::core::status::NodeState;
use crate::core::taint::TaintKey;
use crate::core::why::Why;
use crate::wire::budget as wire_budget;
use crate::wire::budget::Told;
use ossci_base::words::ClosedWord;

/// A node that was cordoned for longer than this is left to a person and no longer counts.
const CORDONED_LONG: Duration = Duration::from_secs(24 * 3600);

/// The state of a node's pool, as far as it affects this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether it holds a budget slot, or where it is queued. `None` without an episode, and until
    /// all nodes and records were listed.
    pub seat: Option<Seat>,
    pub storm: Storm,
    pub rung_fails: bool,
    pub taints_full: bool,
    /// See [`Observation::shared_mail`](crate::core::observation::Observation::shared_mail).
    pub shared_mail: Option<bool>,
    pub many_slow: bool,
    /// More nodes of the pool are not Ready than faults of single nodes explain.
    pub many_down: bool,
    pub slowest_boot: Option<Duration>,
    pub paused: Option<String>,
}

/// The node whose standing is requested, with the policy and the time.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub node: &'a str,
    /// The record's UID.
    pub uid: &'a str,
    pub record: &'a Record,
    pub policy: &'a Policy,
    pub now: Timestamp,
    pub at: Instant,
}

/// The time in which the repairs of one node are counted.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The counts for the metrics and the notices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Open repairs. A node in no pool counts for the pool with the empty name, here and below.
    pub repairs: BTreeMap<(String, Rung, Phase), i64>,
    pub waiting: BTreeMap<(String, Why), i64>,
    pub slow: BTreeMap<String, i64>,
    /// The nodes that are not well, by name.
    pub states: Vec<NodeState>,
    /// Repairs that ended with a healed node within [`WEEK`], by node; never 0.
    pub healed: BTreeMap<String, i64>,
    /// Why a person has paused everything disruptive.
    pub paused: Option<String>,
    /// Records that cannot be read or contradict themselves.
    pub not_understood: i64,
    pub pools: BTreeMap<String, PoolStanding>,
}

impl Known {
    /// Returns the pool of a node: by its open episode while the policy has that pool, else by its
    /// labels; of a deleted Node by its last episode.
    fn pool_of<'a>(&'a self, node: &str, policy: &Policy) -> Option<&'a str> {
        let repair = self.repairs.get(node);
        let recorded = repair.and_then(|repair| repair.pool.as_deref());
        let recorded = recorded.filter(|name| policy.pools.iter().any(|pool| pool.name == *name));
        let glance = self.nodes.get(node);
        let binding = glance.is_none() || repair.is_some_and(|repair| repair.open.is_some());
        recorded.filter(|_| binding).or_else(|| glance?.pool.as_deref())
    }

    /// Returns the budget slots in use, by the object and by the records. The record of the node
    /// that asks may be newer than the cached one.
    fn in_use(&self, places: &Places, policy: &Policy, asks: Option<(&str, Option<&Holder>)>) -> Places {
        let cached = self.repairs.iter().filter_map(|(node, repair)| {
            let holder = match asks.filter(|(asks, _)| asks == node) {
                Some((_, holder)) => holder,
                None => repair.holder.as_ref().filter(|_| repair.disruptive),
            };
            Some(Holding { node, pool: self.pool_of(node, policy)?, holder })
        });
        pool::in_use(places, cached)
    }

    /// Returns the nodes of a pool, with the budget slots `places`.
    fn members<'a>(
        &'a self,
        pool: &'a str,
        policy: &'a Policy,
        places: &'a Places,
        at: Instant,
    ) -> impl Iterator<Item = Member<'a>> {
        let deleted = self.repairs.keys().filter(|name| !self.nodes.contains_key(*name));
        let names = self.nodes.keys().chain(deleted).filter(move |name| self.pool_of(name, policy) == Some(pool));
        names.map(move |name| {
            let (node, repair) = (self.nodes.get(name), self.repairs.get(name));
            let cordoned = node.and_then(|node| node.cordoned);
            Member {
                name,
                exists: node.is_some(),
                ready: node.is_some_and(|node| node.ready),
                cordoned: cordoned.is_some(),
                cordoned_long: cordoned.is_some_and(|since| at.duration_since(since) > CORDONED_LONG),
                manual: node.is_some_and(|node| node.manual),
                tainted: node.is_some_and(|node| node.tainted || repair.is_some_and(|repair| repair.placing)),
                refused: repair.and_then(|repair| repair.open).is_some_and(|(_, _, why)| why == Why::TaintLimit),
                slow: repair.is_some_and(|repair| repair.firing().any(|complaint| complaint.ask == Ask::SlowNetwork)),
                holds_place: places.contains_key(name),
                past: repair.map(|repair| &repair.past),
            }
        })
    }

    /// Returns the nodes that are queued for a budget slot of the pool.
    fn waiters(&self, pool: &str, policy: &Policy) -> impl Iterator<Item = &Waiter> {
        let waiters = self.repairs.values().filter_map(|repair| repair.waits.as_ref());
        waiters.filter(move |waiter| {
            self.nodes.contains_key(&waiter.node) && self.pool_of(&waiter.node, policy) == Some(pool)
        })
    }

    pub(super) fn counts(&self, policy: &Policy, now: Timestamp, at: Instant) -> Counts {
        let mut counts = Counts { paused: self.switches.paused.clone(), ..Counts::default() };
        let nonsense = self.repairs.iter().filter(|(_, repair)| repair.nonsense).map(|(name, _)| name);
        let not_understood = self.unreadable.iter().chain(nonsense).collect::<BTreeSet<_>>().len();
        counts.not_understood = i64::try_from(not_understood).unwrap_or(i64::MAX);
        for (node, repair) in &self.repairs {
            let pool = || self.pool_of(node, policy).unwrap_or_default().to_owned();
            if repair.network.is_some() {
                *counts.slow.entry(pool()).or_default() += 1;
            }
            if let Some((rung, phase, why)) = repair.open {
                *counts.repairs.entry((pool(), rung, phase)).or_default() += 1;
                if phase == Phase::Waiting {
                    *counts.waiting.entry((pool(), why)).or_default() += 1;
                }
            }
            let recent = repair.past.healed.iter().filter(|at| now.duration_since(**at) < WEEK).count();
            if recent > 0 {
                counts.healed.insert(node.clone(), i64::try_from(recent).unwrap_or(i64::MAX));
            }
        }
        counts.states = self.states(policy);
        let none = Places::new();
        let places = &self.in_use(self.places.as_ref().unwrap_or(&none), policy, None);
        for pool in &policy.pools {
            let members = || self.members(&pool.name, policy, places, at);
            let Pooled { size, past, tainted, refused, .. } = pool::pooled(members(), None);
            let storm = brakes::storm(&past, size, &policy.brakes, self.switches.resumed, now);
            let limit = budget::places(pool::census(members(), ""), policy.budget);
            let taken = places.values().filter(|place| place.pool == pool.name).count();
            let fails = |rung: &Rung| brakes::rung_fails(&past, *rung, &policy.brakes, self.switches.resumed);
            let need_person = pool::need_a_person(members(), (&past, size), &policy.brakes, now);
            let standing = PoolStanding {
                nodes: size,
                tainted,
                places: if storm == Storm::Probation { limit.min(1) } else { limit },
                taken: u32::try_from(taken).unwrap_or(u32::MAX),
                waits_since: self.waiters(&pool.name, policy).map(|waiter| waiter.since).min(),
                storm,
                stopped: [Rung::Reboot, Rung::Reimage].into_iter().filter(fails).collect(),
                need_person,
                taints_full: refused > 0,
            };
            counts.pools.insert(pool.name.clone(), standing);
        }
        counts
    }

    /// Returns the nodes that are not well, by name.
    fn states(&self, policy: &Policy) -> Vec<NodeState> {
        let names: BTreeSet<&String> = self.nodes.keys().chain(self.repairs.keys()).collect();
        let mut all = Vec::new();
        for name in names {
            let state = |rung: &str, phase: &str, why, since, until| NodeState {
                node: name.clone(),
                pool: self.pool_of(name, policy).unwrap_or_default().to_owned(),
                rung: rung.to_owned(),
                phase: phase.to_owned(),
                why,
                since,
                until,
            };
            let before = all.len();
            if let Some(repair) = self.repairs.get(name) {
                let open = repair.open.map(|(rung, phase, why)| (rung.as_str(), phase.as_str(), why));
                all.extend(open.map(|(rung, phase, why)| state(rung, phase, why, Some(repair.since), repair.until)));
                all.extend(repair.network.map(|track| {
                    let rung = TaintKey::SlowNetwork.as_str();
                    state(rung, track.phase.as_str(), track.why, Some(track.since), track.until)
                }));
            }
            if all.len() == before {
                let unwell = self.nodes.get(name).and_then(|node| node.unwell);
                all.extend(unwell.map(|why| state("", "", why, None, None)));
            }
        }
        all
    }

    /// Returns `None` if the node is in no pool.
    pub(super) fn standing(&self, asking: Asking, places: Option<&Places>) -> Option<Standing> {
        let Asking { node, uid, record, policy, now, .. } = asking;
        let episode = record.repair.episode.as_ref();
        let pool = self.pool_of(node, policy)?;
        let holder = episode.filter(|episode| episode.is_disruptive()).map(|episode| pool::holder(uid, episode));
        let places = places.map(|places| self.in_use(places, policy, Some((node, holder.as_ref()))));
        let (places, none) = (places.as_ref(), Places::new());
        let members = || self.members(pool, policy, places.unwrap_or(&none), asking.at);
        let Pooled { size, past, slow, tainted, .. } = pool::pooled(members(), Some(node));
        let census = pool::census(members(), node);
        let storm = brakes::storm(&past, size, &policy.brakes, self.switches.resumed, now);
        let seat =
            episode.zip(places).and_then(|(episode, places)| self.seat(asking, episode, pool, places, storm, census));
        let shared = wire_budget::notice_name(&notices::many_need_person(pool));
        let fails = |episode: &Episode| brakes::rung_fails(&past, episode.rung, &policy.brakes, self.switches.resumed);
        Some(Standing {
            seat,
            storm,
            rung_fails: episode.is_some_and(fails),
            taints_full: brakes::taints_are_full(tainted, size, &policy.brakes),
            shared_mail: brakes::many_need_a_person(&past, size, &policy.brakes, now)
                .map(|since| self.switches.notices.get(&shared).and_then(Told::accepted) >= Some(since)),
            many_slow: brakes::many_are_slow(slow, size, &policy.brakes),
            many_down: brakes::many_are_down(census),
            slowest_boot: past.slowest_boot,
            paused: self.switches.paused.clone(),
        })
    }

    fn seat(
        &self,
        asking: Asking,
        episode: &Episode,
        pool: &str,
        places: &Places,
        storm: Storm,
        census: Census,
    ) -> Option<Seat> {
        let Asking { node, uid, record, policy, .. } = asking;
        if !(self.nodes_listed && self.repairs_listed) {
            return None;
        }
        let limit = budget::places(census, policy.budget);
        let limit = if storm == Storm::Probation { limit.min(1) } else { limit };
        let mut waiting: Vec<Waiter> =
            self.waiters(pool, policy).filter(|waiter| waiter.node != node).cloned().collect();
        waiting.push(pool::waiter(node, episode, record.severity(episode)));
        Some(budget::seat(node, &pool::holder(uid, episode), pool, places, &waiting, limit))
    }
}
