//! The decisions of a site: which nodes are managed, how far a repair may go, and how long each
//! step may take.
//!
//! The file form, with its defaults, is `wire::policy_file`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::brakes::Brakes;
use super::budget::Limits;
use super::observation::NodeView;
use super::record::LoadTest;
use super::window::Window;
use ossci_base::closed_words;

closed_words! {
    /// The highest step allowed in a pool, lowest first.
    pub enum Mode ("mode") { Observe = "observe", Taint = "taint", Reboot = "reboot", Reimage = "reimage" }
}

closed_words! {
    /// What happens to a node's pods before a reboot.
    pub enum DrainMode ("drain") {
        None = "none",
        Evict = "evict",
        /// Pods may finish by themselves for some time; then they are evicted.
        WaitForJobs = "wait-for-jobs",
    }
}

/// A set of nodes that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    /// Labels that a node of the pool has, all of them.
    pub node_selector: BTreeMap<String, String>,
    pub mode: Mode,
    pub drain: DrainMode,
    /// Whether the pool may contain control-plane nodes.
    pub control_plane: bool,
    /// Whether a cordoned node is repaired like any other.
    pub repair_cordoned: bool,
    /// When something disruptive may start; empty: always.
    pub windows: Vec<Window>,
}

/// The node label with the number of GPUs.
pub const GPUS: &str = "ossci.amd.com/gpus";

/// The marks that a site puts on a node under maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// Labels; an empty value matches any.
    pub labels: BTreeMap<String, String>,
    /// Taint keys.
    pub taints: BTreeSet<String>,
}

impl Maintenance {
    /// Returns the first mark that is on the node, in words.
    pub fn on(&self, node: &NodeView) -> Option<String> {
        let label = self.labels.iter().find_map(|(key, wanted)| {
            let value = node.labels.get(key).filter(|value| wanted.is_empty() || *value == wanted)?;
            Some(format!("the label {key}={value}"))
        });
        label.or_else(|| self.taints.intersection(&node.other_taints).next().map(|key| format!("the taint {key}")))
    }
}

/// The time limits of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Limit for capturing the evidence before a reboot or a reimage.
    pub capture: Duration,
    /// A Ready node whose agent takes no order for this long goes to a person.
    pub agent_silent: Duration,
    /// From the start of the drain until the repair continues with pods still there.
    pub drain: Duration,
    /// How long pods may finish by themselves in a pool that waits for jobs.
    pub jobs: Duration,
    /// From the reboot order to a new boot ID, and from there to Ready.
    pub boot: Duration,
    pub reimage: Duration,
    /// How long a new boot must have lasted before it is proven.
    pub stabilise: Duration,
    pub proof: Duration,
    /// The checks of a boot have to fail over at least this time before a reimage.
    pub reimage_evidence: Duration,
    /// After this time a mail tells a person of a node that waits with our taint.
    pub waiting: Duration,
    /// After a proof, alerts that began before it are ignored for this long.
    pub complaint_grace: Duration,
    /// After a person removed a taint, no rung starts for this long.
    pub released_quiet: Duration,
    /// Between two network proofs of a slow node.
    pub network_retry: Duration,
}

/// What a proof requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPolicy {
    pub passes: u32,
    pub failures: u32,
    pub gap: Duration,
    /// A load test that a node has to pass in addition to the checks, after a repair.
    pub load_test: Option<LoadTest>,
}

/// The site's provisioning service, as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningPolicy {
    /// The first digits of a hash of its address.
    pub service: String,
    /// How often the state of a reimage is requested.
    pub every: Duration,
}

/// The location of a script: a ConfigMap in our namespace, and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPlace {
    pub config_map: String,
    pub key: String,
}

/// All that `decide` knows of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub pools: Vec<Pool>,
    pub times: Times,
    pub proof: ProofPolicy,
    /// The script of a reimage.
    pub reimage: ScriptPlace,
    /// If set, the site's provisioning service reimages instead.
    pub provisioning: Option<ProvisioningPolicy>,
    /// How many nodes of a pool may be under disruptive repair at a time.
    pub budget: Limits,
    /// The brakes of a whole pool.
    pub brakes: Brakes,
    pub maintenance: Maintenance,
}

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

impl Policy {
    /// Returns the pool of a node in repair: the one on record while the policy has it, else the
    /// one that selects its labels. The fault may remove the labels.
    pub fn pool_for(&self, recorded: Option<&str>, labels: &BTreeMap<String, String>) -> Option<&Pool> {
        let named = recorded.and_then(|name| self.pools.iter().find(|pool| pool.name == name));
        named.or_else(|| self.pool_of(labels))
    }

    /// Returns the first pool that selects a node with these labels.
    pub fn pool_of(&self, labels: &BTreeMap<String, String>) -> Option<&Pool> {
        self.pools.iter().find(|pool| {
            (pool.control_plane || !labels.contains_key(CONTROL_PLANE))
                && pool.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    }
}
