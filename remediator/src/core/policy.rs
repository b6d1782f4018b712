//! What a site has decided: which nodes are ours, how far we may go with them, and how long things may take.
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
    /// How far the ladder may be climbed in a pool, least first.
    pub enum Mode ("mode") { Observe = "observe", Taint = "taint", Reboot = "reboot", Reimage = "reimage" }
}

closed_words! {
    /// What happens to the pods of a node before it is rebooted.
    pub enum DrainMode ("drain") {
        None = "none",
        Evict = "evict",
        /// Pods may end by themselves, for a time; then they are evicted.
        WaitForJobs = "wait-for-jobs",
    }
}

/// A set of nodes with one way of treating them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    /// Labels that a node of the pool has, all of them.
    pub node_selector: BTreeMap<String, String>,
    pub mode: Mode,
    pub drain: DrainMode,
    /// Control-plane nodes are in a pool only when it says so.
    pub control_plane: bool,
    /// A cordoned node is repaired like any other.
    pub repair_cordoned: bool,
    /// When something disruptive may start; empty: always.
    pub windows: Vec<Window>,
}

/// The label of a node that says how many GPUs it has.
pub const GPUS: &str = "ossci.amd.com/gpus";

/// What a site puts on a node that people work on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Maintenance {
    /// Labels; an empty value stands for any.
    pub labels: BTreeMap<String, String>,
    /// Keys of taints.
    pub taints: BTreeSet<String>,
}

impl Maintenance {
    /// The first of the marks that is on the node, in words.
    pub fn on(&self, node: &NodeView) -> Option<String> {
        let label = self.labels.iter().find_map(|(key, wanted)| {
            let value = node.labels.get(key).filter(|value| wanted.is_empty() || *value == wanted)?;
            Some(format!("the label {key}={value}"))
        });
        label.or_else(|| self.taints.intersection(&node.other_taints).next().map(|key| format!("the taint {key}")))
    }
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// How long the evidence may take that is taken before a reboot or a reimage.
    pub capture: Duration,
    /// A Ready node whose agent takes no order for so long is a person's case.
    pub agent_silent: Duration,
    /// From the start of the drain until the repair goes on with pods still there.
    pub drain: Duration,
    /// How long pods may go on by themselves in a pool that waits for jobs.
    pub jobs: Duration,
    /// From the reboot order to a new boot id, and from there to Ready.
    pub boot: Duration,
    pub reimage: Duration,
    /// How long a new boot must have lasted before it is proven.
    pub stabilise: Duration,
    pub proof: Duration,
    /// When a complaint is older than this at the first disruptive order, the node is checked once more before it.
    pub fresh_evidence: Duration,
    /// An alert that began before a proof counts again when it still fires this long after it.
    pub complaint_grace: Duration,
    /// After a person took a taint off, no rung starts for this long.
    pub released_quiet: Duration,
    /// Between two network proofs of a slow node.
    pub network_retry: Duration,
}

/// What a proof asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofPolicy {
    pub passes: u32,
    pub failures: u32,
    pub gap: Duration,
    /// What a node has to stand on top of the checks, after a repair.
    pub load_test: Option<LoadTest>,
}

/// The site's provisioning service, as far as decisions go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisioningPolicy {
    /// The beginning of a hash of its address.
    pub service: String,
    /// How often it is asked how far a reimage is.
    pub every: Duration,
}

/// Where a script lies: a ConfigMap of our namespace and a key in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptPlace {
    pub config_map: String,
    pub key: String,
}

/// Everything that `decide` knows of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub pools: Vec<Pool>,
    pub times: Times,
    pub proof: ProofPolicy,
    /// What a reimage runs.
    pub reimage: ScriptPlace,
    /// The site's provisioning service reimages instead.
    pub provisioning: Option<ProvisioningPolicy>,
    /// How many nodes of a pool may be under disruptive repair at a time.
    pub budget: Limits,
    /// When a pool as a whole says stop.
    pub brakes: Brakes,
    pub maintenance: Maintenance,
}

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

impl Policy {
    /// The first pool that selects a node with these labels.
    pub fn pool_of(&self, labels: &BTreeMap<String, String>) -> Option<&Pool> {
        self.pools.iter().find(|pool| {
            (pool.control_plane || !labels.contains_key(CONTROL_PLANE))
                && pool.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        })
    }
}
