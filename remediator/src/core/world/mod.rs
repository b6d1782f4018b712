//! A small cluster around the real decisions: machines with a true state, the programs on them,
//! people, and a controller that calls `decide` with the real brakes, budget and gates. The search
//! plays sequences of events against it and checks the invariants on the truth, not on the record.
//!
//! A fault is a fact here: "the node is healthy and answers" is no opinion of a check.

mod as_story;
mod controller;
mod event;
mod property;
mod search;
mod traces;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::budget::Places;
use super::decide::table;
use super::policy::{Mode, Policy};
use super::record::{Record, Rung};
use super::taint::TaintKey;

const MINUTE: i64 = 60;
/// How long most machines take from the end of a boot to the next.
const BOOT: i64 = 3 * MINUTE;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What it takes to repair a machine's GPUs; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Fault {
    None,
    Reboot,
    Reimage,
    Person,
}

/// Who placed a taint of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum By {
    Us,
    Person,
}

/// A machine with its Node object, its programs and its record.
#[derive(Debug, Clone)]
struct Machine {
    name: String,
    // The machine itself.
    fault: Fault,
    boot: u32,
    /// When the machine that is down comes up; `None`: it runs.
    up_at: Option<i64>,
    /// Its next boot does not come up.
    boots_never: bool,
    /// How long it takes from the end of a boot to the next.
    boot_takes: i64,
    /// Since when its kubelet has been silent.
    silent_since: Option<i64>,
    pods: bool,
    /// No controller starts its pods again.
    bare_pods: bool,
    // Its Node object.
    exists: bool,
    uid: u32,
    ready: bool,
    /// NFD sees a GPU on the bus, and its label selects the node.
    selected: bool,
    /// It has the pool label, and has had it.
    labelled: bool,
    adopted: bool,
    taints: BTreeMap<TaintKey, By>,
    cordoned: bool,
    /// kured reboots it: it uncordons the node afterwards.
    kured: bool,
    hold: bool,
    /// When a person last asked for a proof.
    verify: Option<Timestamp>,
    marked: bool,
    /// The agent and the exporter run and answer.
    answers: bool,
    /// The GPU tools take longer than any proof may.
    slow_tools: bool,
    /// Its network is slow, and an alert says so.
    slow: bool,
    /// A program holds an inhibitor lock: the host refuses each reboot.
    inhibited: bool,
    /// A reimage script changes nothing and asks for another try.
    mirror_gone: bool,
    /// The reset that a controller had on record when it ended.
    left_reset: Option<String>,
    record: Record,
    silenced: bool,
    facts: Facts,
}

/// What has happened to a machine, for the properties.
#[derive(Debug, Clone, Default)]
struct Facts {
    /// The last thing that happened to the node and that anybody could see.
    event_at: i64,
    /// The last fresh check of this boot that failed.
    failed_at: Option<i64>,
    /// This boot's disk was written anew, so it has to end.
    reimaged: bool,
    /// We ended a boot, and since then no proof has passed, no person released the node, and none
    /// was asked.
    owes_proof: bool,
    /// Boots that we ended.
    ended: BTreeSet<u32>,
    /// When mails about the node were accepted.
    mails: Vec<i64>,
    /// Since when the node has needed something: a fault, or our taint on it.
    needs_since: Option<i64>,
}

/// The cluster.
#[derive(Debug, Clone)]
struct World {
    now: i64,
    /// How far the clock of the controller is ahead of everyone else's.
    skew: i64,
    machines: Vec<Machine>,
    places: Places,
    policy: Policy,
    paused: bool,
    window_closed: bool,
    /// The controller ends at its next action: before it is carried out, or before its answer.
    crashes: Option<Crash>,
    bmc: bool,
    /// No mail server accepts a mail.
    mail_refuses: bool,
    /// When a mail about many nodes that need a person was accepted.
    pool_mailed: Option<Timestamp>,
    /// Attempts of a rung that did not end with a healthy node, in a row.
    lost_in_a_row: BTreeMap<Rung, u32>,
    /// What went wrong first.
    broken: Option<String>,
}

/// When a controller ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Crash {
    BeforeTheAction,
    BeforeItsAnswer,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The cluster begins long after the epoch, so that times in the past can be written.
const BEGIN: i64 = 1_000_000;

impl World {
    fn new(machines: usize) -> Self {
        let machine = |n: usize| Machine {
            name: format!("n{}", n + 1),
            fault: Fault::None,
            boot: 1,
            up_at: None,
            boots_never: false,
            boot_takes: BOOT,
            silent_since: None,
            pods: true,
            bare_pods: false,
            exists: true,
            uid: 1,
            ready: true,
            selected: true,
            labelled: true,
            adopted: true,
            taints: BTreeMap::new(),
            cordoned: false,
            kured: false,
            hold: false,
            verify: None,
            marked: false,
            answers: true,
            slow_tools: false,
            slow: false,
            inhibited: false,
            mirror_gone: false,
            left_reset: None,
            record: Record::default(),
            silenced: false,
            facts: Facts { event_at: BEGIN, ..Facts::default() },
        };
        Self {
            now: BEGIN,
            skew: 0,
            machines: (0..machines).map(machine).collect(),
            places: Places::new(),
            policy: policy(),
            paused: false,
            window_closed: false,
            crashes: None,
            bmc: true,
            mail_refuses: false,
            pool_mailed: None,
            lost_in_a_row: BTreeMap::new(),
            broken: None,
        }
    }

    /// The time by the controller's clock.
    fn clock(&self) -> Timestamp {
        at(self.now + self.skew)
    }

    /// Records the first violation of an invariant.
    fn violates(&mut self, what: impl FnOnce() -> String) {
        if self.broken.is_none() {
            self.broken = Some(what());
        }
    }
}

impl Machine {
    fn is_well(&self) -> bool {
        self.fault == Fault::None && self.up_at.is_none()
    }

    fn is_in_service(&self) -> bool {
        self.exists && self.ready && !self.cordoned && self.taints.is_empty()
    }

    /// Its agent takes orders: it runs, and the pool label keeps it on the node.
    fn agent_runs(&self) -> bool {
        self.answers && self.up_at.is_none() && self.exists && self.labelled
    }

    fn boot_id(&self) -> String {
        format!("boot-{}", self.boot)
    }

    fn uid(&self) -> String {
        format!("uid-{}-{}", self.name, self.uid)
    }
}

/// The shipped policy in mode reimage, but one failed attempt stops a rung: the world is small.
fn policy() -> Policy {
    let mut policy = table::policy(Some(Mode::Reimage));
    policy.brakes.failed_attempts = 1;
    policy
}
