//! A reimage by the site's provisioning service. The request is recorded before it is sent, under
//! an id that the service stores. If the outcome is unknown, the same id is sent again, so no
//! second reimage starts. A sent request is not called back. The service's answer is no proof: the
//! checks on the new boot are.

use std::time::Duration;

use jiff::Timestamp;

use super::action::Action;
use super::moment::{Moment, Opinion};
use super::objections::called_off;
use super::transitions::{
    UNEXPECTED_BOOTS, climb_to, escalating, mailing, noting, stabilising, stays, stays_because, to,
};
use crate::core::observation::{NodeView, ProvisioningAnswer};
use crate::core::record::{Episode, Phase, Provisioning, ProvisioningState, Rung};
use crate::core::taint::TaintState;
use crate::core::why::{Reason, Why};

/// How long to wait for the Node of a machine that was handed to a person: it may come back with
/// its new system.
const COMES_BACK: Duration = Duration::from_secs(24 * 3600);

/// Returns the reimage that the episode begins now, if the site has a provisioning service.
pub(super) fn begun(moment: Moment, episode: &Episode) -> Option<Provisioning> {
    let provisioning = moment.policy.provisioning.as_ref().filter(|_| !moment.reimages(episode).by_script);
    let service = provisioning?.service.clone();
    // The time makes the id unique even after the record was deleted.
    let (number, rung, attempt) = (episode.number, episode.rung, episode.attempt);
    let id = format!("{number}-{rung}-{attempt}-{}", moment.now.as_second());
    Some(Provisioning { id, service, state: ProvisioningState::Pending })
}

/// The phase Reimaging with a provisioning service. Without its old system a machine may have no
/// `node`.
pub(super) fn reimaging(
    moment: Moment,
    episode: &Episode,
    provisioning: &Provisioning,
    node: Option<&NodeView>,
) -> Opinion<Episode> {
    let answer = moment.seen.provisioned.as_ref().filter(|answer| answer.id == provisioning.id);
    if let Some(answer) = answer.filter(|answer| answer.state != provisioning.state) {
        return adopt(moment, episode, provisioning, answer);
    }
    let late = is_late(moment, episode);
    match (provisioning.state, answer, node) {
        (ProvisioningState::Pending, answer, Some(node)) => {
            pending(moment, episode, provisioning, node, answer.map(|answer| answer.message.as_str()))
        }
        (ProvisioningState::Done, _, Some(node)) if node.boot_id != episode.boot_id => {
            let why = Reason::new(Why::NewBoot, format!("the node is on a new boot, {}", node.boot_id));
            stabilising(moment, episode.clone(), node, why)
        }
        (ProvisioningState::Done, ..) if late => {
            let text = "the provisioning service reports the node as reimaged, but no new boot ID was seen";
            climb_to(moment, episode, Rung::Manual, Reason::new(Why::DidNotComeBack, text))
        }
        (ProvisioningState::Done, ..) => stays(episode, episode.until.map(|until| moment.until(until))),
        (_, None, _) if is_ours(moment, provisioning) => stays(episode, None),
        (_, answer, _) => {
            let said = answer.map_or(ANOTHER, |answer| answer.message.as_str());
            if late {
                return failed(moment, episode, format!("the reimage did not finish by its deadline: {said}"));
            }
            let objection = node.and_then(|node| called_off(moment, episode, node));
            let asked = provisioning.state == ProvisioningState::Asked;
            let why = objection.filter(|_| asked).unwrap_or_else(|| Reason::new(Why::ReimageOrdered, said));
            again(moment, stays_because(moment, episode, why))
        }
    }
}

const ANOTHER: &str = "the policy no longer names the provisioning service that was asked for this reimage";

fn is_late(moment: Moment, episode: &Episode) -> bool {
    episode.until.is_none_or(|until| moment.now >= until)
}

/// Whether the policy still names the service that the reimage is meant for.
fn is_ours(moment: Moment, provisioning: &Provisioning) -> bool {
    moment.policy.provisioning.as_ref().is_some_and(|policy| policy.service == provisioning.service)
}

/// Adds the time at which the service is asked again.
fn again(moment: Moment, opinion: Opinion<Episode>) -> Opinion<Episode> {
    let every = moment.policy.provisioning.as_ref().map(|policy| policy.every);
    Opinion { look_again: opinion.look_again.into_iter().chain(every).min(), ..opinion }
}

fn failed(moment: Moment, episode: &Episode, text: String) -> Opinion<Episode> {
    climb_to(moment, episode, Rung::Manual, Reason::new(Why::ReimageFailed, text))
}

/// The request was not sent. It is called off like an order that no agent took, also when the node
/// is on a new boot. Otherwise it is recorded as possibly sent. `said`: why the last attempt was
/// not sent.
fn pending(
    moment: Moment,
    episode: &Episode,
    provisioning: &Provisioning,
    node: &NodeView,
    said: Option<&str>,
) -> Opinion<Episode> {
    if let Some(why) = called_off(moment, episode, node) {
        let back = Episode { attempt: episode.attempt + 1, provisioning: None, ..episode.clone() };
        return to(moment, &back, Phase::Waiting, why);
    }
    let changed = |why: Reason, next: Episode| {
        let next = Some(Episode { why: why.clone(), ..next });
        Opinion { next, why, look_again: None }
    };
    if node.boot_id != episode.boot_id {
        let boots = episode.unexpected_boots + 1;
        if boots > UNEXPECTED_BOOTS {
            return failed(moment, episode, format!("the node rebooted {boots} times by itself"));
        }
        let why = Reason::new(Why::UnexpectedReboot, "the node rebooted before its reimage began");
        let noted = noting(moment, episode, why.clone(), &[]);
        let attempt = episode.attempt + 1;
        let back = Episode { attempt, unexpected_boots: boots, provisioning: None, ..noted };
        return to(moment, &back, Phase::Waiting, why);
    }
    if !is_ours(moment, provisioning) {
        let why = Reason::new(Why::ReimageOrdered, "the policy now names another way to reimage");
        return changed(why, Episode { provisioning: begun(moment, episode), ..episode.clone() });
    }
    if is_late(moment, episode) {
        let said = said.unwrap_or("there was no time to ask it");
        return failed(moment, episode, format!("the provisioning service did not accept the reimage: {said}"));
    }
    if let Some(said) = said {
        return again(moment, stays_because(moment, episode, Reason::new(Why::ReimageOrdered, said)));
    }
    let why = Reason::new(Why::ReimageOrdered, "asking the provisioning service for the reimage");
    let provisioning = Provisioning { state: ProvisioningState::Asked, ..provisioning.clone() };
    changed(why, Episode { provisioning: Some(provisioning), ..episode.clone() })
}

/// Records the state that the service reports, if it differs from the recorded one.
fn adopt(
    moment: Moment,
    episode: &Episode,
    provisioning: &Provisioning,
    answer: &ProvisioningAnswer,
) -> Opinion<Episode> {
    let ProvisioningAnswer { state, message, .. } = answer;
    if *state == ProvisioningState::Failed {
        return failed(moment, episode, format!("the reimage failed: {message}"));
    }
    let done = *state == ProvisioningState::Done;
    let why = Reason::new(if done { Why::Reimaged } else { Why::ReimageOrdered }, message.clone());
    // The state may change between pending and asked many times, which needs no step in the
    // account.
    let tells = done || *state == ProvisioningState::Running;
    let mut next = if tells { noting(moment, episode, why.clone(), &[]) } else { episode.clone() };
    next.provisioning = Some(Provisioning { state: *state, ..provisioning.clone() });
    if done {
        next.until = Some(moment.after(moment.boot_time()));
    }
    next.why = why.clone();
    Opinion { next: Some(next), why, look_again: None }
}

/// Returns the request to the service: start the reimage while nothing objects, otherwise only ask
/// for its state.
pub(super) fn wanted(moment: Moment, episode: &Episode) -> Option<Action> {
    let provisioning = episode.provisioning.as_ref()?;
    let reported = moment.seen.provisioned.as_ref().is_some_and(|answer| answer.id == provisioning.id);
    let outstanding = matches!(provisioning.state, ProvisioningState::Asked | ProvisioningState::Running);
    if reported || !outstanding || !is_ours(moment, provisioning) {
        return None;
    }
    let id = provisioning.id.clone();
    let tainted = episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    let may = |node: &NodeView| {
        provisioning.state == ProvisioningState::Asked
            && tainted
            && node.boot_id == episode.boot_id
            && !is_late(moment, episode)
            && called_off(moment, episode, node).is_none()
    };
    if moment.seen.node.as_ref().is_some_and(may) {
        return Some(Action::StartProvisioning { id, boot_id: episode.boot_id.clone() });
    }
    Some(Action::LookAtProvisioning { id, state: provisioning.state })
}

/// Continues without a Node. While the service has or had the machine, the episode stays open: the
/// new system creates a Node, which has to be proven. If it never does, a person has to look.
pub(super) fn without_node(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let provisioning = episode.provisioning.as_ref().filter(|provisioning| provisioning.is_out())?;
    let wait = |ends: Timestamp| {
        if moment.now < ends {
            return stays(episode, Some(moment.until(ends)));
        }
        let why = Reason::new(Why::CannotProve, "the node was reimaged, but has no Node object");
        climb_to(moment, episode, Rung::Manual, why)
    };
    let after = |time: Duration| episode.since.saturating_add(time).unwrap_or(Timestamp::MAX);
    match episode.phase {
        Phase::Reimaging => Some(reimaging(moment, episode, provisioning, None)),
        Phase::Stabilising => Some(wait(moment.boot_ends(episode.since))),
        Phase::Proving => Some(wait(episode.until.unwrap_or(episode.since))),
        Phase::Waiting if episode.rung == Rung::Manual && episode.taint.is_some() => Some(escalating(moment, episode)),
        Phase::Escalating => Some(mailing(moment, episode)),
        Phase::Escalated => {
            let ends = after(COMES_BACK);
            (moment.now < ends).then(|| stays(episode, Some(moment.until(ends))))
        }
        _ => None,
    }
}

/// Whether the service has the machine. A Node created again meanwhile gets its taint again; its
/// boot counts when the service is done.
pub(super) fn has(episode: &Episode) -> bool {
    episode.phase == Phase::Reimaging && is_out(episode)
}

fn is_out(episode: &Episode) -> bool {
    episode.provisioning.as_ref().is_some_and(Provisioning::is_out)
}
