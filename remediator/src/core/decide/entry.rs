//! The start of an episode: by a complaint that counts, or by a person's taint.

use super::moment::{Moment, Opinion};
use crate::core::record::{Episode, Phase, Rung, Step};
use crate::core::why::{Reason, Why};
use crate::core::{complaints, memory};

/// Opens an episode if one is due. The last one, if any, has ended.
pub(super) fn open(moment: Moment) -> Opinion<Episode> {
    let Some(node) = &moment.seen.node else {
        return nothing(Why::NodeGone, "the node does not exist");
    };
    let last = moment.record.repair.history.last();
    let number = last.map_or(1, |past| past.number + 1);
    let times = &moment.policy.times;

    let by_person = node.taints.iter().rev().find_map(|key| Rung::of_taint(*key));
    let board = moment.board();
    let asked = complaints::asked(&board, moment.last_end(last.map(|past| past.ended_at)));

    let (rung, why) = match (by_person, asked) {
        (Some(rung), asked) if asked.is_none_or(|(other, _)| other <= rung) => {
            let whom = node.by_whom("repair", moment.now);
            let message = format!("a person put the taint {} on the node{whom}", rung.taint());
            (rung, Reason::new(Why::TaintedByPerson, message))
        }
        (_, Some((rung, complaint))) => {
            let asks = format!("{}: {}", complaint.check, complaint.summary);
            match memory::entry(&moment.record.repair.history, rung, moment.now) {
                (rung, None) => (rung, Reason::new(Why::Complaint, asks)),
                (rung, Some(earlier)) => (rung, Reason::new(earlier.why, format!("{asks}; {}", earlier.message))),
            }
        }
        (_, None) => {
            if complaints::fires(&board, false) {
                return nothing(Why::OlderThanProof, "the alert began before the last repair ended");
            }
            if complaints::fires(&moment.record.complaints, false) {
                return nothing(Why::Silenced, "the alert is silenced; a silenced alert starts nothing");
            }
            return nothing(Why::Healthy, "no complaint is open");
        }
    };

    if let Some(past) = last.filter(|past| past.outcome == Phase::Released && by_person.is_none()) {
        let quiet_ends = past.ended_at.saturating_add(times.released_quiet).unwrap_or(past.ended_at);
        if moment.now < quiet_ends {
            return Opinion {
                next: None,
                why: Reason::new(Why::ReleasedByHand, "a person removed the taint; no rung starts in the quiet time"),
                look_again: Some(moment.until(quiet_ends)),
            };
        }
    }

    // The account begins with the request: a mail that is sent immediately has no other step.
    let boot_id = Some(node.boot_id.clone());
    let first = Step { boot_id, ..Step::plain(moment.now, rung, why.clone()) };
    let episode = Episode {
        pool: moment.policy.pool_of(node).map(|pool| pool.name.clone()),
        node_uid: node.uid.clone(),
        boot_id: node.boot_id.clone(),
        steps: vec![first],
        ..Episode::begin(number, rung, moment.now, why.clone())
    };
    Opinion { next: Some(episode), why, look_again: None }
}

fn nothing(why: Why, message: &str) -> Opinion<Episode> {
    Opinion { next: None, why: Reason::new(why, message), look_again: None }
}
