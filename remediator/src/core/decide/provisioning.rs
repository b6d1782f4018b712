//! A reimage that the site's provisioning service carries out: on record before it is asked for, under a name that the service
//! knows it by. So whoever does not know whether it was asked for asks that first, and nothing is reimaged twice. What the
//! service says is no proof: the checks on the new boot are.

use std::time::Duration;

use super::climb::{climb_to, escalating, noting, stabilising, to};
use super::phases::{UNEXPECTED_BOOTS, mailing, stays, stays_because};
use super::waiting::called_off;
use super::{Action, Moment, NodeView, Opinion, ProvisioningAnswer};
use crate::core::record::{Episode, Phase, Provisioning, ProvisioningState, Rung};
use crate::core::taint::TaintState;
use crate::core::why::{Reason, Why};

/// The reimage that an episode begins now, where the site has such a service.
pub(super) fn begun(moment: Moment, episode: &Episode) -> Option<Provisioning> {
    moment.policy.provisioning?;
    // The time makes it another one than that of a record that was deleted.
    let (number, rung, attempt) = (episode.number, episode.rung, episode.attempt);
    let id = format!("{number}-{rung}-{attempt}-{}", moment.now.as_second());
    Some(Provisioning { id, state: ProvisioningState::Pending })
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
        return adopt(moment, episode, answer);
    }
    let late = episode.until.is_none_or(|until| moment.now >= until);
    if provisioning.state == ProvisioningState::Done {
        return match node.filter(|node| node.boot_id != episode.boot_id) {
            Some(node) => {
                let why = Reason::new(Why::NewBoot, format!("the node is on a new boot, {}", node.boot_id));
                stabilising(moment, episode.clone(), node, why)
            }
            None if late => {
                let text = "the provisioning service says that the node is reimaged, but no new boot id was seen";
                climb_to(moment, episode, Rung::Manual, Reason::new(Why::DidNotComeBack, text))
            }
            None => stays(episode, episode.until.map(|until| moment.until(until))),
        };
    }
    let Some(answer) = answer else {
        return stays(episode, None);
    };
    let said = &answer.message;
    if provisioning.state == ProvisioningState::Pending
        && let Some(opinion) = node.and_then(|node| not_asked(moment, episode, node, said))
    {
        return opinion;
    }
    if late {
        let what = if provisioning.is_out() { "did not finish" } else { "was not taken by the provisioning service" };
        return failed(moment, episode, format!("the reimage {what} by its deadline: {said}"));
    }
    let again = moment.policy.provisioning.unwrap_or(LOOK_AGAIN);
    let why = Reason::new(Why::ReimageOrdered, said.clone());
    let opinion = stays_because(moment, episode, why);
    let wait = opinion.look_again.map_or(again, |wait| wait.min(again));
    Opinion { look_again: Some(wait), ..opinion }
}

/// How soon the service is looked for again that the policy does not name any more.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

fn failed(moment: Moment, episode: &Episode, text: String) -> Opinion<Episode> {
    climb_to(moment, episode, Rung::Manual, Reason::new(Why::ReimageFailed, text))
}

/// What the service says is another state than the recorded one.
fn adopt(moment: Moment, episode: &Episode, answer: &ProvisioningAnswer) -> Opinion<Episode> {
    let ProvisioningAnswer { id, state, message } = answer;
    if *state == ProvisioningState::Failed {
        return failed(moment, episode, format!("the reimage failed: {message}"));
    }
    let done = *state == ProvisioningState::Done;
    let why = Reason::new(if done { Why::Reimaged } else { Why::ReimageOrdered }, message.clone());
    // Whether it was asked for may be asked often.
    let tells = matches!(state, ProvisioningState::Running | ProvisioningState::Done);
    let mut next = if tells { noting(moment, episode, why.clone(), &[]) } else { episode.clone() };
    next.provisioning = Some(Provisioning { id: id.clone(), state: *state });
    if done {
        next.until = Some(moment.after(moment.policy.times.boot));
    }
    next.why = why.clone();
    Opinion { next: Some(next), why, look_again: None }
}

/// The service does not have it: it is called back like any order that nobody took, and one for a boot that is gone is meant
/// for the new one.
fn not_asked(moment: Moment, episode: &Episode, node: &NodeView, said: &str) -> Option<Opinion<Episode>> {
    if let Some(why) = called_off(moment, episode, node) {
        let back = Episode { attempt: episode.attempt + 1, provisioning: None, ..episode.clone() };
        return Some(to(moment, &back, Phase::Waiting, why));
    }
    if node.boot_id == episode.boot_id {
        return None;
    }
    let boots = episode.unexpected_boots + 1;
    if boots > UNEXPECTED_BOOTS {
        return Some(failed(moment, episode, format!("the node rebooted {boots} times by itself")));
    }
    let why = Reason::new(Why::UnexpectedReboot, format!("the node rebooted before its reimage began: {said}"));
    let noted = noting(moment, episode, why.clone(), &[]);
    let next = Episode {
        boot_id: node.boot_id.clone(),
        unexpected_boots: boots,
        why: why.clone(),
        until: episode.until,
        ..noted
    };
    Some(Opinion { next: Some(next), why, look_again: None })
}

/// What is asked of the service now: to reimage, while nothing speaks against it, and else only how far it is.
pub(super) fn wanted(moment: Moment, episode: &Episode) -> Option<Action> {
    let Provisioning { id, state } = episode.provisioning.as_ref()?;
    let told = moment.seen.provisioned.as_ref().is_some_and(|answer| answer.id == *id);
    if told || *state == ProvisioningState::Done {
        return None;
    }
    let (id, state) = (id.clone(), *state);
    let tainted = episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    let may = |node: &NodeView| {
        state == ProvisioningState::Pending
            && tainted
            && node.boot_id == episode.boot_id
            && episode.until.is_some_and(|until| moment.now < until)
            && called_off(moment, episode, node).is_none()
    };
    if moment.seen.node.as_ref().is_some_and(may) {
        return Some(Action::StartProvisioning { id, boot_id: episode.boot_id.clone() });
    }
    Some(Action::LookAtProvisioning { id, state })
}

/// There is no Node. While the service has the machine that is no end: the new system makes a Node again. What comes of a
/// machine that never does is for a person.
pub(super) fn without_node(moment: Moment, episode: &Episode) -> Option<Opinion<Episode>> {
    let provisioning = episode.provisioning.as_ref().filter(|provisioning| provisioning.is_out())?;
    match episode.phase {
        Phase::Reimaging => Some(reimaging(moment, episode, provisioning, None)),
        Phase::Waiting if episode.rung == Rung::Manual && episode.taint.is_some() => Some(escalating(moment, episode)),
        Phase::Escalating => Some(mailing(moment, episode)),
        _ => None,
    }
}

/// The Node was created again by a machine that the service has: its taint comes back, and its boot counts when the service
/// is done.
pub(super) fn has(episode: &Episode) -> bool {
    episode.phase == Phase::Reimaging && episode.provisioning.as_ref().is_some_and(Provisioning::is_out)
}
