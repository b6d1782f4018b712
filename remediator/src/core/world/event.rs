//! The events of the world: what time, machines, people and other programs do.

use std::fmt;

use jiff::Timestamp;

use super::{BOOT, By, Crash, DAY, Fault, HOUR, MINUTE, Machine, World, at};
use crate::core::policy::Mode;
use crate::core::record::{Ask, Complaint, Phase};
use crate::core::taint::TaintKey;

/// How long three strikes take.
const STRIKES: i64 = 90;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The agents carry out what they were ordered, or time passes until something is due.
    Tick,
    /// A day passes.
    Day,
    /// A person closes the pool's window or opens it.
    Window,
    /// Somebody replaces the budget object: it holds no slot any more.
    Budget,
    /// A person pauses all repairs, and resumes them.
    Pause,
    /// A person allows the pool no more than its taints, and everything again.
    Mode,
    /// The mail server stops accepting mails; and accepts them again.
    Mail,
    /// The controller's clock is set an hour ahead, or back; and set right again.
    Clock(i64),
    /// The controller ends at its next action.
    Crash(Crash),
    Node(usize, Deed),
}

/// What happens to one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// A fault that three strikes report.
    Breaks(Fault),
    /// A fault that only a person repairs, reported by an alert that asks for one.
    Hardware,
    /// The fault passes by itself, or a person removed its cause.
    Passes,
    /// The alert resolves.
    Resolves,
    Reboots,
    Dies,
    /// The next boot does not come up.
    WillNotBoot,
    /// Its boots take 40 min, and 3 min again.
    SlowBoots,
    /// NFD removes its label, because no GPU is on the bus; and sets it again.
    Nfd,
    /// A person takes the pool label off, and puts it on again.
    Label,
    /// The agent and the exporter stop answering; and answer again.
    Answers,
    /// The GPU tools become slow for some time.
    SlowTools,
    /// The network becomes slow, and well again; its alert follows.
    SlowNetwork,
    /// A program takes an inhibitor lock, and gives it back.
    Inhibitor,
    /// The mirror of a reimage does not answer; and answers again.
    Mirror,
    /// kured cordons the node, reboots it and uncordons it.
    Kured,
    /// The cluster autoscaler marks the node, and removes it with its machine.
    ScaledDown,
    /// The kubelet stops reporting; and reports again.
    Kubelet,
    Deleted,
    Created,
    /// A person does these, and takes them back.
    Cordon,
    Hold,
    Mark,
    Silence,
    /// A person places a taint of ours.
    Taint(TaintKey),
    /// A person removes the highest repair taint.
    Release,
    /// A person says that the node is repaired, and asks for a proof.
    Verify,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(m, deed) => write!(f, "n{}: {deed:?}", m + 1),
            other => write!(f, "{other:?}"),
        }
    }
}

impl World {
    /// Returns the events that can happen now.
    pub(super) fn events(&self) -> Vec<Event> {
        let mut all =
            vec![Event::Tick, Event::Day, Event::Window, Event::Budget, Event::Pause, Event::Mode, Event::Mail];
        all.extend([HOUR, -HOUR].map(Event::Clock));
        if self.crashes.is_none() {
            all.extend([Crash::BeforeTheAction, Crash::BeforeItsAnswer].map(Event::Crash));
        }
        for (m, machine) in self.machines.iter().enumerate() {
            all.extend(machine.deeds().into_iter().map(|deed| Event::Node(m, deed)));
        }
        all
    }

    /// Lets an event happen, then the controller decide and act.
    pub(super) fn happens(&mut self, event: Event) {
        match event {
            Event::Tick => self.tick(),
            Event::Day => {
                let ends = self.now + DAY;
                while self.now < ends {
                    self.tick();
                }
            }
            Event::Window => {
                self.window_closed = !self.window_closed;
                self.all_saw_an_event();
            }
            Event::Pause => {
                self.paused = !self.paused;
                self.all_saw_an_event();
            }
            Event::Mode => {
                let mode = &mut self.policy.pools[0].mode;
                *mode = if *mode == Mode::Taint { Mode::Reimage } else { Mode::Taint };
                self.all_saw_an_event();
            }
            Event::Mail => {
                self.mail_refuses = !self.mail_refuses;
                self.all_saw_an_event();
            }
            Event::Clock(skew) => self.skew = if self.skew == 0 { skew } else { 0 },
            Event::Crash(crash) => self.crashes = Some(crash),
            Event::Budget => self.places.clear(),
            Event::Node(m, deed) => {
                self.now += 1;
                self.does(m, deed);
            }
        }
        self.reconcile();
        self.check_state();
    }

    /// What is decided next needs a check that is newer than this.
    fn all_saw_an_event(&mut self) {
        let now = self.now;
        self.machines.iter_mut().for_each(|machine| machine.facts.event_at = now);
    }

    /// The agents carry out their orders and pods leave; if there is nothing of that, time passes
    /// until something is due.
    pub(super) fn tick(&mut self) {
        let mut worked = false;
        for m in 0..self.machines.len() {
            worked |= self.agent_works(m);
            let machine = &mut self.machines[m];
            let drains = machine.record.repair.episode.as_ref().is_some_and(|e| e.phase == Phase::Draining);
            if drains && machine.pods && machine.ready {
                machine.pods = false;
                worked = true;
            }
        }
        if worked {
            self.now += 10;
        } else {
            let look = self.reconcile().map(|wait| self.now + wait.max(1));
            let ups = self.machines.iter().filter_map(|machine| machine.up_at).filter(|at| *at > self.now);
            let next = ups.chain(look).min().unwrap_or(i64::MAX);
            self.now = next.min(self.now + HOUR);
        }
        // The controller reads the alerts that fire again and again.
        let now = self.clock();
        let broken = self.machines.iter_mut().filter(|machine| machine.fault != Fault::None || machine.slow);
        let complaints = broken.flat_map(|machine| &mut machine.record.complaints);
        complaints.filter(|complaint| complaint.firing).for_each(|complaint| complaint.seen = now);
        for m in 0..self.machines.len() {
            if self.machines[m].up_at.is_some_and(|at| at <= self.now) {
                self.machines[m].comes_up(self.now);
            }
        }
        self.reconcile();
        self.check_state();
    }

    fn does(&mut self, m: usize, deed: Deed) {
        let now = self.now;
        let begins_slow = deed == Deed::SlowNetwork && !self.machines[m].slow;
        if begins_slow || matches!(deed, Deed::Breaks(_) | Deed::Hardware) {
            self.now += STRIKES;
        }
        let clock = self.clock();
        let machine = &mut self.machines[m];
        match deed {
            Deed::Breaks(fault) => machine.breaks(fault, Ask::Reboot, now, clock),
            Deed::Hardware => machine.breaks(Fault::Person, Ask::Manual, now, clock),
            other => machine.does(other, now, clock),
        }
    }
}

impl Machine {
    fn deeds(&self) -> Vec<Deed> {
        let of_gpus = |complaint: &Complaint| complaint.firing && complaint.ask != Ask::SlowNetwork;
        let fires = self.record.complaints.iter().any(of_gpus);
        let repairs = self.taints.keys().any(|key| key.is_repair());
        let runs = self.up_at.is_none();
        let heard = self.exists && self.answers && self.labelled && runs && !repairs;
        let mut all = Vec::new();
        let mut may = |possible: bool, deeds: &[Deed]| {
            if possible {
                all.extend_from_slice(deeds);
            }
        };
        let faults = [Deed::Breaks(Fault::Reboot), Deed::Breaks(Fault::Reimage), Deed::Breaks(Fault::Person)];
        may(heard && self.fault == Fault::None, &faults);
        may(self.exists && self.fault == Fault::None, &[Deed::Hardware]);
        may(self.fault != Fault::None, &[Deed::Passes]);
        may(fires && (self.fault == Fault::None || repairs), &[Deed::Resolves]);
        may(runs, &[Deed::Reboots, Deed::Dies]);
        may(!self.boots_never, &[Deed::WillNotBoot]);
        may(self.exists, &[Deed::Nfd, Deed::Label, Deed::Cordon, Deed::Hold, Deed::Mark, Deed::Deleted]);
        may(true, &[Deed::Answers, Deed::SlowBoots, Deed::SlowTools, Deed::SlowNetwork, Deed::Inhibitor, Deed::Mirror]);
        may(self.exists && runs, &[Deed::Kubelet, Deed::ScaledDown]);
        may(self.exists && runs && !self.cordoned, &[Deed::Kured]);
        may(!self.exists && runs, &[Deed::Created]);
        may(fires, &[Deed::Silence]);
        for key in [TaintKey::RepairReboot, TaintKey::RepairReimage, TaintKey::RepairManual] {
            may(self.exists && !self.taints.contains_key(&key), &[Deed::Taint(key)]);
        }
        may(self.exists && repairs, &[Deed::Release, Deed::Verify]);
        all
    }

    fn breaks(&mut self, fault: Fault, ask: Ask, now: i64, clock: Timestamp) {
        self.fault = fault;
        self.complains(ask, now, clock);
    }

    /// An alert fires after three strikes. `now`: when the first was seen.
    fn complains(&mut self, ask: Ask, now: i64, clock: Timestamp) {
        let (since, seen) = (at(now + STRIKES - 1), clock);
        let fingerprint = format!("f-{ask}");
        self.record.complaints.retain(|complaint| complaint.fingerprint != fingerprint);
        let check = match ask {
            Ask::Manual => "site-hardware",
            Ask::SlowNetwork => "network",
            _ => "rocm-smi",
        };
        self.record.complaints.push(Complaint {
            fingerprint,
            ask,
            check: check.into(),
            since,
            seen,
            firing: true,
            summary: "three strikes".into(),
            labels: Default::default(),
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        });
    }

    fn does(&mut self, deed: Deed, now: i64, clock: Timestamp) {
        let toggled = |on: &mut bool| {
            *on = !*on;
            !*on
        };
        // What others can see, and what ends something that kept the repair from starting.
        let seen = match deed {
            Deed::Passes => {
                self.fault = Fault::None;
                false
            }
            Deed::Resolves => {
                let of_gpus = |complaint: &&mut Complaint| complaint.ask != Ask::SlowNetwork;
                for complaint in self.record.complaints.iter_mut().filter(of_gpus) {
                    (complaint.firing, complaint.seen) = (false, clock);
                }
                true
            }
            Deed::Reboots | Deed::Dies => {
                self.goes_down(now);
                if deed == Deed::Dies {
                    self.up_at = Some(i64::MAX);
                }
                true
            }
            Deed::WillNotBoot => {
                self.boots_never = true;
                false
            }
            Deed::SlowBoots => {
                self.boot_takes = if self.boot_takes == BOOT { 40 * MINUTE } else { BOOT };
                false
            }
            Deed::Nfd => {
                self.selected = !self.selected;
                self.adopt();
                false
            }
            Deed::Label => {
                self.labelled = !self.labelled;
                false
            }
            Deed::Answers => {
                self.answers = !self.answers;
                false
            }
            Deed::SlowTools => {
                self.slow_tools = !self.slow_tools;
                false
            }
            Deed::SlowNetwork => {
                self.slow = !self.slow;
                let of_network = |complaint: &&mut Complaint| complaint.ask == Ask::SlowNetwork;
                for complaint in self.record.complaints.iter_mut().filter(of_network) {
                    (complaint.firing, complaint.seen) = (false, clock);
                }
                if self.slow {
                    self.complains(Ask::SlowNetwork, now, clock);
                }
                false
            }
            Deed::Inhibitor => {
                self.inhibited = !self.inhibited;
                false
            }
            Deed::Mirror => {
                self.mirror_gone = !self.mirror_gone;
                false
            }
            Deed::Kured => {
                (self.cordoned, self.kured) = (true, true);
                self.goes_down(now);
                true
            }
            Deed::ScaledDown => {
                self.goes_down(now);
                self.up_at = Some(i64::MAX);
                self.does(Deed::Deleted, now, clock);
                true
            }
            Deed::Kubelet => {
                self.ready = !self.ready;
                self.silent_since = (!self.ready).then_some(now);
                false
            }
            Deed::Deleted => {
                self.exists = false;
                self.taints.clear();
                self.pods = false;
                self.ready = false;
                true
            }
            Deed::Created => {
                self.exists = true;
                self.uid += 1;
                self.ready = true;
                self.silent_since = None;
                self.cordoned = false;
                self.hold = false;
                self.marked = false;
                (self.labelled, self.adopted) = (false, false);
                self.adopt();
                true
            }
            Deed::Cordon => toggled(&mut self.cordoned),
            Deed::Hold => toggled(&mut self.hold),
            Deed::Mark => toggled(&mut self.marked),
            Deed::Silence => toggled(&mut self.silenced),
            Deed::Taint(key) => {
                self.taints.insert(key, By::Person);
                false
            }
            Deed::Release => {
                let highest = self.taints.keys().rev().find(|key| key.is_repair()).copied();
                highest.and_then(|key| self.taints.remove(&key));
                self.facts.owes_proof = false;
                false
            }
            Deed::Verify => {
                self.verify = Some(clock);
                false
            }
            Deed::Breaks(_) | Deed::Hardware => false,
        };
        if seen {
            self.facts.event_at = now;
        }
    }

    /// The controller puts the pool label on a Node that is selected and never had it.
    fn adopt(&mut self) {
        if self.selected && !self.adopted {
            (self.labelled, self.adopted) = (true, true);
        }
    }

    /// The next boot of a machine that was down.
    pub(super) fn comes_up(&mut self, now: i64) {
        self.up_at = None;
        self.cordoned &= !std::mem::take(&mut self.kured);
        self.boot += 1;
        self.ready = self.exists;
        self.silent_since = None;
        self.pods = true;
        self.facts.event_at = now;
        self.facts.failed_at = None;
        self.facts.reimaged = false;
        if self.fault == Fault::Reboot {
            self.fault = Fault::None;
        }
    }
}
