//! A reimage that the site's provisioning service carries out. That it may have been asked for is on record before it is, under
//! a name that the service knows it by: who does not know what became of the request asks for the same reimage again and for
//! no other, and it is not called back. What the service says is no proof: the checks on the new boot are.

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

/// A machine that was given up may still come back with its new system; its Node is waited for so long.
const COMES_BACK: Duration = Duration::from_secs(24 * 3600);

/// The reimage that an episode begins now, where the site has such a service.
pub(super) fn begun(moment: Moment, episode: &Episode) -> Option<Provisioning> {
    let service = moment.policy.provisioning.as_ref()?.service.clone();
    // The time makes it another one than that of a record that was deleted.
    let (number, rung, attempt) = (episode.number, episode.rung, episode.attempt);
    let id = format!("{number}-{rung}-{attempt}-{}", moment.now.as_second());
    Some(Provisioning { id, service, state: ProvisioningState::Pending })
}

/// The phase Reimaging where the service reimages. `node`: it is there; a machine without its old system may have no Node.
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
            let text = "the provisioning service says that the node is reimaged, but no new boot id was seen";
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

const ANOTHER: &str =
    "the policy names another provisioning service than the one that this reimage was asked of, or none";

fn is_late(moment: Moment, episode: &Episode) -> bool {
    episode.until.is_none_or(|until| moment.now >= until)
}

/// The policy still names the service that the reimage is meant for.
fn is_ours(moment: Moment, provisioning: &Provisioning) -> bool {
    moment.policy.provisioning.as_ref().is_some_and(|policy| policy.service == provisioning.service)
}

/// The service is asked again after its time.
fn again(moment: Moment, opinion: Opinion<Episode>) -> Opinion<Episode> {
    let every = moment.policy.provisioning.as_ref().map(|policy| policy.every);
    Opinion { look_again: opinion.look_again.into_iter().chain(every).min(), ..opinion }
}

fn failed(moment: Moment, episode: &Episode, text: String) -> Opinion<Episode> {
    climb_to(moment, episode, Rung::Manual, Reason::new(Why::ReimageFailed, text))
}

/// It was not asked for: it is called back like any order that nobody took, and one for a boot that is gone is meant for the
/// new one. With nothing against it, it is on record that it may have been asked for; `said`: why it was not, in this turn.
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
        return changed(why, Episode { boot_id: node.boot_id.clone(), unexpected_boots: boots, ..noted });
    }
    if !is_ours(moment, provisioning) {
        let why = Reason::new(Why::ReimageOrdered, "the policy names another way to reimage now");
        return changed(why, Episode { provisioning: begun(moment, episode), ..episode.clone() });
    }
    if is_late(moment, episode) {
        let said = said.unwrap_or("there was no time to ask it");
        return failed(moment, episode, format!("the provisioning service did not take the reimage: {said}"));
    }
    if let Some(said) = said {
        return again(moment, stays_because(moment, episode, Reason::new(Why::ReimageOrdered, said)));
    }
    let why = Reason::new(Why::ReimageOrdered, "the provisioning service is asked for it");
    let provisioning = Provisioning { state: ProvisioningState::Asked, ..provisioning.clone() };
    changed(why, Episode { provisioning: Some(provisioning), ..episode.clone() })
}

/// What the service says is another state than the recorded one.
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
    // Whether it was asked for may be asked often.
    let tells = done || *state == ProvisioningState::Running;
    let mut next = if tells { noting(moment, episode, why.clone(), &[]) } else { episode.clone() };
    next.provisioning = Some(Provisioning { state: *state, ..provisioning.clone() });
    if done {
        next.until = Some(moment.after(moment.policy.times.boot));
    }
    next.why = why.clone();
    Opinion { next: Some(next), why, look_again: None }
}

/// What is asked of the service now: to reimage, while nothing speaks against it, and else only how far it is.
pub(super) fn wanted(moment: Moment, episode: &Episode) -> Option<Action> {
    let provisioning = episode.provisioning.as_ref()?;
    let told = moment.seen.provisioned.as_ref().is_some_and(|answer| answer.id == provisioning.id);
    let outstanding = matches!(provisioning.state, ProvisioningState::Asked | ProvisioningState::Running);
    if told || !outstanding || !is_ours(moment, provisioning) {
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

/// There is no Node. While the service has the machine, or had it, that is no end: the new system makes a Node again, which
/// has to be proven. What comes of a machine that never does is for a person.
pub(super) fn without_node(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let provisioning = episode.provisioning.as_ref().filter(|provisioning| provisioning.is_out())?;
    let wait = |ends: Timestamp| {
        if moment.now < ends {
            return stays(episode, Some(moment.until(ends)));
        }
        let why = Reason::new(Why::CannotProve, "the node was reimaged and has no Node any more");
        climb_to(moment, episode, Rung::Manual, why)
    };
    let after = |time: Duration| episode.since.saturating_add(time).unwrap_or(Timestamp::MAX);
    match episode.phase {
        Phase::Reimaging => Some(reimaging(moment, episode, provisioning, None)),
        Phase::Stabilising => Some(wait(after(moment.policy.times.boot))),
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

/// The Node was created again by a machine that the service has: its taint comes back, and its boot counts when the service
/// is done.
pub(super) fn has(episode: &Episode) -> bool {
    episode.phase == Phase::Reimaging && is_out(episode)
}

/// A machine without a Node keeps its place in the budget as long as it is under repair.
pub(super) fn needs_place(episode: &Episode) -> bool {
    matches!(episode.phase, Phase::Reimaging | Phase::Stabilising | Phase::Proving)
        && episode.rung != Rung::Manual
        && is_out(episode)
}

fn is_out(episode: &Episode) -> bool {
    episode.provisioning.as_ref().is_some_and(Provisioning::is_out)
}
