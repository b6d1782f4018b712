//! The network track: taints a slow node and removes the taint after a fresh pass. It never
//! reboots.

use std::time::Duration;

use jiff::Timestamp;

use super::agent_report;
use super::moment::{Moment, Opinion};
use super::taint_steps::{self, TaintEnd, Tainted};
use super::waiting::UNCONFIRMED;
use crate::core::complaints;
use crate::core::policy::Mode;
use crate::core::record::{NetworkPhase, NetworkTrack, Proof};
use crate::core::taint::{Taint, TaintKey, TaintState};
use crate::core::why::{Reason, Why};

/// How long a track counts for whether the network flaps.
const FLAPS_WITHIN: Duration = Duration::from_secs(3600);

pub(super) fn advance(moment: Moment) -> Opinion<NetworkTrack> {
    match &moment.record.repair.network {
        Some(track) if !track.phase.is_over() => open(moment, track),
        last => begin(moment, last.as_ref()),
    }
}

fn stays(why: Why, message: &str) -> Opinion<NetworkTrack> {
    Opinion { next: None, why: Reason::new(why, message), look_again: None }
}

fn begin(moment: Moment, last: Option<&NetworkTrack>) -> Opinion<NetworkTrack> {
    let Some(node) = &moment.seen.node else { return stays(Why::NodeGone, "the node does not exist") };
    let times = &moment.policy.times;
    let by_person = node.taints.contains(&TaintKey::SlowNetwork);
    let board = moment.board();
    let complaint = complaints::slow(&board, moment.last_end(last.map(|track| track.since)));
    if !by_person && complaint.is_none() {
        if complaints::fires(&board, true) {
            return stays(Why::OlderThanProof, "the alert began before the last proof of the network");
        }
        if complaints::fires(&moment.record.complaints, true) {
            return stays(Why::Silenced, "the alert about the network is silenced; a silenced alert starts nothing");
        }
        return stays(Why::Healthy, "no complaint about the network is open");
    }
    match moment.pool(node) {
        None => return stays(Why::NotManaged, "no pool of the policy selects this node"),
        Some(pool) if pool.mode == Mode::Observe => {
            return stays(
                Why::ObserveOnly,
                "the pool is in mode observe; otherwise the node would get the taint slow-network",
            );
        }
        Some(_) => {}
    }
    if moment.seen.many_slow && !by_person {
        return stays(Why::ManySlow, "too many nodes of the pool are slow: the network is at fault, not the node");
    }
    if let Some(track) = last.filter(|track| track.phase == NetworkPhase::Released && !by_person) {
        let quiet_ends = track.since.saturating_add(times.released_quiet).unwrap_or(track.since);
        if moment.now < quiet_ends {
            let mut opinion =
                stays(Why::ReleasedByHand, "a person removed the taint; none is placed in the quiet time");
            opinion.look_again = Some(moment.until(quiet_ends));
            return opinion;
        }
    }
    if complaint.is_some_and(|complaint| !by_person && !moment.is_active(complaint)) {
        let opinion = stays(Why::Unconfirmed, "Alertmanager does not list the alert as active; no taint is placed");
        return Opinion { look_again: Some(UNCONFIRMED), ..opinion };
    }
    let why = match complaint {
        Some(complaint) => Reason::new(Why::Complaint, format!("{}: {}", complaint.check, complaint.summary)),
        None => {
            let whom = node.by_whom("repair", moment.now);
            Reason::new(Why::TaintedByPerson, format!("a person put the taint slow-network on the node{whom}"))
        }
    };
    let recent = |begun: &&Timestamp| begun.saturating_add(FLAPS_WITHIN).is_ok_and(|ends| moment.now < ends);
    let before = last.iter().flat_map(|track| &track.begun).filter(recent).copied();
    let track = NetworkTrack {
        number: last.map_or(1, |track| track.number + 1),
        phase: NetworkPhase::Slow,
        started_at: moment.now,
        since: moment.now,
        until: None,
        attempt: 0,
        why: why.clone(),
        node_uid: node.uid.clone(),
        taint: Some(Taint::placing(TaintKey::SlowNetwork)),
        begun: before.chain([moment.now]).collect(),
    };
    Opinion { next: Some(track), why, look_again: None }
}

fn open(moment: Moment, track: &NetworkTrack) -> Opinion<NetworkTrack> {
    let Some(node) = &moment.seen.node else {
        let gone = NetworkTrack { taint: None, ..track.clone() };
        return to(moment, &gone, NetworkPhase::NodeGone, Reason::new(Why::NodeGone, "the Node object was deleted"));
    };
    if node.uid != track.node_uid {
        let next = NetworkTrack {
            node_uid: node.uid.clone(),
            taint: Some(Taint::placing(TaintKey::SlowNetwork)),
            ..track.clone()
        };
        let why = Reason::new(Why::NodeRecreated, "the Node object was created again; its taint is placed again");
        return to(moment, &next, NetworkPhase::Slow, why);
    }
    if let Some(taint) = track.taint
        && let Some(opinion) = taint_steps::advance(moment, track, node, taint)
    {
        return opinion;
    }
    let repairing = moment.record.repair.episode.as_ref().is_some_and(|episode| !episode.phase.is_over());
    match track.phase {
        NetworkPhase::Proving if repairing => {
            let why = Reason::new(Why::RepairHasTheOrder, "a repair of the GPUs began; the network is proven after it");
            to(moment, track, NetworkPhase::Slow, why)
        }
        NetworkPhase::Proving => proving(moment, track),
        _ if repairing => stays(Why::RepairHasTheOrder, "the network is proven after the repair of the GPUs"),
        _ => slow(moment, track),
    }
}

impl Tainted for NetworkTrack {
    fn why(&self) -> &Reason {
        &self.why
    }

    fn with_taint(&self, taint: Option<Taint>) -> Self {
        Self { taint, ..self.clone() }
    }

    fn end(self, moment: Moment, how: TaintEnd) -> Opinion<Self> {
        match how {
            TaintEnd::Released => to(moment, &self, NetworkPhase::Released, taint_steps::released(moment)),
            TaintEnd::Removed => to(moment, &self, NetworkPhase::Recovered, self.why.clone()),
        }
    }
}

/// Orders the first proof immediately, and each further one after `network_retry`.
fn slow(moment: Moment, track: &NetworkTrack) -> Opinion<NetworkTrack> {
    let wait = moment.until(track.since.saturating_add(moment.policy.times.network_retry).unwrap_or(track.since));
    if track.attempt > 0 && !wait.is_zero() {
        return Opinion { next: None, why: track.why.clone(), look_again: Some(wait) };
    }
    let next = NetworkTrack { attempt: track.attempt + 1, ..track.clone() };
    let text = match track.flaps() {
        true => "the network was slow three times within an hour: waiting for checks that pass in a row",
        false => "waiting for a network check to pass",
    };
    let why = Reason::new(Why::ProofOrdered, text);
    let mut opinion = to(moment, &next, NetworkPhase::Proving, why);
    if let Some(next) = &mut opinion.next {
        next.until = Some(moment.after(moment.policy.times.proof));
    }
    opinion
}

fn proving(moment: Moment, track: &NetworkTrack) -> Opinion<NetworkTrack> {
    let report =
        moment.record.report_on(&agent_report::network_order_id(track)).filter(|report| report.state.is_over());
    match report {
        Some(report) if report.proof == Some(Proof::Passed) => {
            let why = Reason::new(Why::NetworkRecovered, report.message.clone());
            let taint = track.taint.map(|taint| Taint { state: TaintState::Removing, ..taint });
            let next = NetworkTrack { taint, why: why.clone(), ..track.clone() };
            Opinion { next: Some(next), why, look_again: None }
        }
        Some(report) => to(moment, track, NetworkPhase::Slow, Reason::new(Why::ProofFailed, report.message.clone())),
        None if track.until.is_none_or(|until| moment.now >= until) => {
            let why = Reason::new(Why::CannotProve, "the agent reported no network result by the deadline");
            to(moment, track, NetworkPhase::Slow, why)
        }
        None => {
            Opinion { next: None, why: track.why.clone(), look_again: track.until.map(|until| moment.until(until)) }
        }
    }
}

fn to(moment: Moment, track: &NetworkTrack, phase: NetworkPhase, why: Reason) -> Opinion<NetworkTrack> {
    let next = NetworkTrack { phase, since: moment.now, until: None, why: why.clone(), ..track.clone() };
    Opinion { next: Some(next), why, look_again: None }
}
