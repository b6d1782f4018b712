//! The controller and the agents of the world: the real `decide` on what the world shows, and what
//! its actions and orders do to the machines.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{By, Crash, Fault, Machine, World, at};
use crate::core::brakes::{self, Past, Storm};
use crate::core::budget::{self, Holder, Place, Places};
use crate::core::decide::{Action, Decision, decide};
use crate::core::gates::{self, Around};
use crate::core::observation::{MailAnswer, NodeView, Observation, PodView, ResetAnswer};
use crate::core::outbox::{Accepted, Answer};
use crate::core::policy::POOL;
use crate::core::pool::{self, Holding, Member};
use crate::core::record::{
    AgentReport, AgentState, Mail, MailKind, Order, OrderKind, Phase, Proof, ProofOf, ResetState, Rung,
};
use crate::core::said::Said;
use crate::core::taint::TaintKey;
use crate::core::why::{Reason, Why};

/// The policy's `bmc.deadSeconds`.
const DEAD: i64 = 300;
/// More decisions than this without a rest go in a circle.
const ROUNDS: usize = 60;

impl World {
    /// Lets the controller decide and act until nothing is left to do. Returns the time after which
    /// it wants to look again, the soonest of all machines.
    pub(super) fn reconcile(&mut self) -> Option<i64> {
        let mut soonest: Option<i64> = None;
        // The second round sees what the first left of the budget.
        for _ in 0..2 {
            soonest = None;
            for m in 0..self.machines.len() {
                let look = self.reconcile_one(m);
                soonest = soonest.into_iter().chain(look).min();
            }
        }
        soonest
    }

    fn reconcile_one(&mut self, m: usize) -> Option<i64> {
        let mut answers = (None, None);
        for _ in 0..ROUNDS {
            let seen = self.observation(m, std::mem::take(&mut answers));
            let record = &self.machines[m].record;
            if record.repair.episode.is_none()
                && record.complaints.is_empty()
                && seen.node.as_ref().is_none_or(|n| n.taints.is_empty())
            {
                return None;
            }
            let decision = decide(record, &seen, self.clock(), &self.policy);
            if decision.next != record.repair {
                self.check_step(m, &decision);
                self.machines[m].record.repair = decision.next;
                continue;
            }
            let Decision { action, look_again, .. } = decision;
            match action {
                Some(action) => {
                    if !self.act(m, action, &mut answers) {
                        return look_again.map(seconds);
                    }
                }
                None => return look_again.map(seconds),
            }
        }
        self.violates(|| "always-ends: the decisions go in a circle".to_owned());
        None
    }

    fn observation(&self, m: usize, answers: (Option<MailAnswer>, Option<ResetAnswer>)) -> Observation {
        let machine = &self.machines[m];
        let record = &machine.record;
        let episode = record.repair.episode.as_ref();
        let name = machine.name.as_str();
        // A node at rest needs no comparison with all others.
        let at_rest = episode.is_none_or(|episode| episode.phase.is_over())
            && record.complaints.iter().all(|complaint| !complaint.firing)
            && !self.places.contains_key(name);
        let compared = if at_rest { &[] } else { self.machines.as_slice() };
        let pasts: Vec<Past> = compared.iter().map(|machine| Past::of(&machine.record)).collect();
        let members = || self.members(&pasts);
        let sums = pool::pooled(members(), Some(name));
        let brakes = &self.policy.brakes;
        let storm = brakes::storm(&sums.past, sums.size, brakes, None, self.clock());
        let in_pool = machine.is_member();
        let limit = budget::places(pool::census(members(), name), self.policy.budget);
        let limit = if storm == Storm::Probation { limit.min(1) } else { limit };
        let uid = format!("record-{name}");
        let seat = episode.and_then(|episode| {
            let holder = pool::holder(&uid, episode);
            if !in_pool {
                return self.places.get(name).filter(|place| place.holder == holder).map(|_| budget::Seat::Held);
            }
            let others = self.machines.iter().filter(|other| other.name != name);
            let mut waiting: Vec<_> = others.filter_map(|other| pool::waiter_of(&other.name, &other.record)).collect();
            waiting.push(pool::waiter(name, episode, record.severity(episode)));
            Some(budget::seat(name, &holder, "gpu", &self.places_in_use(), &waiting, limit))
        });
        let rung = episode.map_or(Rung::Reboot, |episode| episode.rung);
        let around = Around {
            skewed: self.skew.abs() > 30,
            several_clusters: false,
            paused: self.paused.then_some("a person pauses"),
            alerts_unknown: false,
            storm,
            rung_fails: episode.is_some() && brakes::rung_fails(&sums.past, rung, brakes, None),
        };
        let halt = gates::halt(around, &self.policy.pools[0], rung, self.clock()).filter(|_| in_pool);
        let closed = self.window_closed.then(|| Reason::new(Why::WindowClosed, "the window is closed"));
        let silenced = if machine.silenced {
            record.complaints.iter().map(|complaint| complaint.fingerprint.clone()).collect()
        } else {
            BTreeSet::new()
        };
        let keeps = self.policy.pools[0].keep_bare_pods;
        let lists = |phase| phase == Phase::Draining || phase == Phase::Waiting && keeps;
        let listed = episode.is_some_and(|episode| lists(episode.phase));
        let pod = PodView {
            namespace: "train".into(),
            name: "job-0".into(),
            uid: "pod-1".into(),
            grace: Duration::from_secs(30),
            ends: true,
            bare: machine.bare_pods,
            local_data: false,
        };
        Observation {
            node: machine.exists.then(|| view(machine)),
            pods: if listed && machine.pods { vec![pod] } else { vec![] },
            mail: answers.0,
            reset: answers.1,
            bmc: self.bmc,
            dead: !machine.ready && machine.silent_since.is_some_and(|since| self.now - since > DEAD),
            many_down: in_pool && brakes::many_are_down(pool::census(members(), name)),
            seat,
            halt: halt.or(closed.filter(|_| in_pool)),
            taints_full: in_pool && brakes::taints_are_full(sums.tainted, sums.size, brakes),
            many_slow: in_pool && brakes::many_are_slow(sums.slow, sums.size, brakes),
            slowest_boot: sums.past.slowest_boot,
            shared_mail: brakes::many_need_a_person(&sums.past, sums.size, brakes, self.clock())
                .map(|since| self.pool_mailed >= Some(since)),
            silenced,
            ..Observation::default()
        }
    }

    pub(super) fn members<'a>(&'a self, pasts: &'a [Past]) -> impl Iterator<Item = Member<'a>> {
        let members = self.machines.iter().zip(pasts).filter(|(machine, _)| machine.is_member());
        members.map(|(machine, past)| {
            let open = machine.record.repair.episode.as_ref().filter(|episode| !episode.phase.is_over());
            Member {
                name: &machine.name,
                exists: machine.exists,
                ready: machine.ready,
                cordoned: machine.cordoned,
                cordoned_long: false,
                manual: machine.taints.contains_key(&TaintKey::RepairManual),
                tainted: !machine.taints.is_empty() || open.is_some_and(|episode| episode.taint.is_some()),
                refused: open.is_some_and(|episode| episode.why.why == Why::TaintLimit),
                slow: machine.slow,
                holds_place: self.places.contains_key(&machine.name),
                past: Some(past),
            }
        })
    }

    /// The budget slots in use, by the budget object and by the records.
    fn places_in_use(&self) -> Places {
        let holders: Vec<_> = self.machines.iter().map(Machine::disruptive_holder).collect();
        let members = self.machines.iter().zip(&holders).filter(|(machine, _)| machine.is_member());
        let holdings =
            members.map(|(machine, holder)| Holding { node: &machine.name, pool: "gpu", holder: holder.as_ref() });
        pool::in_use(&self.places, holdings)
    }

    /// Carries out one action. `false`: nothing more happens now.
    fn act(&mut self, m: usize, action: Action, answers: &mut (Option<MailAnswer>, Option<ResetAnswer>)) -> bool {
        let crash = self.crashes.take();
        if crash == Some(Crash::BeforeTheAction) {
            if let Action::ResetNode { id, .. } = action {
                self.machines[m].left_reset = Some(id);
            }
            return false;
        }
        self.check_action(m, &action);
        let (now, clock, refuses) = (self.now, self.clock(), self.mail_refuses);
        let machine = &mut self.machines[m];
        match action {
            Action::PlaceTaint { key, replaces } => {
                machine.taints.entry(key).or_insert(By::Us);
                machine.taints.retain(|key, _| !replaces.contains(key));
            }
            Action::RemoveTaint { key } => drop(machine.taints.remove(&key)),
            // The pods leave in their own time.
            Action::Evict(_) => return false,
            Action::IssueOrder(order) => machine.record.order = Some(*order),
            Action::WithdrawOrder { .. } => machine.record.order = None,
            Action::SendMail(Mail { message_id, kind, .. }) => {
                let answer = if refuses {
                    Answer::Waits(Some("452 try later".into()))
                } else {
                    // An answer in the thread asks nothing of anybody.
                    if kind != MailKind::Ended {
                        machine.facts.mails.push(now);
                    }
                    machine.facts.owes_proof &= kind != MailKind::Escalation;
                    Answer::Accepted(Accepted::default())
                };
                answers.0 = Some(MailAnswer { message_id, answer });
            }
            // Whether it was sent is not known.
            Action::ResetNode { id, .. } if machine.left_reset.as_ref() == Some(&id) => {
                answers.1 = Some(ResetAnswer { id, state: ResetState::Unknown, message: "left".into() });
            }
            Action::ResetNode { id, .. } => {
                machine.left_reset = crash.map(|_| id.clone());
                self.ends_boot(m);
                answers.1 = Some(ResetAnswer { id, state: ResetState::Sent, message: "reset".into() });
            }
            Action::TakePlace => {
                let episode = machine.record.repair.episode.as_ref().unwrap();
                let holder = Holder { repair_uid: format!("record-{}", machine.name), episode: episode.number };
                let place = Place { holder, pool: "gpu".into(), since: clock };
                self.places.insert(machine.name.clone(), place);
            }
            Action::GivePlaceBack => drop(self.places.remove(&machine.name)),
            Action::StartProvisioning { .. } | Action::LookAtProvisioning { .. } => return false,
        }
        if crash.is_some() {
            *answers = (None, None);
            return false;
        }
        true
    }

    /// The agent of a machine carries out its order, if it has one that it has not begun. Returns
    /// whether it did anything.
    pub(super) fn agent_works(&mut self, m: usize) -> bool {
        let now = self.now;
        let machine = &self.machines[m];
        let Some(order) = machine.record.order.clone() else { return false };
        let reported = machine.record.report_on(&order.id).map(|report| report.state);
        let held_off = reported == Some(AgentState::Inhibited);
        if reported.is_some() && !held_off || !machine.agent_runs() {
            return false;
        }
        let report = |machine: &Machine, state, message: &str| {
            AgentReport::plain(order.id.clone(), machine.boot_id(), state, at(now), message.into())
        };
        let ends = if held_off { order.held_off_until() } else { order.deadline };
        if at(now) > ends {
            let refused = report(machine, AgentState::Refused, "past its deadline");
            self.machines[m].record.agent = Some(refused);
            return true;
        }
        let stands = machine.record.repair.episode.as_ref().and_then(|episode| episode.order_id());
        let guarded = machine.hold
            || order.boot_id != machine.boot_id()
            || stands.as_deref() != Some(order.id.as_str())
            || !machine.taints.keys().any(|key| key.is_repair());
        if order.kind.is_disruptive() && guarded {
            let refused = report(machine, AgentState::Refused, "a guard of the agent");
            self.machines[m].record.agent = Some(refused);
            return true;
        }
        if order.kind == OrderKind::Reboot && machine.inhibited {
            let inhibited = report(machine, AgentState::Inhibited, "held off");
            self.machines[m].record.agent = Some(inhibited);
            return !held_off;
        }
        if order.kind == OrderKind::Reimage && machine.mirror_gone {
            let postponed = report(machine, AgentState::Postponed, "the mirror does not answer");
            self.machines[m].record.agent = Some(postponed);
            return true;
        }
        let done = report(machine, AgentState::Done, "done");
        let machine = &mut self.machines[m];
        match order.kind {
            OrderKind::Capture => machine.record.agent = Some(done),
            OrderKind::Prove => machine.prove(&order, done, now),
            OrderKind::Reimage => {
                machine.record.agent = Some(done);
                self.check_destruction(m, "reimaged");
                let machine = &mut self.machines[m];
                machine.facts.reimaged = true;
                if machine.fault == Fault::Reimage {
                    machine.fault = Fault::Reboot;
                }
            }
            OrderKind::Reboot => {
                machine.record.agent = Some(AgentReport { state: AgentState::Running, ..done });
                let boot = machine.boot;
                if !machine.facts.ended.insert(boot) {
                    self.violates(|| format!("never-two: boot {boot} was ended twice"));
                }
                self.ends_boot(m);
            }
        }
        true
    }

    /// We end the boot of a machine, by an order or by its BMC.
    fn ends_boot(&mut self, m: usize) {
        self.check_destruction(m, "rebooted");
        let machine = &mut self.machines[m];
        machine.facts.owes_proof = true;
        machine.goes_down(self.now);
    }
}

impl Machine {
    /// It belongs to the pool: by its record while a repair is open or its Node is gone, else by
    /// its label.
    fn is_member(&self) -> bool {
        let episode = self.record.repair.episode.as_ref();
        let recorded = episode.is_some_and(|episode| episode.pool.is_some());
        let binding = !self.exists || episode.is_some_and(|episode| !episode.phase.is_over());
        recorded && binding || self.exists && self.labelled
    }

    fn disruptive_holder(&self) -> Option<Holder> {
        let episode = self.record.repair.episode.as_ref().filter(|episode| episode.is_disruptive())?;
        Some(pool::holder(&format!("record-{}", self.name), episode))
    }

    /// The machine's boot ends; the next comes up later, or never.
    pub(super) fn goes_down(&mut self, now: i64) {
        self.up_at = Some(if self.boots_never { i64::MAX } else { now + self.boot_takes });
        self.ready = false;
        self.silent_since = self.silent_since.or(Some(now));
        self.pods = false;
    }

    fn prove(&mut self, order: &Order, report: AgentReport, now: i64) {
        let gpu = order.proof.as_ref().is_some_and(|terms| terms.of == ProofOf::Gpu);
        let proof = match self.fault {
            _ if gpu && self.slow_tools || !gpu && self.slow => Proof::Unknown,
            Fault::None => Proof::Passed,
            _ if gpu => Proof::Failed,
            _ => Proof::Passed,
        };
        if proof == Proof::Failed {
            self.facts.failed_at = Some(now);
        } else if gpu && proof == Proof::Passed {
            self.facts.owes_proof = false;
        }
        self.record.agent = Some(AgentReport { proof: Some(proof), ..report });
    }
}

fn seconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_secs()).unwrap_or(i64::MAX)
}

fn view(machine: &Machine) -> NodeView {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let selected = machine.selected.then(|| label("gpu", "true"));
    let labels = selected.into_iter().chain(machine.labelled.then(|| label(POOL, "gpu"))).collect();
    let marks = machine.marked.then(|| "site/technician".to_owned());
    NodeView {
        name: machine.name.clone(),
        uid: machine.uid(),
        boot_id: machine.boot_id(),
        ready: machine.ready,
        taints: machine.taints.keys().copied().collect(),
        hold: machine.hold.then(|| "a person works here".to_owned()),
        cordoned: machine.cordoned,
        labels,
        system_uuid: None,
        said: None,
        verify: machine.verify.map(|at| Said { at, deed: "verify".to_owned(), text: "a person".to_owned() }),
        adopted: machine.adopted.then(|| "gpu".to_owned()),
        other_taints: marks.into_iter().collect(),
        addresses: vec![],
    }
}
