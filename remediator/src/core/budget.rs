//! The budget of a pool: how many nodes may be under disruptive repair at a time, which episodes
//! hold a slot, and which is next.
//!
//! A budget slot belongs to one episode of one record. It is taken before the first disruptive
//! order and released when the episode has ended, or when the node was handed to a person.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::{Rung, Severity};

/// The holder of a budget slot: the record's UID and the episode's number. A node created again, or
/// its next episode, is another holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    pub repair_uid: String,
    pub episode: u32,
}

/// A budget slot in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub holder: Holder,
    pub pool: String,
    pub since: Timestamp,
}

/// The budget slots in use, by node.
pub type Places = BTreeMap<String, Place>;

/// The nodes of a pool that count. A node never counts against itself: the one that asks is in
/// `members`, but not in `down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Census {
    /// All nodes of the pool except those handed to a person: in repair-manual, or cordoned for
    /// long.
    pub members: u32,
    /// The members that are down for other reasons than our repairs: not Ready, or cordoned.
    pub down: u32,
}

/// The size of a pool's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Percentage of the members that may be under disruptive repair, but always one node.
    pub percent: u32,
    /// If more than this percentage of the members, and more than [`FEW_DOWN`], are down, there is
    /// no slot at all.
    pub down_percent: u32,
}

/// Two nodes that are down are too few to show a fault of the whole pool.
const FEW_DOWN: u32 = 2;

/// Returns the number of budget slots: how many nodes may be under disruptive repair now.
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

/// A node that waits for a budget slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    pub node: String,
    pub severity: Severity,
    pub rung: Rung,
    pub since: Timestamp,
}

/// Whether a node holds a budget slot, or where it is in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seat {
    /// It holds a slot for this episode.
    Held,
    /// A slot is free, and this node is next.
    Free,
    /// It waits at `position` in a queue of `of` nodes.
    Waiting { position: u32, of: u32 },
}

/// Returns the state of one node in the queue. Order: the most urgent first, then the higher rung,
/// then the longest wait, then the name. Two controllers with the same data choose the same node.
pub fn seat(node: &str, holder: &Holder, pool: &str, places: &Places, waiting: &[Waiter], limit: u32) -> Seat {
    if places.get(node).is_some_and(|place| place.holder == *holder) {
        return Seat::Held;
    }
    let taken = places.iter().filter(|(name, place)| place.pool == pool && *name != node).count();
    let free = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(taken);
    // A node that has just taken its slot may still look as if it waited.
    let queued = |waiter: &&Waiter| waiter.node == node || !places.contains_key(&waiter.node);
    let mut queue: Vec<&Waiter> = waiting.iter().filter(queued).collect();
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
    fn few_nodes_down_leave_one_slot_and_many_leave_none() {
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
    fn a_slot_of_an_earlier_episode_is_not_held_by_the_next() {
        let places = Places::from([("n1".to_owned(), place("u1", 1, "gpu"))]);
        let me = |episode| Holder { repair_uid: "u1".into(), episode };
        let waiting = [waiter("n1", Rung::Reboot, 1)];
        assert_eq!(seat("n1", &me(1), "gpu", &places, &waiting, 1), Seat::Held);
        assert_eq!(seat("n1", &me(2), "gpu", &places, &waiting, 1), Seat::Free);
    }

    #[test]
    fn urgency_comes_first_then_the_rung_then_the_wait() {
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
    fn a_node_that_has_just_taken_its_slot_is_not_in_the_queue() {
        let places = Places::from([("a".to_owned(), place("ua", 1, "gpu"))]);
        let waiting = [waiter("a", Rung::Reboot, 0), waiter("b", Rung::Reboot, 0)];
        let holder = Holder { repair_uid: "ub".into(), episode: 1 };
        assert_eq!(seat("b", &holder, "gpu", &places, &waiting, 2), Seat::Free);
    }

    #[test]
    fn the_slots_of_another_pool_do_not_count() {
        let places = Places::from([("x".to_owned(), place("ux", 1, "other"))]);
        let holder = Holder { repair_uid: "u1".into(), episode: 1 };
        assert_eq!(seat("n1", &holder, "gpu", &places, &[waiter("n1", Rung::Reboot, 0)], 1), Seat::Free);
    }
}
