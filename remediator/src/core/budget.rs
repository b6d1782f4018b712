//! How many nodes of a pool may be under disruptive repair at a time, who holds the places, and who is next.
//!
//! A place belongs to one episode of one record. It is taken before the first disruptive order and given back when the
//! episode is over, or when a person has the node.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::{Rung, Severity};

/// Who holds a place: the record's UID and the episode's number, so that a node created again, or its next episode, is
/// somebody else.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub repair_uid: String,
    pub episode: u32,
}

/// One place that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub holder: Holder,
    pub pool: String,
    pub since: Timestamp,
}

/// The places that are taken, by node.
pub type Places = BTreeMap<String, Place>;

/// What of a pool counts. A node never counts against itself, so the one that asks is in `members` and not in `down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// All nodes of the pool but those that a person has: in repair-manual, or cordoned for long.
    pub members: u32,
    /// Of those, the ones that are down for other reasons than a repair of ours: not Ready, or cordoned.
    pub down: u32,
}

/// How large the budget of a pool is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many percent of the members may be under disruptive repair, but always one.
    pub percent: u32,
    /// More members down than this many percent, and than [`FEW_DOWN`], leave no place at all.
    pub down_percent: u32,
}

/// Two nodes that are down say nothing about a pool.
const FEW_DOWN: u32 = 2;

/// How many nodes of the pool may be under disruptive repair now.
pub fn places(census: Census, limits: Limits) -> u32 {
    let share = |percent: u32| {
        let share = u64::from(census.members) * u64::from(percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX)
    };
    let whole = share(limits.percent).max(1);
    match census.down {
        0 => whole,
        down if down > share(limits.down_percent).max(FEW_DOWN) => 0,
        _ => whole.min(1),
    }
}

/// A node that waits for a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    pub node: String,
    pub severity: Severity,
    pub rung: Rung,
    pub since: Timestamp,
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// It holds a place for this very episode.
    Held,
    /// A place is free, and it is this node's turn.
    Free,
    /// It waits: place `position` of `of`.
    Waiting { position: u32, of: u32 },
}

/// Serves the most urgent first, then the higher rung, then who has waited longest, then by name; so two controllers that see the same serve the
/// same.
pub fn seat(node: &str, holder: &Holder, pool: &str, places: &Places, waiting: &[Waiter], limit: u32) -> Seat {
    if places.get(node).is_some_and(|place| place.holder == *holder) {
        return Seat::Held;
    }
    let taken = places.iter().filter(|(name, place)| place.pool == pool && *name != node).count();
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(taken);
    let mut queue: Vec<&Waiter> = waiting.iter().collect();
    queue.sort_by_key(|waiter| (Reverse((waiter.severity, waiter.rung)), waiter.since, &waiter.node));
    let position = queue.iter().position(|waiter| waiter.node == node).unwrap_or(queue.len());
    if position < free {
        return Seat::Free;
    }
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Seat::Waiting { position: count(position + 1), of: count(queue.len().max(position + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { percent: 10, down_percent: 20 };

    fn limit(members: u32, down: u32) -> u32 {
        places(Census { members, down }, LIMITS)
    }

    #[test]
    fn a_tenth_of_the_pool_and_always_one() {
        assert_eq!(
            [limit(1, 0), limit(9, 0), limit(10, 0), limit(19, 0), limit(20, 0), limit(500, 0)],
            [1, 1, 1, 1, 2, 50]
        );
    }

    #[test]
    fn nodes_down_for_other_reasons_leave_one_place_and_many_of_them_none() {
        assert_eq!([limit(100, 1), limit(100, 20), limit(100, 21)], [1, 1, 0]);
        assert_eq!([limit(5, 1), limit(5, 2), limit(5, 3)], [1, 1, 0]);
        assert_eq!(limit(1, 1), 1);
    }

    fn place(uid: &str, episode: u32, pool: &str) -> Place {
        let holder = Holder { repair_uid: uid.into(), episode };
        Place { holder, pool: pool.into(), since: Timestamp::UNIX_EPOCH }
    }

    fn waiter(node: &str, rung: Rung, since: i64) -> Waiter {
        let severity = Severity::Critical;
        Waiter { node: node.into(), severity, rung, since: Timestamp::from_second(since).unwrap() }
    }

    #[test]
    fn a_place_of_an_earlier_episode_is_not_held_and_does_not_count_against_its_node() {
        let places = Places::from([("n1".to_owned(), place("u1", 1, "gpu"))]);
        let me = |episode| Holder { repair_uid: "u1".into(), episode };
        let waiting = [waiter("n1", Rung::Reboot, 1)];
        assert_eq!(seat("n1", &me(1), "gpu", &places, &waiting, 1), Seat::Held);
        assert_eq!(seat("n1", &me(2), "gpu", &places, &waiting, 1), Seat::Free);
    }

    #[test]
    fn the_most_urgent_is_served_first_then_the_higher_rung_and_then_who_waited_longest() {
        let warned = Waiter { severity: Severity::Warning, ..waiter("d", Rung::Reimage, 0) };
        let waiting =
            [waiter("a", Rung::Reboot, 1), waiter("b", Rung::Reimage, 9), waiter("c", Rung::Reboot, 0), warned];
        let at = |node: &str, limit| {
            let holder = Holder { repair_uid: node.into(), episode: 1 };
            seat(node, &holder, "gpu", &Places::new(), &waiting, limit)
        };
        assert_eq!(at("b", 1), Seat::Free);
        assert_eq!(at("c", 1), Seat::Waiting { position: 2, of: 4 });
        assert_eq!(at("a", 2), Seat::Waiting { position: 3, of: 4 });
        assert_eq!(at("a", 3), Seat::Free);
        assert_eq!(at("d", 3), Seat::Waiting { position: 4, of: 4 });
    }

    #[test]
    fn another_pools_places_do_not_count() {
        let places = Places::from([("x".to_owned(), place("ux", 1, "other"))]);
        let holder = Holder { repair_uid: "u1".into(), episode: 1 };
        assert_eq!(seat("n1", &holder, "gpu", &places, &[waiter("n1", Rung::Reboot, 0)], 1), Seat::Free);
    }
}
