//! The invariants of every decision. Each assertion names the invariant that it checks.

use super::*;

pub(super) fn allowed(mode: Option<Mode>, rung: Rung) -> bool {
    match rung {
        Rung::Reboot => mode >= Some(Mode::Reboot),
        Rung::Reimage => mode >= Some(Mode::Reimage),
        Rung::Manual => false,
    }
}

pub(super) fn disruptive(phase: Phase) -> bool {
    matches!(phase, Phase::Capturing | Phase::Draining | Phase::Reimaging | Phase::Rebooting)
}

/// Checks the invariants of one decision.
pub(super) fn hold_invariants(moment: &Moment, decision: &Decision, mode: Option<Mode>) {
    let (record, seen) = (moment.record, moment.seen);
    let (before, after) = (record.repair.episode.as_ref(), decision.next.episode.as_ref());
    let context = || format!("{record:#?}\n{seen:#?}\n{decision:#?}");
    let changed = decision.next != record.repair;
    let entered =
        |phase: Phase| changed && after.is_some_and(|e| e.phase == phase) && before.map(|e| e.phase) != Some(phase);

    assert!(!(changed && decision.action.is_some()), "a decision changes the record or acts: {}", context());
    assert!(!decision.why.message.is_empty(), "never-silent: {}", context());
    let written = Record { repair: decision.next.clone(), ..Record::default() };
    let understood = sense::nonsense(record).is_none();
    assert_eq!(sense::nonsense(&written).is_none(), understood, "what we write makes sense: {}", context());
    assert!(understood || decision.action.is_none(), "what makes no sense is left alone: {}", context());

    if let Some(Action::IssueOrder(order)) = &decision.action
        && order.kind.is_disruptive()
    {
        let node = seen.node.as_ref().expect("never-blind: an order for a node that is not there");
        // An order that an agent has begun keeps the boot it was begun on, and is not begun again.
        let begun = record.report_on(&order.id).is_some();
        assert!(begun || order.boot_id == node.boot_id, "never-two: {}", context());
        assert!(node.taints.contains(&before.unwrap().rung.taint()), "an order without its taint: {}", context());
    }
    // A report from a boot that the Node does not show yet starts no second reimage: its order
    // would name the old boot.
    if let (Some(before), Some(after), Some(node), Some(report)) = (before, after, &seen.node, &record.agent)
        && (before.phase, after.phase) == (Phase::Reimaging, Phase::Reimaging)
        && after.attempt > before.attempt
        && matches!(report.state, AgentState::Interrupted | AgentState::Postponed)
    {
        assert_eq!(report.boot_id, node.boot_id, "never-blind: {}", context());
        assert_eq!(report.boot_id, after.boot_id, "never-two: {}", context());
        let interrupted = report.state == AgentState::Interrupted;
        let asked = node.hold.is_none() && !node.cordoned && node.other_taints.is_empty() && seen.halt.is_none();
        assert!(interrupted || asked, "hands off: {}", context());
        assert!(interrupted || after.until == before.until, "a postponed reimage has one deadline: {}", context());
    }
    if seen.node.is_none() {
        let harmless = match &decision.action {
            // A person has to learn of a machine that the provisioning service never gave back.
            Some(Action::SendMail(_)) => before.unwrap().provisioning.is_some(),
            Some(Action::WithdrawOrder { .. } | Action::GivePlaceBack | Action::LookAtProvisioning { .. }) | None => {
                true
            }
            _ => false,
        };
        assert!(harmless && !entered(Phase::Healed), "never-blind: {}", context());
    }
    if entered(Phase::Healed) {
        let taint = before.and_then(|e| e.taint);
        assert!(taint.is_none_or(|taint| taint.state == TaintState::Removing), "never-blind: {}", context());
    }
    let lets_go = |e: &Episode| e.taint.is_some_and(|taint| taint.state == TaintState::Removing);
    if changed && after.is_some_and(lets_go) && !before.is_some_and(lets_go) {
        let proof = record.agent.as_ref().and_then(|report| report.proof);
        assert_eq!(proof, Some(Proof::Passed), "never-blind: {}", context());
        assert_eq!(seen.node.as_ref().unwrap().boot_id, before.unwrap().boot_id, "never-blind: {}", context());
    }
    if changed && after.is_some_and(|e| disruptive(e.phase)) && !before.is_some_and(|e| disruptive(e.phase)) {
        let node = seen.node.as_ref().unwrap();
        assert!(node.hold.is_none() && !node.cordoned, "hands off: {}", context());
        assert!(node.other_taints.is_empty(), "hands off a node under maintenance: {}", context());
        assert_eq!(seen.halt, None, "a brake, a window, a pause: {}", context());
        let silenced = !seen.silenced.is_empty() && !record.complaints.is_empty();
        assert!(!silenced, "a silenced alert goes on: {}", context());
        assert!(allowed(mode, after.unwrap().rung), "the pool's mode: {}", context());
        assert_eq!(seen.seat, Some(Seat::Held), "never-over: {}", context());
    }
    // A policy that is changed during a rung is followed up to the point of no return.
    let drained = before.is_some_and(|e| e.phase == Phase::Draining && e.rung != Rung::Manual);
    if changed && drained && after.is_some_and(|e| matches!(e.phase, Phase::Reimaging | Phase::Rebooting)) {
        assert!(allowed(mode, after.unwrap().rung), "the pool's mode: {}", context());
    }
    let count = |e: Option<&Episode>| e.map_or(0, |e| e.resets.len());
    if changed && count(after) > count(before) {
        let node = seen.node.as_ref().unwrap();
        assert!(seen.bmc && seen.dead && !seen.many_down && !node.ready, "a reset of what is not dead: {}", context());
        assert!(node.hold.is_none() && !node.cordoned && seen.halt.is_none(), "hands off: {}", context());
        assert_eq!(node.boot_id, after.unwrap().resets.last().unwrap().boot_id, "never-two: {}", context());
        let may_be_sent = |reset: &&Reset| reset.state != ResetState::Failed;
        let sent = before.map_or(0, |e| e.resets.iter().filter(may_be_sent).count());
        assert!(sent < 2, "never-two: {}", context());
    }
    if let Some(Action::ResetNode { boot_id, .. }) = &decision.action {
        let pending = before.unwrap().resets.last().unwrap().state == ResetState::Pending;
        let node = seen.node.as_ref().expect("never-blind: a reset of a node that is not there");
        assert!(pending && *boot_id == node.boot_id, "never-two: {}", context());
    }
    if let Some(Action::StartProvisioning { id, boot_id }) = &decision.action {
        let (episode, node) = (before.unwrap(), seen.node.as_ref().expect("never-blind: a reimage without a node"));
        // The request is recorded before it is sent.
        let asked = Provisioning { id: id.clone(), ..provisioning(ProvisioningState::Asked) };
        assert_eq!(episode.provisioning, Some(asked), "never-two: {}", context());
        assert!(*boot_id == node.boot_id && node.boot_id == episode.boot_id, "never-two: {}", context());
        assert!(node.taints.contains(&TaintKey::RepairReimage), "a reimage without its taint: {}", context());
        assert!(node.hold.is_none() && !node.cordoned && seen.halt.is_none(), "hands off: {}", context());
        assert!(node.other_taints.is_empty() && allowed(mode, Rung::Reimage), "hands off: {}", context());
    }
    // While the service reimages, nothing else does. Only its answer and a new boot lead on to the
    // proof.
    if let Some(before) = before.filter(|e| e.phase == Phase::Reimaging && e.provisioning.is_some()) {
        assert!(!matches!(decision.action, Some(Action::IssueOrder(_))), "never-two: {}", context());
        let done = before.provisioning.as_ref().is_some_and(|known| known.state == ProvisioningState::Done);
        let asked = before.provisioning.as_ref().is_some_and(Provisioning::is_out);
        assert!(done || !asked || !entered(Phase::Stabilising), "never-blind: {}", context());
        assert!(!asked || !entered(Phase::NodeGone), "never-lost: {}", context());
        let back = after.is_some_and(|e| e.phase == Phase::Waiting && e.rung == Rung::Reimage);
        assert!(!asked || !back, "never-two: what may have been asked for is not called back: {}", context());
    }
    let reimaged = before.is_some_and(|e| {
        matches!(e.phase, Phase::Stabilising | Phase::Proving) && e.provisioning.is_some() && e.taint.is_some()
    });
    assert!(!reimaged || !entered(Phase::NodeGone), "never-lost: {}", context());
    if decision.action == Some(Action::GivePlaceBack) {
        let needs =
            before.is_some_and(|e| disruptive(e.phase) || matches!(e.phase, Phase::Stabilising | Phase::Proving));
        let by_hand = before.is_some_and(|e| e.rung == Rung::Manual);
        assert!(!needs || by_hand, "never-over: a budget slot released too soon: {}", context());
    }
    if let Some(Action::PlaceTaint { key, .. } | Action::RemoveTaint { key }) = &decision.action {
        assert_eq!(Some(*key), before.and_then(|e| e.taint).map(|taint| taint.key), "never-foreign: {}", context());
    }
    if let Some(Action::PlaceTaint { key, .. }) = &decision.action {
        // Only a recorded taint is placed; beyond the limit, only a taint that the node has already
        // is recorded.
        assert_eq!(record.repair, decision.next, "{key} without its record: {}", context());
    }
    if seen.taints_full && changed {
        let had = before.is_some_and(|e| e.taint.is_some());
        let has = after.is_some_and(|e| e.taint.is_some());
        let there = seen.node.as_ref().is_some_and(|node| !node.taints.is_empty());
        assert!(!has || had || there || node_is_new(moment), "one taint too many: {}", context());
    }
    let untouched = before.is_none_or(|e| e.taint.is_none() && e.phase == Phase::Waiting);
    if mode.is_none_or(|mode| mode == Mode::Observe) && untouched {
        let acts = !matches!(decision.action, None | Some(Action::GivePlaceBack));
        assert!(!acts && after.is_none_or(|e| e.taint.is_none()), "observe: {}", context());
    }
    if before.is_some_and(|e| !e.phase.is_over()) && after.is_some_and(|e| e.phase.is_over()) {
        assert_eq!(decision.next.history.len(), 1, "never-lost: an end without its account: {}", context());
    }
}

/// Whether the Node was created again since the episode began.
pub(super) fn node_is_new(moment: &Moment) -> bool {
    let (node, episode) = (moment.seen.node.as_ref(), moment.record.repair.episode.as_ref());
    node.zip(episode).is_some_and(|(node, episode)| node.uid != episode.node_uid)
}

/// While nothing else changes, the record comes to rest: no two states undo each other.
pub(super) fn comes_to_rest(record: &Record, seen: &Observation, now: Timestamp, policy: &Policy) {
    let mut record = record.clone();
    for _ in 0..12 {
        let decision = decide(&record, seen, now, policy);
        if decision.next == record.repair {
            return;
        }
        record.repair = decision.next;
    }
    panic!("always-ends: {record:#?}\n{seen:#?}");
}
