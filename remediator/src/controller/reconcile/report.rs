//! Step five: report. One log line, one Event on the Node and the counters for each recorded
//! decision.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};
use kube::{Resource, ResourceExt};

use super::plan::Step;
use crate::controller::state::events::Events;
use crate::core::record::{Complaint, Episode, Phase};
use crate::core::taint::TaintState;
use crate::core::why::Reason;
use crate::metrics::Metrics;
use crate::metrics::{ByEnd, ByPhase, ByPoolAndRung, ByPoolAndWhy, ByStage, ByWhy};
use crate::wire::node_repair::NodeRepair;
use ossci_base::words::ClosedWord;

/// Reports one decision that was recorded.
pub fn changed(metrics: &Metrics, events: &Events, now: Timestamp, repair: &NodeRepair, step: &Step) {
    let Step { seen, before: old, decision } = step;
    let node = repair.name_any();
    let Reason { why, message } = &decision.why;
    let (before, after) = (old.episode.as_ref(), decision.next.episode.as_ref());
    let moved = after.filter(|after| before.is_none_or(|before| before.phase != after.phase));
    match after {
        Some(episode) if before != after => {
            tracing::info!(
                node, rung = %episode.rung, phase = %episode.phase, attempt = episode.attempt, why = %why, message,
                "decision recorded"
            );
        }
        _ => {
            let phase = decision.next.network.as_ref().map(|track| track.phase.as_str()).unwrap_or_default();
            tracing::info!(node, track = "network", phase, why = %why, message, "decision recorded");
        }
    }
    metrics.decisions.get_or_create_owned(&ByWhy { why: why.as_str() }).inc();
    if let Some(episode) = moved {
        let pool = episode.pool.clone().unwrap_or_default();
        let entered = ByPhase { pool, rung: episode.rung.as_str(), phase: episode.phase.as_str() };
        metrics.phases.get_or_create_owned(&entered).inc();
    }
    measure(metrics, now, &repair.record().complaints, before, after);
    let phase_moved = moved.is_some()
        || old.network.as_ref().map(|track| track.phase) != decision.next.network.as_ref().map(|track| track.phase);
    if phase_moved && let Some(view) = &seen.node {
        let reference = node_reference(&node, &view.uid);
        let bad = moved.is_some_and(|episode| matches!(episode.phase, Phase::Waiting | Phase::Escalating));
        let event = Event {
            type_: if bad { EventType::Warning } else { EventType::Normal },
            reason: why.as_str().to_owned(),
            note: Some(message.clone()),
            action: moved.map_or("Network", |episode| episode.phase.as_str()).to_owned(),
            secondary: None,
        };
        if !events.push(event, vec![reference, repair.object_ref(&())]) {
            tracing::warn!(node, why = %why, "event queue full, event dropped");
        }
    }
}

/// Counts the repairs that started or ended, and the seconds to each stage.
fn measure(
    metrics: &Metrics,
    now: Timestamp,
    complaints: &[Complaint],
    before: Option<&Episode>,
    after: Option<&Episode>,
) {
    let Some(after) = after else { return };
    let same = before.filter(|before| before.number == after.number);
    let begun = complaints.iter().map(|complaint| complaint.since).min().unwrap_or(after.started_at);
    let took = |stage, since: Timestamp| {
        let seconds = now.duration_since(since).as_secs_f64();
        metrics.stage_seconds.get_or_create_owned(&ByStage { stage }).observe(seconds);
    };
    let (pool, rung) = (after.pool.clone().unwrap_or_default(), after.rung.as_str());
    if same.is_none() {
        metrics.repairs_started.get_or_create_owned(&ByPoolAndRung { pool: pool.clone(), rung }).inc();
    }
    for (attempt, why) in after.attempts_and_whys().skip(same.map_or(0, |before| before.attempts().count())) {
        let of = ByEnd { pool: pool.clone(), rung: attempt.rung.as_str(), outcome: why.as_str() };
        metrics.attempts.get_or_create_owned(&of).inc();
    }
    let with_person = |episode: &Episode| matches!(episode.phase, Phase::Escalating | Phase::Escalated);
    if with_person(after) && !same.is_some_and(with_person) {
        let of = ByPoolAndWhy { pool: pool.clone(), why: after.why.why.as_str() };
        metrics.escalations.get_or_create_owned(&of).inc();
    }
    let confirmed = |episode: &Episode| episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    if confirmed(after) && after.steps.len() == 1 && !same.is_some_and(confirmed) {
        took("taint", begun);
    }
    let entered = |phase| after.phase == phase && same.is_none_or(|before| before.phase != phase);
    if entered(Phase::Rebooting) {
        took("reboot", begun);
    }
    if entered(Phase::Healed) {
        took("heal", begun);
        let ordered = after.steps.iter().find(|step| step.outcome.why != after.steps[0].outcome.why);
        ordered.map_or_else(|| (), |step| took("repair", step.at));
    }
    if after.phase.is_over() && same.is_none_or(|before| !before.phase.is_over()) {
        metrics.repairs_ended.get_or_create_owned(&ByEnd { pool, rung, outcome: after.phase.as_str() }).inc();
    }
}

/// With the Node's UID: without it `kubectl describe node` does not show the Event.
fn node_reference(name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
