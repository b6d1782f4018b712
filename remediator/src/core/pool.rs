//! Sums over the nodes of a pool, for decisions about one node that depend on the others.

use jiff::Timestamp;

use super::brakes::{self, Brakes, Past};
use super::budget::{Census, Holder, Place, Places, Waiter};
use super::record::{Episode, Phase, Record, Rung, Severity};
use super::why::Why;

/// A node of a pool, as far as it affects the others.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    pub name: &'a str,
    /// Its Node exists. Of a deleted one only the past counts, and the budget slot.
    pub exists: bool,
    pub ready: bool,
    pub cordoned: bool,
    /// Cordoned for over a day: it is left to a person.
    pub cordoned_long: bool,
    /// It carries the taint repair-manual.
    pub manual: bool,
    /// It carries a taint of ours, or one is recorded for it.
    pub tainted: bool,
    /// It waits for its first taint, because the pool has reached its limit.
    pub refused: bool,
    /// A complaint about its network fires.
    pub slow: bool,
    /// It holds a budget slot.
    pub holds_place: bool,
    /// Its earlier repairs, if it has a record.
    pub past: Option<&'a Past>,
}

/// The sums over a pool.
#[derive(Debug, Clone, Default)]
pub struct Pooled {
    pub size: u32,
    pub past: Past,
    pub slow: u32,
    pub tainted: u32,
    /// Nodes that were refused a taint.
    pub refused: u32,
}

/// Returns the sums over the members; the taint of the node `asks` is not counted.
pub fn pooled<'a>(members: impl Iterator<Item = Member<'a>>, asks: Option<&str>) -> Pooled {
    let mut pooled = Pooled::default();
    for member in members {
        pooled.size += u32::from(member.exists);
        pooled.tainted += u32::from(member.tainted && Some(member.name) != asks);
        pooled.slow += u32::from(member.slow);
        pooled.refused += u32::from(member.refused);
        if let Some(past) = member.past {
            pooled.past.add(past);
        }
    }
    pooled
}

/// Returns the members whose alerts asked for a person at once within the last `storm_window`, if
/// they are a storm. `past`: of all members, of which there are `size`.
pub fn need_a_person<'a>(
    members: impl Iterator<Item = Member<'a>>,
    (past, size): (&Past, u32),
    brakes: &Brakes,
    now: Timestamp,
) -> Vec<String> {
    if brakes::many_need_a_person(past, size, brakes, now).is_none() {
        return Vec::new();
    }
    let recent = |at: Timestamp| at.saturating_add(brakes.storm_window).is_ok_and(|ends| now < ends);
    let asked = |past: &Past| past.asked_people.iter().any(|asked| recent(asked.at));
    members.filter(|member| member.past.is_some_and(asked)).map(|member| member.name.to_owned()).collect()
}

/// Counts the members, and those that are down. A node that holds a budget slot is down because of
/// our repair and does not count as down; neither does the node `asks`.
pub fn census<'a>(members: impl Iterator<Item = Member<'a>>, asks: &str) -> Census {
    let mut census = Census::default();
    for member in members {
        let left = !member.exists && !member.holds_place;
        if member.name != asks && (member.manual || member.cordoned_long || left) {
            continue;
        }
        census.members += 1;
        let down = !member.ready || member.cordoned;
        if down && member.name != asks && !member.holds_place {
            census.down += 1;
        }
    }
    census
}

/// Whether an episode needs no budget slot any more: it has ended, or a person has the node.
pub fn is_done(episode: &Episode) -> bool {
    episode.phase.is_over() || episode.rung == Rung::Manual
}

/// A node with an open episode, as far as the budget is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Holding<'a> {
    pub node: &'a str,
    pub pool: &'a str,
    /// Of the episode, while it is disruptive.
    pub holder: Option<&'a Holder>,
}

/// Returns the budget slots in use: the union of those in the budget object and of the episodes
/// under disruptive repair, each in the pool that its node belongs to now. The object may have been
/// replaced, and a pool may have been renamed.
pub fn in_use<'a>(places: &Places, holdings: impl Iterator<Item = Holding<'a>>) -> Places {
    let mut places = places.clone();
    for Holding { node, pool, holder } in holdings {
        if let Some(place) = places.get_mut(node) {
            pool.clone_into(&mut place.pool);
        }
        if let Some(holder) = holder {
            let since = places.get(node).map_or(Timestamp::UNIX_EPOCH, |place| place.since);
            places.insert(node.to_owned(), Place { holder: holder.clone(), pool: pool.to_owned(), since });
        }
    }
    places
}

/// Returns the identity of an episode in the budget. `uid`: the record's UID.
pub fn holder(uid: &str, episode: &Episode) -> Holder {
    Holder { repair_uid: uid.to_owned(), episode: episode.number }
}

/// Returns the place of the node's open episode in the queue for a budget slot, if it is queued.
///
/// A brake or a pause stops the whole pool, so its nodes stay queued and resume in their order. A
/// node that stops waiting does not block the others: each is reconciled within a minute.
pub fn waiter_of(node: &str, record: &Record) -> Option<Waiter> {
    let queues = |why| matches!(why, Why::WaitingForBudget | Why::StormBrake | Why::Paused);
    let episode = record.repair.episode.as_ref()?;
    (episode.phase == Phase::Waiting && queues(episode.why.why))
        .then(|| waiter(node, episode, record.severity(episode)))
}

/// Returns the entry in the queue of an episode that asks now.
pub fn waiter(node: &str, episode: &Episode, severity: Severity) -> Waiter {
    Waiter { node: node.to_owned(), severity, rung: episode.rung, since: episode.started_at }
}
