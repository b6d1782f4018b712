//! Step five: what was decided, said to people: one log line, one Event on the Node, the counters.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use kube::runtime::events::{Event, EventType, Recorder, Reporter as By};

use super::Context;
use crate::core::decide::{Decision, Observation};
use crate::core::record::{Phase, Repair};
use crate::core::why::Reason;
use crate::core::word::ClosedWord;
use crate::metrics::{ByPhase, ByWhy};
use crate::wire::node_repair::NodeRepair;

pub struct Reporter {
    events: Recorder,
}

impl Reporter {
    pub fn new(client: kube::Client) -> Self {
        Self { events: Recorder::new(client, By { controller: "ossci-remediator".to_owned(), instance: None }) }
    }

    /// The record changed from `old` to what was decided.
    pub async fn changed(
        &self,
        context: &Context,
        repair: &NodeRepair,
        seen: &Observation,
        old: &Repair,
        decision: &Decision,
    ) {
        let node = repair.name_any();
        let Reason { why, message } = &decision.why;
        let (before, after) = (old.episode.as_ref(), decision.next.episode.as_ref());
        let moved = after.filter(|after| before.is_none_or(|before| before.phase != after.phase));
        match after {
            Some(episode) if before != after => {
                tracing::info!(
                    node, rung = %episode.rung, phase = %episode.phase, attempt = episode.attempt, why = %why, message,
                    "recorded"
                );
            }
            _ => {
                let phase = decision.next.network.as_ref().map(|track| track.phase.as_str()).unwrap_or_default();
                tracing::info!(node, track = "network", phase, why = %why, message, "recorded");
            }
        }
        context.metrics.decisions.get_or_create_owned(&ByWhy { why: why.as_str() }).inc();
        if let Some(episode) = moved {
            let entered = ByPhase { rung: episode.rung.as_str(), phase: episode.phase.as_str() };
            context.metrics.phases.get_or_create_owned(&entered).inc();
        }
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
            // An Event that is lost says nothing that the record does not say.
            if let Err(error) = self.events.publish(&event, &reference).await {
                tracing::warn!(node, %error, "publishing an Event");
            }
        }
    }
}

/// The real UID, or `kubectl describe node` does not show the Event.
fn node_reference(name: &str, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
