//! Two searches: every sequence of a few events, and long random runs. Both return the shortest
//! trace of a violation that they find.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use super::event::Event;
use super::{DAY, World};

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Distinct states.
    pub(super) states: usize,
    /// Events that were played.
    pub(super) played: usize,
    /// Each violation once, with its shortest trace.
    pub(super) violations: Vec<(String, Vec<Event>)>,
}

/// Plays every sequence of up to `depth` events; a state that was reached before with as many
/// events left is not played again. Sequences that broke an invariant are not continued.
pub(super) fn every(start: &World, depth: usize, allowed: &dyn Fn(&Event) -> bool) -> Found {
    let mut found = Found::default();
    // One more event each time, so that the first trace is the shortest.
    for depth in 1..=depth {
        let mut reached = HashMap::new();
        let mut trace = Vec::new();
        visit(start, depth, allowed, &mut reached, &mut trace, &mut found);
        found.states = reached.len();
    }
    found
}

fn visit(
    world: &World,
    left: usize,
    allowed: &dyn Fn(&Event) -> bool,
    reached: &mut HashMap<u64, usize>,
    trace: &mut Vec<Event>,
    found: &mut Found,
) {
    if left == 0 {
        return;
    }
    for event in world.events().into_iter().filter(allowed) {
        let mut next = world.clone();
        next.happens(event);
        found.played += 1;
        trace.push(event);
        if let Some(broken) = &next.broken {
            if found.violations.iter().all(|(known, _)| known != broken) {
                found.violations.push((broken.clone(), trace.clone()));
            }
        } else {
            let known = reached.entry(next.key()).or_default();
            if *known < left {
                *known = left;
                visit(&next, left - 1, allowed, reached, trace, found);
            }
        }
        trace.pop();
    }
}

/// Plays a random run of `events` events, most of them the passing of time. Returns the first
/// violation with the shortest trace that leads to it: events that are not needed are left out.
pub(super) fn random(start: &World, seed: u64, events: usize) -> Option<(String, Vec<Event>)> {
    let (mut world, mut trace, mut dice) = (start.clone(), Vec::new(), Dice(seed.wrapping_add(1)));
    for _ in 0..events {
        let event = dice.event(&world);
        world.happens(event);
        trace.push(event);
        if world.broken.is_some() {
            let trace = shortened(start, &trace);
            return broken(start, &trace).map(|broken| (broken, trace));
        }
    }
    None
}

/// Plays a trace up to the first violation.
fn broken(start: &World, trace: &[Event]) -> Option<String> {
    let mut world = start.clone();
    trace.iter().find_map(|event| {
        world.happens(*event);
        world.broken.clone()
    })
}

/// Leaves out every event without which the run still breaks an invariant.
fn shortened(start: &World, trace: &[Event]) -> Vec<Event> {
    let breaks = |trace: &[Event]| broken(start, trace).is_some();
    let mut trace = trace.to_vec();
    // First all events of a node at once: most nodes have no part in it.
    for node in 0..start.machines.len() {
        let others = |event: &&Event| !matches!(event, Event::Node(m, _) if *m == node);
        let less: Vec<Event> = trace.iter().filter(others).copied().collect();
        if breaks(&less) {
            trace = less;
        }
    }
    let mut part = trace.len().div_ceil(2);
    loop {
        let mut at = 0;
        while at < trace.len() {
            let mut less = trace.clone();
            less.drain(at..(at + part).min(less.len()));
            if breaks(&less) {
                trace = less;
            } else {
                at += part;
            }
        }
        if part == 1 {
            return trace;
        }
        part = part.div_ceil(2);
    }
}

/// A small generator of random numbers (splitmix64), the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    /// Nine times of ten time passes. What a person or another program does is undone sooner or
    /// later, because the same event takes it back.
    fn event(&mut self, world: &World) -> Event {
        let rare = self.roll(100);
        match rare {
            0..90 => Event::Tick,
            90..92 => Event::Day,
            _ => {
                let all = world.events();
                all[self.roll(all.len())]
            }
        }
    }
}

impl World {
    /// Returns a key that is equal for states that go on alike: times count from now.
    pub(super) fn key(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        // A week ago is as long ago as a year.
        let ago = |second: i64| (self.now - second).clamp(-2 * DAY, 8 * DAY);
        let since = |time: jiff::Timestamp| ago(time.as_second());
        (
            self.mail_refuses,
            self.skew,
            self.paused,
            self.window_closed,
            self.crashes,
            self.policy.pools[0].mode.to_string(),
        )
            .hash(&mut hash);
        (&self.lost_in_a_row, self.places.keys().collect::<Vec<_>>()).hash(&mut hash);
        for machine in &self.machines {
            (machine.fault, machine.boots_never, machine.pods, machine.exists, machine.ready).hash(&mut hash);
            (
                machine.selected,
                machine.adopted,
                machine.slow_tools,
                machine.slow,
                machine.boot_takes,
                machine.inhibited,
                machine.mirror_gone,
            )
                .hash(&mut hash);
            (
                machine.left_reset.is_some(),
                machine.labelled,
                machine.cordoned,
                machine.kured,
                machine.hold,
                machine.verify.map(since),
                machine.marked,
                machine.answers,
            )
                .hash(&mut hash);
            (&machine.taints, machine.silenced, machine.up_at.map(ago), machine.silent_since.map(ago)).hash(&mut hash);
            let facts = &machine.facts;
            (facts.failed_at > Some(facts.event_at), facts.owes_proof, facts.reimaged, facts.needs_since.map(ago))
                .hash(&mut hash);
            (facts.mails.iter().map(|mail| ago(*mail)).collect::<Vec<_>>(), ago(facts.event_at)).hash(&mut hash);
            let record = &machine.record;
            for complaint in &record.complaints {
                (complaint.ask.to_string(), complaint.firing, since(complaint.since), since(complaint.seen))
                    .hash(&mut hash);
            }
            if let Some(episode) = &record.repair.episode {
                (episode.rung.to_string(), episode.phase.to_string(), episode.attempt.min(3)).hash(&mut hash);
                (episode.why.why.to_string(), since(episode.since), since(episode.started_at)).hash(&mut hash);
                (episode.until.map(since), episode.unexpected_boots, episode.resets.len()).hash(&mut hash);
                (episode.boot_id == machine.boot_id(), episode.node_uid == machine.uid()).hash(&mut hash);
                let taint = |taint: crate::core::taint::Taint| (taint.key, taint.state.to_string(), taint.replaces);
                episode.taint.map(taint).hash(&mut hash);
                for step in &episode.steps {
                    (step.rung.to_string(), step.outcome.why.to_string()).hash(&mut hash);
                }
            }
            if let Some(track) = &record.repair.network {
                (track.phase.to_string(), since(track.since), track.until.map(since), track.flaps()).hash(&mut hash);
                (track.attempt.min(2), track.taint.map(|taint| taint.state.to_string())).hash(&mut hash);
                track.begun.iter().for_each(|begun| since(*begun).hash(&mut hash));
            }
            for past in &record.repair.history {
                (past.rung.to_string(), past.outcome.to_string(), since(past.ended_at)).hash(&mut hash);
                past.slowest_boot_seconds.hash(&mut hash);
                past.attempts.iter().for_each(|attempt| attempt.passed.hash(&mut hash));
            }
            let order = record.order.as_ref();
            order.map(|order| (order.kind.to_string(), order.boot_id == machine.boot_id())).hash(&mut hash);
            let report = record.agent.as_ref();
            let answers = |report: &crate::core::record::AgentReport| {
                let on = order.is_some_and(|order| order.id == report.order_id);
                (on, report.state.to_string(), report.proof.map(|proof| proof.to_string()))
            };
            report.map(answers).hash(&mut hash);
        }
        hash.finish()
    }
}
