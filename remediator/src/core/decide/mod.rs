//! Decides what happens next to one node, and why. Pure and total: the same record, observation,
//! time and policy give the same decision.
//!
//! A decision either changes the record or acts on it, never both. So the intent of every act is
//! recorded before it, and after a crash the same function continues from the same record.

mod action;
mod agent_report;
mod climb;
mod entry;
mod fresh;
mod moment;
mod network;
mod objections;
mod out_of_band;
mod phases;
mod provisioning;
#[cfg(test)]
pub(in crate::core) mod table;
mod taint_steps;
mod transitions;
mod waiting;
mod wanted;

pub use self::action::Action;

use std::time::Duration;

use jiff::Timestamp;

use self::moment::Moment;
use super::health;
use super::observation::Observation;
use super::policy::Policy;
use super::record::{Record, Repair};
use super::sense;
use super::why::{Reason, Why};

/// What to record or to do next, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The controller's part of the record as it should be. A difference from the record is written
    /// first.
    pub next: Repair,
    /// Set only when the record stays as it is.
    pub action: Option<Action>,
    pub why: Reason,
    /// How long until time alone may change the decision.
    pub look_again: Option<Duration>,
}

/// How many finished episodes stay in the record.
pub const HISTORY: usize = 20;

/// Decides what happens next to a node.
pub fn decide(record: &Record, seen: &Observation, now: Timestamp, policy: &Policy) -> Decision {
    if let Some(text) = sense::nonsense(record) {
        let why = Reason::new(Why::NotUnderstood, text);
        return Decision { next: record.repair.clone(), action: None, why, look_again: None };
    }
    let moment = Moment { record, seen, now, policy };
    let repair = climb::advance(moment);
    let network = network::advance(moment);
    let mut look_again = [repair.look_again, network.look_again].into_iter().flatten().min();

    let mut next = record.repair.clone();
    if let Some(mut episode) = repair.next {
        let phase = episode.phase;
        episode.mails.retain(|mail| mail.accepted_at.is_some() || mail.is_of(phase));
        if phase.is_over() {
            episode.mails.extend(transitions::reply(moment, &episode));
            next.history.push(transitions::account(&episode, now));
            let surplus = next.history.len().saturating_sub(HISTORY);
            next.history.drain(..surplus);
        }
        next.episode = Some(episode);
        return Decision { next, action: None, why: repair.why, look_again };
    }
    if let Some(track) = network.next {
        next.network = Some(track);
        return Decision { next, action: None, why: network.why, look_again };
    }
    if let Some(ended) = record.repair.episode.as_ref().filter(|episode| episode.phase.is_over()) {
        let episode = transitions::accepting(moment, ended);
        if episode != *ended {
            next.episode = Some(episode);
            return Decision { next, action: None, why: repair.why, look_again };
        }
        let posted = ended.mails.iter().any(|mail| mail.is_wanted_in(ended.phase)).then_some(transitions::OUTBOX);
        look_again = look_again.into_iter().chain(posted).min();
    }
    let repairing = record.repair.episode.as_ref().is_some_and(|episode| !episode.phase.is_over());
    let slow = record.repair.network.as_ref().is_some_and(|track| !track.phase.is_over());
    // The network's reason is shown for a slow node that is left alone, if its GPUs give no reason.
    let left_alone = health::is_well(&repair.why) && !health::is_well(&network.why);
    let why = if !repairing && (slow || left_alone) { network.why } else { repair.why };
    Decision { next, action: wanted::wanted(moment), why, look_again }
}
