//! The brakes of a pool: too many nodes ask at once (storm), a rung fails every time (efficacy),
//! too many nodes carry our taints. All are computed from recorded times, so they survive a
//! restart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::budget::Census;
use super::record::{Attempt, Phase, Record, Rung};

/// The limits of the brakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brakes {
    /// Storm: more than this percentage of a pool, and more than [`FEW`] nodes, newly ask within
    /// `storm_window`.
    pub storm_percent: u32,
    pub storm_window: Duration,
    /// A rung stops after this number of failed attempts in a row.
    pub failed_attempts: u32,
    /// Percentage of a pool with our taints at which no further taint is placed.
    pub taint_percent: u32,
    /// If more than this percentage of a pool, and more than [`FEW`] nodes, have a slow network,
    /// the network is at fault, not the node.
    pub slow_percent: u32,
}

/// Three nodes are too few to show a fault of the whole pool.
const FEW: u32 = 3;

/// An episode: when it began, and on which of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub at: Timestamp,
    pub node: u32,
}

/// What the records of a pool show about earlier repairs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// Episodes that asked for a reboot or a reimage.
    pub asked: Vec<Asked>,
    /// Episodes whose alert asked for a person at once, and that are mailed.
    pub asked_people: Vec<Asked>,
    /// Number of nodes.
    pub nodes: u32,
    /// When episodes ended with a healed node.
    pub healed: Vec<Timestamp>,
    /// Rungs that were ordered and have ended: with a proof, or without one.
    pub attempts: Vec<Attempt>,
    /// The slowest boot that we ordered.
    pub slowest_boot: Option<Duration>,
}

impl Past {
    /// Returns the past repairs of one record.
    pub fn of(record: &Record) -> Self {
        let mut past = Self { nodes: 1, ..Self::default() };
        let asked = |at| Asked { at, node: 0 };
        for episode in &record.repair.history {
            let at_once = episode.rung == Rung::Manual && episode.attempts.is_empty();
            if at_once && episode.mailed {
                past.asked_people.push(asked(episode.started_at));
            } else if !at_once && !episode.by_person {
                past.asked.push(asked(episode.started_at));
            }
            if episode.outcome == Phase::Healed {
                past.healed.push(episode.ended_at);
            }
            past.attempts.extend(&episode.attempts);
            past.saw_boot(episode.slowest_boot_seconds);
        }
        if let Some(episode) = record.repair.episode.as_ref().filter(|episode| !episode.phase.is_over()) {
            // What a person asks for is no sign of a common cause.
            let manual = episode.steps.first().is_some_and(|step| step.rung == Rung::Manual);
            if episode.is_mailed_at_once() {
                past.asked_people.push(asked(episode.started_at));
            } else if !manual && !episode.begun_by_person() {
                past.asked.push(asked(episode.started_at));
            }
            past.attempts.extend(episode.attempts());
            past.saw_boot(episode.slowest_boot_seconds);
        }
        past
    }

    fn saw_boot(&mut self, seconds: Option<u32>) {
        self.slowest_boot = self.slowest_boot.max(seconds.map(|seconds| Duration::from_secs(seconds.into())));
    }

    pub fn add(&mut self, other: &Self) {
        let first = self.nodes;
        let numbered = |asked: &Asked| Asked { node: first + asked.node, ..*asked };
        self.asked.extend(other.asked.iter().map(numbered));
        self.asked_people.extend(other.asked_people.iter().map(numbered));
        self.nodes += other.nodes;
        self.healed.extend(&other.healed);
        self.attempts.extend(&other.attempts);
        self.slowest_boot = self.slowest_boot.max(other.slowest_boot);
    }
}

/// Whether a storm limits the repairs of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storm {
    Calm,
    /// Nothing disruptive starts before this time.
    Braking(Timestamp),
    /// The storm has ended: one node at a time, until the first is healed.
    Probation,
}

fn share(members: u32, percent: u32) -> u32 {
    u32::try_from(u64::from(members) * u64::from(percent) / 100).unwrap_or(u32::MAX)
}

/// Returns the state of the last storm of a pool with `members` nodes. Requests before `resumed`,
/// when a person resumed repairs, do not count.
pub fn storm(past: &Past, members: u32, brakes: &Brakes, resumed: Option<Timestamp>, now: Timestamp) -> Storm {
    let counts = |asked: &&Asked| resumed.is_none_or(|resumed| asked.at > resumed);
    let asked = past.asked.iter().filter(counts).copied().collect();
    let Some((_, end)) = storm_of(asked, members, brakes) else { return Storm::Calm };
    if now < end {
        Storm::Braking(end)
    } else if past.healed.iter().any(|healed| *healed > end) || now > long_after(end) {
        Storm::Calm
    } else {
        Storm::Probation
    }
}

/// Returns since when more nodes than `storm_percent` need a person within `storm_window`: one mail
/// that was accepted after this tells of all.
pub fn many_need_a_person(past: &Past, members: u32, brakes: &Brakes, now: Timestamp) -> Option<Timestamp> {
    let (oldest, end) = storm_of(past.asked_people.clone(), members, brakes)?;
    (now < end).then_some(oldest)
}

/// Returns the oldest request of the last storm among these, and when it leaves the window.
fn storm_of(mut asked: Vec<Asked>, members: u32, brakes: &Brakes) -> Option<(Timestamp, Timestamp)> {
    let many = usize::try_from(share(members, brakes.storm_percent).max(FEW)).unwrap_or(usize::MAX);
    asked.sort_unstable();
    let leaves = |at: Timestamp| at.saturating_add(brakes.storm_window).unwrap_or(Timestamp::MAX);
    last_storm(&asked, many, leaves).map(|oldest| (oldest, leaves(oldest)))
}

/// A storm is requests of more than `many` nodes within one window. It lasts until the oldest of
/// them leaves the window. Returns the time of that one, of the last storm; `asked` is sorted.
fn last_storm(asked: &[Asked], many: usize, leaves: impl Fn(Timestamp) -> Timestamp) -> Option<Timestamp> {
    // Requests of each node in the window: one node that asks again and again is no storm.
    let mut inside: BTreeMap<u32, u32> = BTreeMap::new();
    let (mut first, mut last) = (0, None);
    for (index, newest) in asked.iter().enumerate() {
        while asked[first].at < newest.at && leaves(asked[first].at) <= newest.at {
            if let Some(count) = inside.get_mut(&asked[first].node) {
                *count -= 1;
                if *count == 0 {
                    inside.remove(&asked[first].node);
                }
            }
            first += 1;
        }
        *inside.entry(newest.node).or_default() += 1;
        if inside.len() > many {
            last = Some(index);
        }
    }
    let mut nodes = BTreeSet::new();
    let oldest = asked[..=last?].iter().rev().find(|asked| nodes.insert(asked.node) && nodes.len() > many)?;
    Some(oldest.at)
}

/// After this time a storm no longer limits repairs, even if no node was healed.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

fn long_after(end: Timestamp) -> Timestamp {
    end.saturating_add(REMEMBERED).unwrap_or(Timestamp::MAX)
}

/// Whether the last attempts of a rung all failed: their proof, or the reimage itself.
pub fn rung_fails(past: &Past, rung: Rung, brakes: &Brakes, resumed: Option<Timestamp>) -> bool {
    let mut attempts: Vec<&Attempt> = past
        .attempts
        .iter()
        .filter(|attempt| attempt.rung == rung && resumed.is_none_or(|resumed| attempt.at > resumed))
        .collect();
    attempts.sort_by_key(|attempt| attempt.at);
    let last = usize::try_from(brakes.failed_attempts).unwrap_or(usize::MAX);
    attempts.len() >= last && attempts.iter().rev().take(last).all(|attempt| !attempt.passed)
}

/// Whether the pool has reached its limit of tainted nodes.
pub fn taints_are_full(tainted: u32, members: u32, brakes: &Brakes) -> bool {
    // In a small pool the first node may always be tainted.
    tainted >= share(members, brakes.taint_percent).max(1)
}

/// Whether enough nodes are slow to blame the network, not the node.
pub fn many_are_slow(slow: u32, members: u32, brakes: &Brakes) -> bool {
    slow > share(members, brakes.slow_percent).max(FEW)
}

/// Whether more than 10 % of a pool's members, and more than two nodes, are down for other reasons
/// than our repairs, beside the one that asks. Then a common cause is likely.
pub fn many_are_down(Census { members, down }: Census) -> bool {
    const PERCENT: u32 = 10;
    const FEW: u32 = 2;
    down > FEW.max(share(members, PERCENT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{Episode, Mail, MailKind, Repair, Step};
    use crate::core::why::{Reason, Why};

    const BRAKES: Brakes = Brakes {
        storm_percent: 20,
        storm_window: Duration::from_secs(600),
        failed_attempts: 3,
        taint_percent: 50,
        slow_percent: 20,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn past(asked: &[i64], healed: &[i64]) -> Past {
        let times = |seconds: &[i64]| seconds.iter().map(|second| at(*second)).collect();
        let asked = asked.iter().zip(0..).map(|(second, node)| Asked { at: at(*second), node });
        Past { asked: asked.collect(), healed: times(healed), ..Past::default() }
    }

    fn storm_at(asked: &[i64], healed: &[i64], now: i64) -> Storm {
        storm(&past(asked, healed), 10, &BRAKES, None, at(now))
    }

    #[test]
    fn three_nodes_are_no_storm_and_four_within_ten_minutes_are() {
        assert_eq!(storm_at(&[0, 10, 20], &[], 30), Storm::Calm);
        assert_eq!(storm_at(&[0, 10, 20, 599], &[], 599), Storm::Braking(at(600)));
        assert_eq!(storm_at(&[0, 10, 20, 600], &[], 600), Storm::Calm);
        // A fifth of a large pool.
        let many: Vec<i64> = (0..=20).collect();
        assert_eq!(storm(&past(&many, &[]), 100, &BRAKES, None, at(30)), Storm::Braking(at(600)));
        assert_eq!(storm(&past(&many[1..], &[]), 100, &BRAKES, None, at(30)), Storm::Calm);
    }

    #[test]
    fn after_a_storm_one_node_must_heal_before_the_next_starts() {
        let asked = [0, 10, 20, 30];
        assert_eq!(storm_at(&asked, &[], 600), Storm::Probation);
        assert_eq!(storm_at(&asked, &[500], 700), Storm::Probation, "a repair during the storm does not count");
        assert_eq!(storm_at(&asked, &[650], 700), Storm::Calm);
        assert_eq!(storm_at(&asked, &[], 600 + 24 * 3600), Storm::Probation);
        assert_eq!(storm_at(&asked, &[], 601 + 24 * 3600), Storm::Calm);
    }

    #[test]
    fn one_node_that_asks_again_and_again_is_no_storm() {
        let flaps = [0, 120, 240, 360].map(|second| Asked { at: at(second), node: 0 });
        let past = Past { asked: flaps.to_vec(), ..Past::default() };
        assert_eq!(storm(&past, 10, &BRAKES, None, at(400)), Storm::Calm);
        let others = (1..=3).map(|node| Asked { at: at(400), node });
        let past = Past { asked: flaps.into_iter().chain(others).collect(), ..Past::default() };
        assert_eq!(storm(&past, 10, &BRAKES, None, at(401)), Storm::Braking(at(960)));
    }

    #[test]
    fn many_alerts_that_ask_for_a_person_are_one_mail_and_no_storm_of_repairs() {
        let people = Past { asked_people: past(&[0, 10, 20, 30], &[]).asked, ..Past::default() };
        let many = |now| many_need_a_person(&people, 10, &BRAKES, at(now));
        assert_eq!((many(599), many(600)), (Some(at(0)), None));
        assert_eq!(many_need_a_person(&people, 20, &BRAKES, at(30)), None);
        assert_eq!(storm(&people, 10, &BRAKES, None, at(30)), Storm::Calm);
    }

    #[test]
    fn requests_before_a_resume_are_no_storm() {
        let asked = past(&[0, 10, 20, 30], &[]);
        assert_eq!(storm(&asked, 10, &BRAKES, Some(at(30)), at(40)), Storm::Calm);
        assert_eq!(storm(&asked, 10, &BRAKES, Some(at(-1)), at(40)), Storm::Braking(at(600)));
    }

    #[test]
    fn a_continued_storm_brakes_until_its_last_window_ends() {
        assert_eq!(storm_at(&[0, 1, 2, 3, 500], &[], 590), Storm::Braking(at(601)));
    }

    #[test]
    fn an_episode_counts_for_what_its_first_step_asks() {
        let counts = |rung, why| {
            let mut episode = Episode::begin(1, rung, at(0), Reason::new(why, "first"));
            let outcome = episode.why.clone();
            let step = Step::plain(at(0), rung, outcome);
            episode.steps.push(step);
            episode.mails.push(Mail::due(MailKind::Escalation, "<1@x>".into(), at(0)));
            let repair = Repair { episode: Some(episode), ..Repair::default() };
            let past = Past::of(&Record { repair, ..Record::default() });
            (past.asked.len(), past.asked_people.len())
        };
        assert_eq!(counts(Rung::Reboot, Why::Complaint), (1, 0));
        assert_eq!(counts(Rung::Manual, Why::Complaint), (0, 1));
        assert_eq!(counts(Rung::Manual, Why::ChecksDisagree), (0, 1));
        assert_eq!(counts(Rung::Manual, Why::Relapse), (0, 0), "it asks for no reboot, and has its own mail");
        assert_eq!(counts(Rung::Reboot, Why::TaintedByPerson), (0, 0));
    }

    fn attempts(passed: &[bool]) -> Past {
        let attempts =
            passed.iter().zip(0..).map(|(&passed, second)| Attempt { rung: Rung::Reimage, at: at(second), passed });
        Past { attempts: attempts.collect(), ..Past::default() }
    }

    #[test]
    fn a_rung_that_failed_three_times_in_a_row_stops() {
        let fails = |passed: &[bool]| rung_fails(&attempts(passed), Rung::Reimage, &BRAKES, None);
        assert!(!fails(&[false, false]));
        assert!(fails(&[false, false, false]));
        assert!(fails(&[true, false, false, false]));
        assert!(!fails(&[false, false, false, true]));
        assert!(!rung_fails(&attempts(&[false; 3]), Rung::Reboot, &BRAKES, None), "another rung's failures");
        assert!(!rung_fails(&attempts(&[false; 3]), Rung::Reimage, &BRAKES, Some(at(2))), "a person resumed it");
    }

    #[test]
    fn our_taints_take_away_at_most_half_of_a_pool() {
        let full = |tainted, members| taints_are_full(tainted, members, &BRAKES);
        assert!(!full(499, 1000) && full(500, 1000));
        assert!(!full(0, 1) && full(1, 1) && !full(0, 3) && full(1, 3));
    }

    #[test]
    fn many_slow_nodes_are_a_slow_network() {
        let slow = |slow, members| many_are_slow(slow, members, &BRAKES);
        assert!(!slow(3, 4) && slow(4, 4) && !slow(20, 100) && slow(21, 100));
    }
}
