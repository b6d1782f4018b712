//! The next action: the first one that the record calls for and the cluster does not show yet.

use jiff::Timestamp;

use super::action::Action;
use super::moment::Moment;
use super::{agent_report, climb, objections, provisioning, transitions};
use crate::core::budget::Seat;
use crate::core::observation::NodeView;
use crate::core::policy::{DrainMode, Mode};
use crate::core::record::{
    Episode, MailKind, NetworkTrack, Order, OrderKind, Phase, ProofOf, ProofTerms, ResetState, Rung,
};
use crate::core::taint::{Taint, TaintState};

/// Returns the first action that the record calls for and the cluster does not show yet.
pub(super) fn wanted(moment: Moment) -> Option<Action> {
    let repair = &moment.record.repair;
    let episode = repair.episode.as_ref().filter(|episode| !episode.phase.is_over());
    let track = repair.network.as_ref().filter(|track| !track.phase.is_over());
    let taints = [episode.and_then(|episode| episode.taint), track.and_then(|track| track.taint)];
    if let Some(node) = &moment.seen.node
        && let Some(action) = taints.into_iter().flatten().find_map(|wanted| taint(wanted, node))
    {
        return Some(action);
    }
    if let Some(action) = order(moment, episode, track) {
        return Some(action);
    }
    if let Some(action) = place(moment, episode) {
        return Some(action);
    }
    let episode = episode.or(repair.episode.as_ref())?;
    if episode.phase.is_over() {
        return mail(moment, episode);
    }
    match episode.phase {
        Phase::Draining => evictions(moment),
        Phase::Reimaging => provisioning::wanted(moment, episode),
        Phase::Rebooting => episode
            .resets
            .last()
            .filter(|reset| reset.state == ResetState::Pending)
            .map(|reset| Action::ResetNode { id: reset.id.clone(), boot_id: reset.boot_id.clone() }),
        Phase::Escalating if transitions::shared_mail(moment, episode).is_some() => None,
        Phase::Waiting | Phase::Escalating => mail(moment, episode),
        _ => None,
    }
}

/// A mail that no server has accepted is in the outbox.
fn mail(moment: Moment, episode: &Episode) -> Option<Action> {
    let due = episode.mails.iter().find(|mail| mail.is_wanted_in(episode.phase))?;
    // In mode observe no person is asked for anything.
    let pool = moment.seen.node.as_ref().and_then(|node| moment.pool(node));
    if due.kind == MailKind::Waiting && pool.is_some_and(|pool| pool.mode == Mode::Observe) {
        return None;
    }
    let answered = moment.seen.mail.as_ref().is_some_and(|answer| answer.message_id == due.message_id);
    (!answered).then(|| Action::SendMail(due.clone()))
}

/// Returns the taint write that is due: an intent still on record has not been seen on the node, or
/// a person added a lower taint beside ours.
fn taint(Taint { key, state, .. }: Taint, node: &NodeView) -> Option<Action> {
    let replaces = key.replaces(&node.taints);
    match state {
        TaintState::Placing => Some(Action::PlaceTaint { key, replaces }),
        TaintState::Removing => Some(Action::RemoveTaint { key }),
        TaintState::Confirmed if replaces.is_empty() || !node.taints.contains(&key) => None,
        TaintState::Confirmed => Some(Action::PlaceTaint { key, replaces }),
    }
}

/// A budget slot is taken when this episode is next in the queue, and released when it is not
/// needed.
fn place(moment: Moment, episode: Option<&Episode>) -> Option<Action> {
    let needed = match (episode, &moment.seen.node) {
        (Some(episode), Some(node)) => objections::needs_place(moment, episode, node),
        (Some(episode), None) => climb::is_ordered(episode),
        _ => false,
    };
    match moment.seen.seat? {
        Seat::Held if !needed => Some(Action::GivePlaceBack),
        Seat::Free if needed && episode?.phase == Phase::Waiting => Some(Action::TakePlace),
        _ => None,
    }
}

/// One order at a time: the repair's, or the network's when no repair is open. Any other order is
/// withdrawn.
fn order(moment: Moment, episode: Option<&Episode>, track: Option<&NetworkTrack>) -> Option<Action> {
    let wanted = match (episode, track) {
        // Without a Node no agent can carry out an order.
        (Some(_), _) if moment.seen.node.is_none() => None,
        (Some(episode), _) => repair_order(moment, episode),
        (None, Some(track)) => network_order(moment, track),
        (None, None) => None,
    };
    match (wanted, &moment.record.order) {
        (Some(wanted), Some(order)) if order.id == wanted.id => None,
        (Some(wanted), _) => Some(Action::IssueOrder(Box::new(wanted))),
        (None, Some(order)) => Some(Action::WithdrawOrder { id: order.id.clone() }),
        (None, None) => None,
    }
}

fn evictions(moment: Moment) -> Option<Action> {
    let node = moment.seen.node.as_ref()?;
    let evicts = moment.pool(node).is_some_and(|pool| pool.drain != DrainMode::None);
    (evicts && !moment.seen.pods.is_empty()).then(|| Action::Evict(moment.seen.pods.clone()))
}

/// No disruptive order is issued before the rung's taint was seen on the node: new pods could land
/// on it.
/// A script's hash is added when the order is written.
fn repair_order(moment: Moment, episode: &Episode) -> Option<Order> {
    let id = episode.order_id()?;
    let tainted = episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    if !tainted && !matches!(episode.phase, Phase::Proving | Phase::Waiting | Phase::Draining) {
        return None;
    }
    let deadline = episode.until.unwrap_or(episode.since);
    let (kind, proof, script) = match episode.phase {
        Phase::Reimaging if episode.provisioning.is_some() => return None,
        Phase::Reimaging => (OrderKind::Reimage, None, Some(moment.reimages(episode).script.clone())),
        Phase::Rebooting => (OrderKind::Reboot, None, None),
        Phase::Capturing => (OrderKind::Capture, None, None),
        _ => {
            let repaired = episode.phase == Phase::Proving;
            let driver = repaired && episode.rung == Rung::Reimage;
            // What failed the last proof can fail the check before the next rung.
            let load_test = moment.policy.proof.load_test.clone().filter(|_| repaired || episode.has_failed_proof());
            let expected = episode.expected.clone();
            let mut terms = ProofTerms { driver, load_test, expected, ..terms(moment, ProofOf::Gpu, episode.since) };
            if !repaired {
                // Three strikes came before: one more failed run is enough.
                terms.failures = 1;
            }
            (OrderKind::Prove, Some(terms), None)
        }
    };
    let releases = moment.reimages(episode).releases.clone().filter(|_| kind == OrderKind::Reimage);
    let (boot_id, issued_at) = (episode.boot_id.clone(), episode.since);
    Some(Order { id, kind, boot_id, issued_at, deadline, proof, script, releases })
}

/// Number of proofs in which a network that flaps has to pass several times in a row.
const FLAPS_PROVEN: u32 = 3;

fn network_order(moment: Moment, track: &NetworkTrack) -> Option<Order> {
    let until = track.until?;
    let mut proof = terms(moment, ProofOf::Network, track.since);
    // Where the runs are too far apart for one order, one pass has to do in the end.
    if track.flaps() && track.attempt <= FLAPS_PROVEN {
        proof.passes = moment.policy.proof.passes;
    }
    Some(Order {
        id: agent_report::network_order_id(track),
        kind: OrderKind::Prove,
        boot_id: moment.seen.node.as_ref().map(|node| node.boot_id.clone()).unwrap_or_default(),
        issued_at: track.since,
        deadline: until,
        proof: Some(proof),
        script: None,
        releases: None,
    })
}

/// A GPU proof needs passes or failures in a row; a network proof runs until it passes once.
fn terms(moment: Moment, of: ProofOf, after: Timestamp) -> ProofTerms {
    let proof = &moment.policy.proof;
    let (passes, failures) = match of {
        ProofOf::Gpu => (proof.passes, proof.failures),
        ProofOf::Network => (1, 0),
    };
    let gap_seconds = u32::try_from(proof.gap.as_secs()).unwrap_or(u32::MAX);
    ProofTerms { of, passes, failures, gap_seconds, driver: false, load_test: None, expected: None, after }
}
