//! How long things may take, how much has to be shown, and when a pool says stop.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long things may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimesFile {
    /// How long the evidence may take that is taken before a reboot or a reimage; then the repair goes on without it.
    pub capture_seconds: u32,
    /// A node that is Ready while its agent takes no order for so long goes to a person.
    pub agent_silent_seconds: u32,
    /// From the start of the drain until the repair goes on with pods still there.
    pub drain_seconds: u32,
    /// How long pods may go on by themselves in a pool with `drain: wait-for-jobs`, from the start of the repair.
    pub jobs_seconds: u32,
    /// From the reboot order to a new boot id, and from there to Ready.
    pub boot_seconds: u32,
    /// From the reimage order to the end of its script.
    pub reimage_seconds: u32,
    /// How long a new boot must have lasted before it is proven.
    pub stabilise_seconds: u32,
    /// From the first proof order to its end; what could not be proven by then goes to a person.
    pub proof_seconds: u32,
    /// When a complaint is older than this at the first disruptive order, the node is checked once more before it.
    pub fresh_evidence_seconds: u32,
    /// An alert that began before a proof counts again when we are told this long after it that it still fires. Keep it
    /// well above Alertmanager's group_interval: its word is that old.
    pub complaint_grace_seconds: u32,
    /// After a person took a taint off, no rung starts for this long.
    pub released_quiet_seconds: u32,
    /// Between two network proofs of a slow node.
    pub network_retry_seconds: u32,
}

impl Default for TimesFile {
    fn default() -> Self {
        Self {
            capture_seconds: 60,
            agent_silent_seconds: 600,
            drain_seconds: 300,
            jobs_seconds: 86_400,
            boot_seconds: 1800,
            reimage_seconds: 3600,
            stabilise_seconds: 300,
            proof_seconds: 1800,
            fresh_evidence_seconds: 900,
            complaint_grace_seconds: 600,
            released_quiet_seconds: 3600,
            network_retry_seconds: 30,
        }
    }
}

/// What has to be shown before a node is released.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProofFile {
    /// So many passes in a row prove health.
    pub passes: u32,
    /// So many failures in a row disprove it.
    pub failures: u32,
    /// Between two runs of the checks.
    pub gap_seconds: u32,
    /// What has to pass on top, once, on a node that the checks say is well after a repair. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTestFile>,
}

/// A load test of the site's own, run on the node's host as root.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadTestFile {
    /// The program by its whole path, and its arguments: no shell reads them. Exit status 0 is well.
    pub command: Vec<String>,
    /// It is ended after so long, and has failed then.
    pub seconds: u32,
}

impl Default for ProofFile {
    fn default() -> Self {
        Self { passes: 3, failures: 3, gap_seconds: 10, load_test: None }
    }
}

/// How many nodes may be under disruptive repair at a time, in each pool.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BudgetFile {
    /// Percent of the pool's nodes, but always one node.
    pub at_most_percent: u32,
    /// When more nodes than this many percent (and more than two) are down for other reasons, none is repaired.
    pub down_percent: u32,
}

impl Default for BudgetFile {
    fn default() -> Self {
        Self { at_most_percent: 10, down_percent: 20 }
    }
}

/// When a pool as a whole says stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BrakesFile {
    /// When more than this many percent of a pool (and more than three nodes) newly ask for a reboot or a reimage within
    /// `stormSeconds`, nothing disruptive starts until fewer did; then one node at a time until the first is healed.
    pub storm_percent: u32,
    /// The time within which they ask.
    pub storm_seconds: u32,
    /// After so many attempts of one rung in a row that all failed in a pool, the rung stops there until a person resumes it.
    pub failed_attempts: u32,
    /// At this many percent of a pool with a taint of ours, no further one is placed.
    pub taint_percent: u32,
    /// When more than this many percent of a pool (and more than three nodes) are slow, no further one is called slow.
    pub slow_percent: u32,
}

impl Default for BrakesFile {
    fn default() -> Self {
        Self { storm_percent: 20, storm_seconds: 600, failed_attempts: 3, taint_percent: 50, slow_percent: 20 }
    }
}
