//! The controller's metrics: one table of names, helps and labels. prometheus-client appends `_total`.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
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

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPool {
    pub pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPoolAndRung {
    pub pool: String,
    pub rung: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByStage {
    pub stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByEnd {
    pub rung: &'static str,
    pub outcome: &'static str,
}

/// From seconds to a day: a taint takes seconds, a repair that waits for its window may take a day.
const STAGE_SECONDS: [f64; 12] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 6.0 * 3600.0, 24.0 * 3600.0];

/// What is counted anew for every scrape.
#[derive(Debug, Default)]
pub struct Standings {
    pub repairs: Family<ByPhase, Gauge>,
    pub waiting: Family<ByWhy, Gauge>,
    pub slow_networks: Gauge,
    pub paused: Gauge,
    pub not_understood: Gauge,
    pub pool_nodes: Family<ByPool, Gauge>,
    pub pool_tainted: Family<ByPool, Gauge>,
    pub pool_taints_full: Family<ByPool, Gauge>,
    pub budget_places: Family<ByPool, Gauge>,
    pub budget_places_taken: Family<ByPool, Gauge>,
    pub storm_brake: Family<ByPool, Gauge>,
    pub rung_stopped: Family<ByPoolAndRung, Gauge>,
}

impl Standings {
    fn register(&self, registry: &mut Registry) {
        registry.register("repairs", "Open repairs", self.repairs.clone());
        registry.register("waiting", "Repairs that wait, by what for", self.waiting.clone());
        registry.register("slow_networks", "Nodes whose network is slow", self.slow_networks.clone());
        registry.register("paused", "1 while a person has stopped everything disruptive", self.paused.clone());
        registry.register(
            "records_not_understood",
            "Records that cannot be read or make no sense, and whose nodes are left alone",
            self.not_understood.clone(),
        );
        registry.register("pool_nodes", "Nodes of the pool", self.pool_nodes.clone());
        registry.register("pool_tainted_nodes", "Of those, the ones with a taint of ours", self.pool_tainted.clone());
        registry.register(
            "pool_taint_limit_reached",
            "1 while no further node of the pool is tainted",
            self.pool_taints_full.clone(),
        );
        registry.register(
            "budget_places",
            "Nodes of the pool that may be under disruptive repair at a time",
            self.budget_places.clone(),
        );
        registry.register(
            "budget_places_taken",
            "Nodes of the pool that are under disruptive repair",
            self.budget_places_taken.clone(),
        );
        registry.register(
            "storm_brake",
            "1 while too many nodes of the pool asked at once and nothing disruptive starts",
            self.storm_brake.clone(),
        );
        registry.register(
            "rung_stopped",
            "1 while the rung is stopped in the pool because its last attempts all failed",
            self.rung_stopped.clone(),
        );
    }

    /// What is not there any more is not shown any more.
    pub fn clear(&self) {
        self.repairs.clear();
        self.waiting.clear();
        self.pool_nodes.clear();
        self.pool_tainted.clear();
        self.pool_taints_full.clear();
        self.budget_places.clear();
        self.budget_places_taken.clear();
        self.storm_brake.clear();
        self.rung_stopped.clear();
    }
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
    /// Episodes that began, by the rung that was asked for.
    pub repairs_started: Family<ByKind, Counter>,
    /// Episodes that ended.
    pub repairs_ended: Family<ByEnd, Counter>,
    /// How long it took, from the first complaint: `taint`, `reboot`, `heal`; and `repair`, from the first disruptive order to
    /// health.
    pub stage_seconds: Family<ByStage, Histogram, fn() -> Histogram>,
    pub standings: Standings,
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
            repairs_started: Family::default(),
            repairs_ended: Family::default(),
            stage_seconds: Family::new_with_constructor(|| Histogram::new(STAGE_SECONDS)),
            standings: Standings::default(),
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
        registry.register("repairs_started", "Repairs that began, by rung", metrics.repairs_started.clone());
        registry.register("repairs_ended", "Repairs that ended, by rung and outcome", metrics.repairs_ended.clone());
        registry.register(
            "stage_seconds",
            "Seconds from the complaint to the taint, to the reboot order and to health; and of the repair alone",
            metrics.stage_seconds.clone(),
        );
        metrics.standings.register(registry);
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
        // Counted from 0, so that the first failure is an increase.
        for outcome in ["answered", "failed"] {
            metrics.alertmanager_polls.get_or_create_owned(&Outcome { outcome: outcome.to_owned() });
        }
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
