//! Where one reading leads: what is decided on it, and again on what that decision left, up to the next write or act. The core
//! goes in small steps; those that are about nothing but the record are written as one.

use crate::api::request::RequestError;
use crate::controller::context::Context;
use crate::controller::reconcile::observe;
use crate::controller::reconcile::sight::{Fresh, Sight, Told};
use crate::core::decide::{Action, Decision, decide};
use crate::core::observation::Observation;
use crate::core::record::{Episode, Phase, ProvisioningState, Repair};

/// One decision that changes the record.
pub struct Step {
    pub seen: Observation,
    pub before: Repair,
    pub decision: Decision,
}

pub struct Course {
    /// To be written as one; at most the first of them moves a phase, so that each phase is on record.
    pub steps: Vec<Step>,
    /// What is decided behind them, and what was seen for it.
    pub seen: Observation,
    pub last: Decision,
}

/// More than this in one write would mean that decisions go in a circle.
const STEPS: usize = 4;

pub async fn chart(context: &Context, sight: &Sight, told: &Told) -> Result<Course, RequestError> {
    let (site, now) = (context.site(), context.now());
    let mut record = sight.repair.record();
    let mut told = told.clone();
    let mut steps: Vec<Step> = Vec::new();
    loop {
        let seen = observe::world(context, sight, &record, std::mem::take(&mut told)).await?;
        let decision = decide(&record, &seen, now, &site.policy);
        let changes = decision.next != record.repair;
        let full = steps.len() == STEPS || steps.iter().any(|step| step.newly_asked().is_some());
        if !changes || full || (moves(&record.repair, &decision.next) && !steps.is_empty()) {
            return Ok(Course { steps, seen, last: decision });
        }
        let before = std::mem::replace(&mut record.repair, decision.next.clone());
        steps.push(Step { seen, before, decision });
    }
}

impl Course {
    /// The next write puts the first taint of an episode on record.
    pub fn intends_taint(&self) -> bool {
        self.steps.iter().any(|Step { before, decision, .. }| {
            let taint = |repair: &Repair| open(repair).is_some_and(|episode| episode.taint.is_some());
            taint(&decision.next) && !taint(before)
        })
    }

    /// The next write or act takes a node away from people, or prepares to.
    pub fn is_disruptive(&self) -> bool {
        let now = self.steps.is_empty().then_some(self.last.action.as_ref()).flatten();
        self.steps.iter().any(|step| step.sets_out() || step.newly_asked().is_some())
            || matches!(now, Some(Action::IssueOrder(order)) if order.kind.is_disruptive())
    }

    /// What the next write or act may not take from the watches.
    pub fn needs_fresh(&self) -> Fresh {
        let goes_on = |Step { before, decision, .. }: &Step| goes_on(before, &decision.next);
        if !self.steps.is_empty() {
            // Every write of the record is refused unless it is still as it was read.
            return Fresh { record: false, node: self.steps.iter().any(goes_on) };
        }
        match &self.last.action {
            // Guarded by the versions that they were decided on.
            None
            | Some(
                Action::PlaceTaint { .. } | Action::IssueOrder(_) | Action::WithdrawOrder { .. } | Action::TakePlace,
            ) => Fresh::default(),
            // Asks and changes nothing.
            Some(Action::LookAtProvisioning { .. }) => Fresh::default(),
            Some(Action::RemoveTaint { .. }) => Fresh { record: false, node: true },
            Some(
                Action::Evict(_)
                | Action::GivePlaceBack
                | Action::SendMail { .. }
                | Action::ResetNode { .. }
                | Action::StartProvisioning { .. },
            ) => Fresh { record: true, node: true },
        }
    }
}

impl Step {
    /// A rung sets out: the node is about to be captured and drained.
    fn sets_out(&self) -> bool {
        let is = |repair: &Repair, phase| repair.episode.as_ref().is_some_and(|episode| episode.phase == phase);
        [Phase::Capturing, Phase::Draining]
            .into_iter()
            .any(|phase| is(&self.decision.next, phase) && !is(&self.before, phase))
    }

    /// The reset by a BMC, or the reimage by the provisioning service, that is about to be put on record: only the turn that
    /// did so knows that it was not asked for before.
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

/// Something that was open already comes to another phase or rung, or to its end.
fn goes_on(before: &Repair, next: &Repair) -> bool {
    let network = |repair: &Repair| repair.network.as_ref().filter(|track| !track.phase.is_over()).cloned();
    moves(before, next) && (open(before).is_some() || network(before).is_some())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::record::Rung;
    use crate::core::taint::{Taint, TaintKey};
    use crate::core::why::{Reason, Why};

    fn in_phase(phase: Phase) -> Repair {
        let at = Timestamp::UNIX_EPOCH;
        let episode = Episode {
            number: 1,
            started_at: at,
            rung: Rung::Reboot,
            phase,
            attempt: 1,
            since: at,
            until: None,
            why: Reason::new(Why::Complaint, String::new()),
            node_uid: String::new(),
            boot_id: String::new(),
            taint: None,
            unexpected_boots: 0,
            steps: Vec::new(),
            mails: Vec::new(),
            resets: Vec::new(),
            provisioning: None,
            expected: None,
        };
        Repair { episode: Some(episode), ..Repair::default() }
    }

    fn tainted(mut repair: Repair) -> Repair {
        repair.episode.as_mut().expect("an episode").taint = Some(Taint::placing(TaintKey::RepairReboot));
        repair
    }

    fn deciding(next: Repair, action: Option<Action>) -> Decision {
        Decision { next, action, why: Reason::new(Why::Complaint, String::new()), look_again: None }
    }

    fn course(way: &[Repair], action: Option<Action>) -> Course {
        let steps = way.windows(2).map(|pair| Step {
            seen: Observation::default(),
            before: pair[0].clone(),
            decision: deciding(pair[1].clone(), None),
        });
        let last = deciding(way.last().cloned().unwrap_or_default(), action);
        Course { steps: steps.collect(), seen: Observation::default(), last }
    }

    const NODE: Fresh = Fresh { record: false, node: true };
    const BOTH: Fresh = Fresh { record: true, node: true };

    #[test]
    fn an_episode_is_opened_and_tainted_on_the_word_of_the_watches() {
        let waiting = in_phase(Phase::Waiting);
        let opened = course(&[Repair::default(), waiting.clone(), tainted(waiting)], None);
        assert_eq!(opened.needs_fresh(), Fresh::default());
        assert!(opened.intends_taint());
        let placing = Action::PlaceTaint { key: TaintKey::RepairReboot, replaces: None };
        assert_eq!(course(&[], Some(placing)).needs_fresh(), Fresh::default());
    }

    #[test]
    fn what_moves_a_repair_on_is_decided_on_a_node_that_was_read_for_it() {
        for (from, to) in [
            (Phase::Waiting, Phase::Capturing),
            (Phase::Rebooting, Phase::Stabilising),
            (Phase::Proving, Phase::Healed),
            (Phase::Waiting, Phase::Released),
        ] {
            let moved = course(&[tainted(in_phase(from)), tainted(in_phase(to))], None);
            assert_eq!(moved.needs_fresh(), NODE, "{from} to {to}");
        }
        assert_eq!(course(&[], Some(Action::RemoveTaint { key: TaintKey::RepairReboot })).needs_fresh(), NODE);
    }

    #[test]
    fn what_no_version_guards_is_done_on_nothing_but_what_was_read_for_it() {
        let mail = Action::SendMail { message_id: "m".into() };
        for action in [mail, Action::Evict(Vec::new()), Action::GivePlaceBack] {
            assert_eq!(course(&[], Some(action)).needs_fresh(), BOTH);
        }
        assert!(!NODE.covers(BOTH) && BOTH.covers(NODE));
    }

    #[test]
    fn a_rung_that_sets_out_is_disruptive() {
        assert!(course(&[in_phase(Phase::Waiting), in_phase(Phase::Capturing)], None).is_disruptive());
        assert!(!course(&[in_phase(Phase::Rebooting), in_phase(Phase::Stabilising)], None).is_disruptive());
    }
}
