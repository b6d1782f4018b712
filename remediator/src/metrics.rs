//! The controller's metrics: one table of names, helps and labels. prometheus-client appends `_total`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The content type of what [`Metrics::page`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Code {
    pub code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByWhy {
    pub why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPhase {
    pub rung: &'static str,
    pub phase: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByKind {
    pub kind: &'static str,
}

/// Every metric of the controller.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers to Alertmanager.
    pub webhook_requests: Family<Code, Counter>,
    /// Alerts in them, by what they were to us.
    pub webhook_alerts: Family<Outcome, Counter>,
    /// When the heartbeat alert was last received, Unix seconds; 0: never.
    pub heartbeat: Gauge<f64, AtomicU64>,
    /// Episodes that entered a phase.
    pub phases: Family<ByPhase, Counter>,
    /// Decisions that changed the record, by their why.
    pub decisions: Family<ByWhy, Counter>,
    /// Acts, by kind.
    pub acts: Family<ByKind, Counter>,
    /// Turns that ended in an error and will be taken again.
    pub turn_errors: Counter,
    /// 1 while this process leads.
    pub leader: Gauge,
    /// Questions to the replicas of Alertmanager, by what came of them.
    pub alertmanager_polls: Family<Outcome, Counter>,
    /// 1 while our clock and the API server's disagree.
    pub clock_skewed: Gauge,
    /// 1 when the policy file that is there now is the one in force.
    policy_current: Gauge,
    /// When the policy in force was read, Unix seconds.
    policy_read_at: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("ossci_remediator"),
            webhook_requests: Family::default(),
            webhook_alerts: Family::default(),
            heartbeat: Gauge::default(),
            phases: Family::default(),
            decisions: Family::default(),
            acts: Family::default(),
            turn_errors: Counter::default(),
            leader: Gauge::default(),
            alertmanager_polls: Family::default(),
            clock_skewed: Gauge::default(),
            policy_current: Gauge::default(),
            policy_read_at: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("webhook_requests", "Answers to Alertmanager", metrics.webhook_requests.clone());
        registry.register("webhook_alerts", "Alerts received, by what they were to us", metrics.webhook_alerts.clone());
        registry.register(
            "heartbeat_timestamp_seconds",
            "When the heartbeat alert was last received",
            metrics.heartbeat.clone(),
        );
        registry.register("phases_entered", "Episodes that entered a phase", metrics.phases.clone());
        registry.register("decisions", "Decisions that changed the record", metrics.decisions.clone());
        registry.register("acts", "Acts on the cluster", metrics.acts.clone());
        registry.register("turn_errors", "Turns that failed and are taken again", metrics.turn_errors.clone());
        registry.register("leader", "1 while this replica leads", metrics.leader.clone());
        registry.register(
            "alertmanager_polls",
            "Questions to the replicas of Alertmanager, by what came of them",
            metrics.alertmanager_polls.clone(),
        );
        registry.register(
            "clock_skewed",
            "1 while our clock and the API server's disagree, and nothing disruptive starts",
            metrics.clock_skewed.clone(),
        );
        registry.register(
            "policy_last_reload_successful",
            "1 when the policy file that is there now is the one in force",
            metrics.policy_current.clone(),
        );
        registry.register(
            "policy_last_reload_success_timestamp_seconds",
            "When the policy in force was read",
            metrics.policy_read_at.clone(),
        );
        Arc::new(metrics)
    }

    /// The policy file was read; `None`: it could not be used.
    pub fn policy_read(&self, at: Option<Timestamp>) {
        self.policy_current.set(i64::from(at.is_some()));
        if let Some(at) = at {
            self.policy_read_at.set(seconds(at));
        }
    }

    /// The page, OpenMetrics text.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Unix seconds, as Prometheus has them.
pub fn seconds(time: Timestamp) -> f64 {
    time.as_microsecond() as f64 / 1e6
}
