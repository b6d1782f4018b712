//! Step two: decide. Calls `decide` on its own result until an API write or an action is due, so
//! that several small decisions become one patch. Pure: it says what it needs, and the caller
//! fetches it.

use jiff::Timestamp;

use super::sight::{Answers, Needs};
use crate::core::decide::{Action, Decision, decide};
use crate::core::observation::Observation;
use crate::core::policy::Policy;
use crate::core::record::{Episode, Phase, ProvisioningState, Record, Repair};

/// One decision that changes the record.
pub struct Step {
    pub seen: Observation,
    pub before: Repair,
    pub decision: Decision,
}

/// What the record and the observation call for.
pub struct Plan {
    /// Written as one patch. At most the first of them changes a phase, so that each phase is on
    /// record.
    steps: Vec<Step>,
    /// The observation of the last decision, and that decision.
    seen: Observation,
    last: Decision,
    /// An alert that would place a taint is not active by Alertmanager's last answer, which may be
    /// older than the alert.
    unconfirmed: bool,
}

/// What is done next.
pub enum Next {
    /// Record these decisions.
    Write(Vec<Step>),
    /// Act on what is recorded.
    Do { action: Action, seen: Box<Observation>, last: Decision },
    /// Nothing, until something changes or the decision's time comes.
    Rest(Decision),
}

/// More decisions than this in one write would mean that they go in a circle.
const STEPS: usize = 4;

/// Decides on `record` and on what each decision leaves of it. `observe` returns what is known for
/// a record.
pub fn plan(
    mut record: Record,
    mut answers: Answers,
    now: Timestamp,
    policy: &Policy,
    observe: impl Fn(&Record, Answers) -> Observation,
) -> Plan {
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let seen = observe(&record, std::mem::take(&mut answers));
        let decision = decide(&record, &seen, now, policy);
        let changes = decision.next != record.repair;
        let full = steps.len() == STEPS || steps.iter().any(|step| step.newly_asked().is_some());
        if !changes || full || (moves(&record.repair, &decision.next) && !steps.is_empty()) {
            let unconfirmed = unconfirmed(&record, &seen);
            return Plan { steps, seen, last: decision, unconfirmed };
        }
        let before = std::mem::replace(&mut record.repair, decision.next.clone());
        steps.push(Step { seen, before, decision });
    }
}

/// Whether an alert fires, its track has placed no taint, and it is not active by the last answer.
fn unconfirmed(record: &Record, seen: &Observation) -> bool {
    let Some(active) = &seen.active else { return false };
    let repairing = open(&record.repair).is_some_and(|episode| episode.taint.is_some());
    let slow = record.repair.network.as_ref().is_some_and(|track| !track.phase.is_over());
    record.complaints.iter().any(|complaint| {
        let tainted = if complaint.ask.rung().is_some() { repairing } else { slow };
        complaint.firing && !tainted && !active.contains(&complaint.fingerprint)
    })
}

impl Plan {
    pub fn next(self) -> Next {
        let Self { steps, seen, mut last, .. } = self;
        if !steps.is_empty() {
            return Next::Write(steps);
        }
        match last.action.take() {
            Some(action) => Next::Do { action, seen: Box::new(seen), last },
            None => Next::Rest(last),
        }
    }

    /// What the next write or action may not be carried out without.
    ///
    /// Opening an episode, placing its first taint and updating its reason may use cached objects:
    /// a stale resourceVersion makes the API server reject the write. What moves a repair on, ends
    /// it, or has no version to guard it is decided once more on objects that were read for it.
    /// Before anything disruptive Alertmanager is asked, and both are read after that.
    pub fn needs(&self) -> Needs {
        let needs = if self.steps.is_empty() { self.action_needs() } else { self.write_needs() };
        let taints = self.intends_taint();
        let confirmation = taints || self.unconfirmed;
        Needs { taint_lock: taints, confirmation, alerts: self.is_disruptive(), ..needs }
    }

    /// Every write of the record is rejected unless the record is still as it was read.
    fn write_needs(&self) -> Needs {
        let goes_on = |Step { before, decision, .. }: &Step| goes_on(before, &decision.next);
        Needs { node: self.steps.iter().any(goes_on), ..Needs::default() }
    }

    fn action_needs(&self) -> Needs {
        match &self.last.action {
            // Guarded by the versions that they were decided on, or a question that changes
            // nothing.
            None
            | Some(
                Action::PlaceTaint { .. }
                | Action::IssueOrder(_)
                | Action::WithdrawOrder { .. }
                | Action::TakePlace
                | Action::LookAtProvisioning { .. }
                | Action::SendMail(_),
            ) => Needs::default(),
            Some(Action::RemoveTaint { .. }) => Needs { node: true, ..Needs::default() },
            Some(
                Action::Evict(_) | Action::GivePlaceBack | Action::ResetNode { .. } | Action::StartProvisioning { .. },
            ) => Needs { record: true, node: true, ..Needs::default() },
        }
    }

    /// The next write puts the first taint of an episode on record.
    fn intends_taint(&self) -> bool {
        self.steps.iter().any(|Step { before, decision, .. }| {
            let taint = |repair: &Repair| open(repair).is_some_and(|episode| episode.taint.is_some());
            taint(&decision.next) && !taint(before)
        })
    }

    /// The next write or action takes a node out of service, or prepares that.
    fn is_disruptive(&self) -> bool {
        let now = self.steps.is_empty().then_some(self.last.action.as_ref()).flatten();
        self.steps.iter().any(|step| step.sets_out() || step.newly_asked().is_some())
            || matches!(now, Some(Action::IssueOrder(order)) if order.kind.is_disruptive())
    }
}

impl Step {
    /// A rung begins: the node is about to be captured and drained.
    fn sets_out(&self) -> bool {
        let is = |repair: &Repair, phase| repair.episode.as_ref().is_some_and(|episode| episode.phase == phase);
        [Phase::Capturing, Phase::Draining]
            .into_iter()
            .any(|phase| is(&self.decision.next, phase) && !is(&self.before, phase))
    }

    /// The id of the BMC reset or provisioning request that this step puts on record. Only the
    /// reconcile that recorded it knows that it was never sent.
    pub fn newly_asked(&self) -> Option<String> {
        self.new_reset().or_else(|| self.new_provisioning())
    }

    fn new_provisioning(&self) -> Option<String> {
        let asked = |repair: &Repair| {
            let provisioning = repair.episode.as_ref()?.provisioning.as_ref()?;
            (provisioning.state == ProvisioningState::Asked).then(|| provisioning.id.clone())
        };
        asked(&self.decision.next).filter(|id| asked(&self.before).as_ref() != Some(id))
    }

    fn new_reset(&self) -> Option<String> {
        let resets = |repair: &Repair| repair.episode.as_ref().map_or(0, |episode| episode.resets.len());
        let next = self.decision.next.episode.as_ref()?.resets.last()?;
        (resets(&self.decision.next) > resets(&self.before)).then(|| next.id.clone())
    }
}

fn open(repair: &Repair) -> Option<&Episode> {
    repair.episode.as_ref().filter(|episode| !episode.phase.is_over())
}

/// Another phase or another rung than before.
fn moves(before: &Repair, next: &Repair) -> bool {
    let stage = |repair: &Repair| repair.episode.as_ref().map(|episode| (episode.number, episode.rung, episode.phase));
    let network = |repair: &Repair| repair.network.as_ref().map(|track| (track.number, track.phase));
    stage(before) != stage(next) || network(before) != network(next)
}

/// An open episode or network track changes its phase or rung, or ends.
fn goes_on(before: &Repair, next: &Repair) -> bool {
    let network = |repair: &Repair| repair.network.as_ref().filter(|track| !track.phase.is_over()).cloned();
    moves(before, next) && (open(before).is_some() || network(before).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{Mail, MailKind, Rung};
    use crate::core::taint::{Taint, TaintKey};
    use crate::core::why::{Reason, Why};

    fn in_phase(phase: Phase) -> Repair {
        let why = Reason::new(Why::Complaint, String::new());
        let begun = Episode::begin(1, Rung::Reboot, Timestamp::UNIX_EPOCH, why);
        Repair { episode: Some(Episode { phase, ..begun }), ..Repair::default() }
    }

    fn tainted(mut repair: Repair) -> Repair {
        repair.episode.as_mut().expect("an episode").taint = Some(Taint::placing(TaintKey::RepairReboot));
        repair
    }

    fn deciding(next: Repair, action: Option<Action>) -> Decision {
        Decision { next, action, why: Reason::new(Why::Complaint, String::new()), look_again: None }
    }

    fn plan_of(way: &[Repair], action: Option<Action>) -> Plan {
        let steps = way.windows(2).map(|pair| Step {
            seen: Observation::default(),
            before: pair[0].clone(),
            decision: deciding(pair[1].clone(), None),
        });
        let last = deciding(way.last().cloned().unwrap_or_default(), action);
        Plan { steps: steps.collect(), seen: Observation::default(), last, unconfirmed: false }
    }

    const NODE: Needs = Needs {
        node: true,
        record: false,
        pods: false,
        kubelet: false,
        taint_lock: false,
        alerts: false,
        confirmation: false,
    };

    #[test]
    fn opening_and_tainting_use_the_cache_under_the_taint_lock() {
        let waiting = in_phase(Phase::Waiting);
        let opened = plan_of(&[Repair::default(), waiting.clone(), tainted(waiting)], None);
        assert_eq!(opened.needs(), Needs { taint_lock: true, confirmation: true, ..Needs::default() });
        let placing = Action::PlaceTaint { key: TaintKey::RepairReboot, replaces: Default::default() };
        assert_eq!(plan_of(&[], Some(placing)).needs(), Needs::default());
    }

    #[test]
    fn a_repair_moves_on_only_on_a_node_that_was_read_for_it() {
        for (from, to) in
            [(Phase::Rebooting, Phase::Stabilising), (Phase::Proving, Phase::Healed), (Phase::Waiting, Phase::Released)]
        {
            let moved = plan_of(&[tainted(in_phase(from)), tainted(in_phase(to))], None);
            assert_eq!(moved.needs(), NODE, "{from} to {to}");
        }
        assert_eq!(plan_of(&[], Some(Action::RemoveTaint { key: TaintKey::RepairReboot })).needs(), NODE);
    }

    #[test]
    fn an_action_without_a_version_needs_fresh_objects() {
        for action in [Action::Evict(Vec::new()), Action::GivePlaceBack] {
            assert_eq!(plan_of(&[], Some(action)).needs(), Needs { record: true, ..NODE });
        }
        // The sender reads the record that a mail is about.
        let mail = Mail::due(MailKind::Escalation, "m".into(), Timestamp::UNIX_EPOCH);
        assert_eq!(plan_of(&[], Some(Action::SendMail(mail))).needs(), Needs::default());
        assert_eq!(NODE.missing(NODE), None);
        assert_eq!((Needs { record: true, ..NODE }).missing(NODE), Some(Needs { record: true, ..Needs::default() }));
    }

    #[test]
    fn a_rung_that_begins_asks_alertmanager_before_it_reads() {
        let begins = plan_of(&[in_phase(Phase::Waiting), in_phase(Phase::Capturing)], None);
        assert_eq!(begins.needs(), Needs { alerts: true, ..NODE });
        let goes_on = plan_of(&[in_phase(Phase::Rebooting), in_phase(Phase::Stabilising)], None);
        assert!(!goes_on.needs().alerts);
    }
}
