//! The invariants of DESIGN, checked on the truth of the world.

use super::{By, DAY, Fault, HOUR, Machine, World};
use crate::core::brakes::{self, Past};
use crate::core::budget;
use crate::core::decide::{Action, Decision};
use crate::core::notices::{self, Notice, PoolStanding};
use crate::core::pool;
use crate::core::record::{Ask, Complaint, Phase, Rung};
use crate::core::why::Why;

/// A person hears of an unhealthy node within this time, whatever else holds the repair up.
const HEARS: i64 = 3 * DAY;
/// More mails than this about one node within a day are noise.
const MAILS: usize = 5;

impl World {
    /// Checks what a decision is about to record.
    pub(super) fn check_step(&mut self, m: usize, decision: &Decision) {
        let machine = &self.machines[m];
        let phase = |repair: &crate::core::record::Repair| repair.episode.as_ref().map(|e| (e.number, e.phase));
        let (before, after) = (phase(&machine.record.repair), phase(&decision.next));
        let Some(episode) = decision.next.episode.as_ref().filter(|_| before != after) else { return };
        let name = machine.name.clone();
        let new = before.map(|(number, _)| number) != Some(episode.number);
        let by_person = machine.taints.values().any(|by| *by == By::Person);
        if new && episode.by_person() && !by_person {
            return self.violates(|| format!("never-foreign: our own taint on {name} is taken for a person's"));
        }
        let manual =
            machine.record.complaints.iter().any(|complaint| {
                complaint.firing && complaint.ask == Ask::Manual && complaint.since > episode.started_at
            });
        if episode.phase == Phase::Healed {
            if !machine.ready {
                return self.violates(|| format!("never-blind: {name} is healed while it is not Ready"));
            }
            if manual && machine.fault == Fault::Person {
                return self.violates(|| format!("never-lost: {name} is healed while an alert asks for a person"));
            }
        }
        let rung = machine.record.repair.episode.as_ref().map_or(episode.rung, |before| before.rung);
        let drained = before.is_some_and(|(_, phase)| phase == Phase::Waiting) && episode.phase == Phase::Capturing;
        if drained && episode.rung != Rung::Manual {
            self.check_destruction(m, "about to be drained");
        }
        let ordered = [Phase::Reimaging, Phase::Rebooting, Phase::Stabilising, Phase::Proving];
        let gone = episode.phase == Phase::NodeGone && before.is_some_and(|(_, phase)| ordered.contains(&phase));
        if lost(decision) || gone && rung != Rung::Manual {
            *self.lost_in_a_row.entry(rung).or_default() += 1;
        } else if episode.phase == Phase::Healed {
            self.lost_in_a_row.remove(&rung);
        }
    }

    pub(super) fn check_action(&mut self, m: usize, action: &Action) {
        let machine = &self.machines[m];
        if let Action::TakePlace = action {
            let pasts: Vec<Past> = self.machines.iter().map(|machine| Past::of(&machine.record)).collect();
            let limit = budget::places(pool::census(self.members(&pasts), &machine.name), self.policy.budget);
            let used = self.disruptive(Some(m));
            if used >= limit {
                self.violates(|| format!("never-over: {used} nodes are under repair, {limit} may be"));
            }
            let rung = self.machines[m].record.repair.episode.as_ref().map(|episode| episode.rung);
            let lost = rung.and_then(|rung| self.lost_in_a_row.get(&rung)).copied().unwrap_or_default();
            if lost >= self.policy.brakes.failed_attempts {
                self.violates(|| format!("{lost} repairs in a row lost their node, and the next begins"));
            }
        }
    }

    /// The nodes other than `but` that are under disruptive repair.
    fn disruptive(&self, but: Option<usize>) -> u32 {
        let busy = self.machines.iter().enumerate().filter(|(m, machine)| {
            let phase = machine.record.repair.episode.as_ref().map(|episode| episode.phase);
            let disruptive = matches!(
                phase,
                Some(
                    Phase::Capturing
                        | Phase::Draining
                        | Phase::Reimaging
                        | Phase::Rebooting
                        | Phase::Stabilising
                        | Phase::Proving
                )
            );
            Some(*m) != but && disruptive
        });
        u32::try_from(busy.count()).unwrap_or(u32::MAX)
    }

    /// A machine is about to lose its work. A healthy machine that answers loses it only to a check
    /// of this boot that failed, or to a person's word.
    pub(super) fn check_destruction(&mut self, m: usize, what: &str) {
        let machine = &self.machines[m];
        let facts = &machine.facts;
        let episode = machine.record.repair.episode.as_ref();
        let by_person = episode.is_some_and(|episode| machine.taints.get(&episode.rung.taint()) == Some(&By::Person));
        let checked = facts.failed_at.is_some_and(|failed| failed >= facts.event_at) || facts.reimaged;
        if machine.is_well() && machine.agent_runs() && machine.ready && !by_person && !checked {
            let name = machine.name.clone();
            self.violates(|| format!("never-healthy: {name} is healthy and is {what}"));
        }
    }

    /// Checks the cluster at rest.
    pub(super) fn check_state(&mut self) {
        let now = self.now;
        let notices = self.notices();
        // A mail about the pool tells a person, too.
        let stands = |why| notices.iter().any(|notice| notice.why == why);
        let (stopped, full) = (stands(Why::RungNotWorking), stands(Why::TaintLimit));
        self.pool_mailed = stands(Why::ManyNeedPerson).then(|| self.pool_mailed.unwrap_or(self.clock()));
        let (mut wrong, refuses) = (None, self.mail_refuses);
        for machine in &mut self.machines {
            // Of a slow network its alert tells.
            let ours = machine.taints.iter().any(|(key, by)| *by == By::Us && key.is_repair());
            let asks = |complaint: &Complaint| complaint.firing && complaint.ask != Ask::SlowNetwork;
            let fires = machine.record.complaints.iter().any(asks);
            // A person who takes the pool label off takes the node out of our hands.
            let managed = machine.exists && machine.labelled;
            let sick = fires && managed && machine.fault != Fault::None && !machine.silenced;
            // A mail about the open episode was accepted, for whatever the node waited then.
            let open = machine.record.repair.episode.as_ref().filter(|episode| !episode.phase.is_over());
            let heard = open.is_some_and(|episode| episode.mails.iter().any(|mail| mail.accepted_at.is_some()));
            let told_of_pool = stopped || full && open.is_some_and(|episode| episode.why.why == Why::TaintLimit);
            let needs = (ours || sick) && !told_of_pool && !heard && !refuses;
            let facts = &mut machine.facts;
            facts.needs_since = if needs { facts.needs_since.or(Some(now)) } else { None };
            let told = facts.mails.last().copied().into_iter().chain(facts.needs_since).max();
            if let (Some(_), Some(told)) = (facts.needs_since, told)
                && now - told > HEARS
                && facts.mails.iter().all(|mail| Some(*mail) < facts.needs_since)
            {
                wrong = Some(format!("never-silent: {} needs help for days, and no person was told", machine.name));
            }
            facts.mails.retain(|mail| now - mail < 30 * DAY);
            if facts.mails.iter().filter(|mail| now - **mail < DAY).count() > MAILS {
                wrong = Some(format!("{} mails about {} within a day", facts.mails.len(), machine.name));
            }
            if facts.owes_proof && machine.is_in_service() && now - machine.facts.event_at > HOUR {
                wrong = Some(format!("never-blind: {} is in service, unproven since we ended its boot", machine.name));
            }
        }
        wrong = wrong.or_else(|| self.false_alarm(&notices));
        if let Some(wrong) = wrong {
            self.violates(|| wrong);
        }
    }

    /// The notices about the pool that a person gets.
    fn notices(&self) -> Vec<Notice> {
        let pasts: Vec<Past> = self.machines.iter().map(|machine| Past::of(&machine.record)).collect();
        let sums = pool::pooled(self.members(&pasts), None);
        let brakes = &self.policy.brakes;
        let fails = |rung: &Rung| brakes::rung_fails(&sums.past, *rung, brakes, None);
        let standing = PoolStanding {
            nodes: sums.size,
            tainted: sums.tainted,
            places: 1,
            taken: 0,
            waits_since: None,
            storm: brakes::storm(&sums.past, sums.size, brakes, None, self.clock()),
            stopped: [Rung::Reboot, Rung::Reimage].into_iter().filter(fails).collect(),
            need_person: pool::need_a_person(self.members(&pasts), (&sums.past, sums.size), brakes, self.clock()),
            taints_full: sums.refused > 0,
        };
        notices::standing("gpu", &standing, self.clock())
    }

    /// A notice that is not true.
    fn false_alarm(&self, notices: &[Notice]) -> Option<String> {
        let refused = self.machines.iter().any(|machine| {
            let episode = machine.record.repair.episode.as_ref();
            episode.is_some_and(|episode| !episode.phase.is_over() && episode.taint.is_none())
        });
        let asks =
            |machine: &&Machine| !machine.record.complaints.is_empty() || machine.record.repair.episode.is_some();
        let complaining = self.machines.iter().filter(asks).count();
        let mut wrong = notices.iter().filter(|notice| match notice.why {
            Why::TaintLimit => !refused,
            Why::StormBrake | Why::ManyNeedPerson => complaining <= 3,
            _ => false,
        });
        wrong.next().map(|notice| format!("a false alarm: {}", notice.subject))
    }
}

/// Whether the decision ends an ordered boot without a passed proof.
fn lost(decision: &Decision) -> bool {
    decision.next.episode.as_ref().is_some_and(|episode| {
        let whys = [Why::DidNotComeBack, Why::AgentSilent, Why::ReimageFailed];
        episode.phase == Phase::Waiting && whys.contains(&episode.why.why)
    })
}
