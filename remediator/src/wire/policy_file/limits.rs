//! The policy's sections `times`, `proof`, `budget` and `brakes`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::core::record::{LoadTest, Script};

/// The time limits of a repair.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimesFile {
    /// Limit for capturing the evidence before a reboot or a reimage; then the repair continues
    /// without it.
    pub capture_seconds: u32,
    /// A Ready node whose agent takes no order for this long goes to a person.
    pub agent_silent_seconds: u32,
    /// From the start of the drain until the repair continues with pods still there.
    pub drain_seconds: u32,
    /// How long pods may finish by themselves in a pool with `drain: wait-for-jobs`, from the start
    /// of the repair.
    pub jobs_seconds: u32,
    /// From the reboot order to a new boot ID, and from there to Ready. Where the slowest boot of
    /// the pool that the controller ordered took long, half as long again as that one, up to three
    /// times this.
    pub boot_seconds: u32,
    /// From the reimage order to the end of its script. One that exits with 75 changed nothing, and
    /// is ordered again each twelfth of this time.
    pub reimage_seconds: u32,
    /// How long a new boot must have lasted before it is proven.
    pub stabilise_seconds: u32,
    /// From the first proof order to its end. A node not proven by then goes to a person.
    pub proof_seconds: u32,
    /// The checks of a boot have to fail over at least this time before a reimage: a driver may
    /// load late.
    pub reimage_evidence_seconds: u32,
    /// When a node has waited with our taint for this long, whatever for, a mail tells a person.
    /// The wait goes on.
    pub waiting_seconds: u32,
    /// After a successful proof, alerts that began before it are ignored for this long. Keep it
    /// well above Alertmanager's group_interval: a notification can be that old.
    pub complaint_grace_seconds: u32,
    /// After a person removed a taint, no rung starts for this long.
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
            reimage_evidence_seconds: 600,
            waiting_seconds: 86_400,
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
    /// Number of passes in a row that prove health.
    pub passes: u32,
    /// Number of failures in a row that disprove it.
    pub failures: u32,
    /// Between two runs of the checks.
    pub gap_seconds: u32,
    /// A load test that has to pass once after a repair, when all checks have passed. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTestFile>,
}

/// A load test provided by the site, run on the node's host as root.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoadTestFile {
    /// A ConfigMap in our namespace. Agents may read this one and that of the reimage script: for
    /// another, change `deploy/rbac.yaml`.
    #[serde(default = "load_test_map")]
    pub config_map: String,
    /// The key of the script in it, a bash script. Exit status 0 is a pass.
    #[serde(default = "load_test_key")]
    pub key: String,
    /// Time limit; when it expires, the test is stopped and has failed.
    pub seconds: u32,
}

fn load_test_map() -> String {
    "ossci-load-test".to_owned()
}

fn load_test_key() -> String {
    "load-test.sh".to_owned()
}

impl LoadTestFile {
    pub(super) fn load_test(&self) -> LoadTest {
        LoadTest { script: Script::at(&self.config_map, &self.key), seconds: self.seconds }
    }
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
    /// Percentage of the pool's nodes, but always one node.
    pub at_most_percent: u32,
    /// If more than this percentage of the nodes, and more than two, are down for other reasons,
    /// none is repaired.
    pub down_percent: u32,
}

impl Default for BudgetFile {
    fn default() -> Self {
        Self { at_most_percent: 10, down_percent: 20 }
    }
}

/// When the repairs of a whole pool stop.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BrakesFile {
    /// If more than this percentage of a pool, and more than three nodes, newly ask for a reboot or
    /// a reimage within `stormSeconds`, nothing disruptive starts until fewer did. Then one node at
    /// a time is repaired, until the first is healed.
    pub storm_percent: u32,
    /// The time window in which they ask.
    pub storm_seconds: u32,
    /// After this number of attempts in a row of one rung in a pool that all failed, the rung stops
    /// there until a person resumes it.
    pub failed_attempts: u32,
    /// At this percentage of a pool with our taints, no further taint is placed.
    pub taint_percent: u32,
    /// If more than this percentage of a pool, and more than three nodes, have a slow network, no
    /// further node is tainted as slow.
    pub slow_percent: u32,
}

impl Default for BrakesFile {
    fn default() -> Self {
        Self { storm_percent: 20, storm_seconds: 600, failed_attempts: 3, taint_percent: 50, slow_percent: 20 }
    }
}
