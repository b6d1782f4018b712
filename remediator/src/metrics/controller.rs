//! The controller's metrics: one table of names, help texts and labels.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{Build, Calls, build_info, page, seconds, table};

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
pub struct ByDigest {
    pub digest: String,
}

/// In all of these labels, an empty pool is no pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPoolAndWhy {
    pub pool: String,
    pub why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPhase {
    pub pool: String,
    pub rung: &'static str,
    pub phase: &'static str,
}

/// The state of a node that is not well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByState {
    pub node: String,
    pub pool: String,
    /// A rung, or `slow-network`; empty: only the condition says that the node is not well.
    pub rung: String,
    pub phase: String,
    pub why: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByNodeAndRung {
    pub node: String,
    pub rung: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByNode {
    pub node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByWarning {
    pub warning: &'static str,
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
pub struct Mails {
    pub kind: &'static str,
    pub outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByEnd {
    pub pool: String,
    pub rung: &'static str,
    pub outcome: &'static str,
}

/// Buckets from a second to a day: a taint takes seconds, a repair that waits for its window may
/// take a day.
const STAGE_SECONDS: [f64; 12] =
    [1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 6.0 * 3600.0, 24.0 * 3600.0];

type Stamp = Gauge<f64, AtomicU64>;
type Stages = Family<ByStage, Histogram, fn() -> Histogram>;

table! {
    /// Gauges computed anew for every scrape, so that pools and repairs that no longer exist
    /// disappear. Only the leader has those of nodes and pools: a sum over replicas is right.
    Standings {
        repairs: Family<ByPhase, Gauge> = Family::default(), "repairs", "Open repairs";
        waiting: Family<ByPoolAndWhy, Gauge> = Family::default(), "waiting", "Waiting repairs by reason";
        slow_networks: Family<ByPool, Gauge> = Family::default(), "slow_networks", "Nodes with a slow network";
        node_info: Family<ByState, Gauge> = Family::default(), "node_info",
            "1 for each node with an open repair, a slow network or the condition OssciHealthy=False";
        node_since: Family<ByNodeAndRung, Stamp> = Family::default(), "node_since_timestamp_seconds",
            "When the phase of the node's repair or slow network began";
        node_until: Family<ByNodeAndRung, Stamp> = Family::default(), "node_until_timestamp_seconds",
            "The deadline of that phase, if it has one";
        node_repairs: Family<ByNode, Gauge> = Family::default(), "node_repairs",
            "Repairs of the node that ended with a healed node in the last 7 days, if there are any";
        paused: Gauge = Gauge::default(), "paused", "1 while a person has paused everything disruptive";
        not_understood: Gauge = Gauge::default(), "records_not_understood",
            "Records that are inconsistent or cannot be read; their nodes are left alone";
        mail_configured: Gauge = Gauge::default(), "mail_configured", "1 if the policy says how mails are sent";
        mails_unaccepted: Gauge = Gauge::default(), "mails_unaccepted",
            "Mails that are due and that no server has accepted, on the leader";
        mail_oldest: Stamp = Stamp::default(), "mail_oldest_unaccepted_timestamp_seconds",
            "Since when the oldest mail that no server has accepted has been due; 0: there is none";
        pool_nodes: Family<ByPool, Gauge> = Family::default(), "pool_nodes", "Nodes of the pool";
        pool_tainted: Family<ByPool, Gauge> = Family::default(), "pool_tainted_nodes",
            "Nodes of the pool with a taint of ours";
        pool_taints_full: Family<ByPool, Gauge> = Family::default(), "pool_taint_limit_reached",
            "1 while a node is refused a taint, because the pool has reached its limit";
        budget_places: Family<ByPool, Gauge> = Family::default(), "budget_places",
            "Budget slots: nodes of the pool that may be under disruptive repair at a time";
        budget_places_taken: Family<ByPool, Gauge> = Family::default(), "budget_places_taken",
            "Budget slots in use: nodes of the pool that are under disruptive repair";
        storm_brake: Family<ByPool, Gauge> = Family::default(), "storm_brake",
            "1 while the storm brake is engaged: too many nodes of the pool asked at once, nothing disruptive starts";
        rung_stopped: Family<ByPoolAndRung, Gauge> = Family::default(), "rung_stopped",
            "1 while the rung is stopped in the pool because its last attempts all failed";
    }
}

impl Default for Standings {
    fn default() -> Self {
        Self::new()
    }
}

table! {
    /// Metrics that live as long as the process.
    Metrics {
        webhook_requests: Family<Code, Counter> = Family::default(), "webhook_requests",
            "Webhook requests by status code";
        webhook_alerts: Family<Outcome, Counter> = Family::default(), "webhook_alerts",
            "Alerts received by outcome";
        heartbeat: Stamp = Stamp::default(), "heartbeat_timestamp_seconds",
            "Time at which the heartbeat alert was last received; 0: never";
        phases: Family<ByPhase, Counter> = Family::default(), "phases_entered", "Episodes that entered a phase";
        decisions: Family<ByWhy, Counter> = Family::default(), "decisions", "Decisions that changed the record";
        acts: Family<ByKind, Counter> = Family::default(), "acts", "Actions on the cluster by kind";
        turn_errors: Counter = Counter::default(), "turn_errors", "Reconciles that failed and are retried";
        mails: Family<Mails, Counter> = Family::default(), "mails",
            "Mails by kind and outcome; recipient-refused counts the refused recipients of accepted mails";
        api_requests: Calls = Calls::default(), "api_requests",
            "Requests to the Kubernetes API by verb and status code; 409 is a conflict, which is retried";
        repairs_started: Family<ByPoolAndRung, Counter> = Family::default(), "repairs_started",
            "Repairs started, by rung";
        repairs_ended: Family<ByEnd, Counter> = Family::default(), "repairs_ended",
            "Repairs ended, by rung and outcome";
        stage_seconds: Stages = Family::new_with_constructor(|| Histogram::new(STAGE_SECONDS)), "stage_seconds",
            "Seconds from the complaint to the taint, to the reboot order and to health, and of the repair alone";
        attempts: Family<ByEnd, Counter> = Family::default(), "attempts",
            "Rungs that were carried out, by rung and outcome: ProofPassed, or the reason why not";
        escalations: Family<ByPoolAndWhy, Counter> = Family::default(), "escalations",
            "Repairs that became a person's, by reason";
        build_info: Family<Build, Gauge> = build_info(), "build_info", "Version of the program";
        leader: Gauge = Gauge::default(), "leader", "1 while this replica is the leader";
        alertmanager_polls: Family<Outcome, Counter> = Family::default(), "alertmanager_polls",
            "Requests to the replicas of Alertmanager by outcome";
        site_warnings: Family<ByWarning, Gauge> = Family::default(), "site_warning",
            "1 while the site's set-up has this gap, on the leader";
        clock_skewed: Gauge = Gauge::default(), "clock_skewed",
            "1 while the clocks of the controller and the API server disagree and nothing disruptive starts";
        policy_info: Family<ByDigest, Gauge> = Family::default(), "policy_info",
            "Digest of the policy in force, as ossci-remediator doctor compares it with a file";
        policy_current: Gauge = Gauge::default(), "policy_last_reload_successful",
            "1 if the last reload of the policy file succeeded";
        policy_read_at: Stamp = Stamp::default(), "policy_last_reload_success_timestamp_seconds",
            "Time of the last successful reload of the policy file";
        webhook_files_current: Gauge = Gauge::default(), "webhook_files_last_reload_successful",
            "1 if the last reload of the webhook's certificate, key and token succeeded";
        webhook_files_read_at: Stamp = Stamp::default(), "webhook_files_last_reload_success_timestamp_seconds",
            "Time of the last successful reload of the webhook's certificate, key and token";
    }
}

const PREFIX: &str = "ossci_remediator";

impl Default for Metrics {
    /// Counters with alerts start at 0, so that the first failure is an increase.
    fn default() -> Self {
        let metrics = Self::new();
        for outcome in ["answered", "failed"] {
            metrics.alertmanager_polls.get_or_create_owned(&Outcome { outcome: outcome.to_owned() });
        }
        for outcome in ["no node", "no such node"] {
            metrics.webhook_alerts.get_or_create_owned(&Outcome { outcome: outcome.to_owned() });
        }
        metrics
    }
}

impl Metrics {
    /// Records that a policy file is in force; `digest`: of [`PolicyFile::digest`].
    ///
    /// [`PolicyFile::digest`]: crate::wire::policy_file::PolicyFile::digest
    pub fn policy_read(&self, at: Timestamp, digest: &str) {
        self.policy_current.set(1);
        self.policy_read_at.set(seconds(at));
        self.policy_info.clear();
        self.policy_info.get_or_create_owned(&ByDigest { digest: digest.to_owned() }).set(1);
    }

    /// Records that the policy file could not be used.
    pub fn policy_refused(&self) {
        self.policy_current.set(0);
    }

    /// Records a reload of the webhook's certificate, key and token; `None`: they could not be
    /// used.
    pub fn webhook_files_read(&self, at: Option<Timestamp>) {
        self.webhook_files_current.set(i64::from(at.is_some()));
        if let Some(at) = at {
            self.webhook_files_read_at.set(seconds(at));
        }
    }

    /// Returns the page, OpenMetrics text.
    pub fn page(&self, standings: &Standings) -> Result<String, std::fmt::Error> {
        let (mut lasting, mut now) = (Registry::with_prefix(PREFIX), Registry::with_prefix(PREFIX));
        self.register(&mut lasting);
        standings.register(&mut now);
        page(&[lasting, now])
    }
}
