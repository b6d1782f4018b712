//! The decisions of a site: which nodes are managed, how far a repair may go, and how long each
//! step may take.
//!
//! The file form, with its defaults, is `wire::policy_file`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::brakes::Brakes;
use super::budget::Limits;
use super::names;
use super::observation::NodeView;
use super::record::{LoadTest, Releases, Script};
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

closed_words! {
    /// Who reimages a node.
    pub enum Method ("method") { Script = "script", Service = "service" }
}

/// How a node is reimaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reimages {
    pub script: Script,
    /// The releases that the script installs; `None`: those that the node has.
    pub releases: Option<Releases>,
    /// From the order to the end of the script, or of the service's work.
    pub time: Duration,
    /// A script does it although the site has a provisioning service.
    pub by_script: bool,
}

/// A set of nodes that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    /// Labels that a node of the pool has, all of them.
    pub node_selector: BTreeMap<String, String>,
    pub mode: Mode,
    pub drain: DrainMode,
    /// Whether a node waits while it has pods that an eviction would lose.
    pub keep_bare_pods: bool,
    /// Whether the pool may contain control-plane nodes.
    pub control_plane: bool,
    /// Whether a cordoned node is repaired like any other.
    pub repair_cordoned: bool,
    /// When something disruptive may start; empty: always.
    pub windows: Vec<Window>,
    pub reimages: Reimages,
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

impl Pool {
    /// Returns the value of the pool label: its name, in a form that Kubernetes accepts.
    pub fn label(&self) -> String {
        names::valid(&self.name)
    }

    fn selects(&self, node: &NodeView) -> bool {
        self.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
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
    /// How long a kernel that panicked may take to dump, where a crash kernel is loaded.
    pub dump: Duration,
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

/// What the Message-IDs of a site's mails are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailNames {
    /// The domain of the sender.
    pub domain: String,
    /// The cluster, in a form that a Message-ID may contain.
    pub cluster: String,
}

impl MailNames {
    /// Returns the Message-ID of what these parts name.
    pub fn message_id(&self, parts: &[&str]) -> String {
        let cluster = Some(self.cluster.as_str()).filter(|cluster| !cluster.is_empty());
        let parts: Vec<_> = cluster.into_iter().chain(parts.iter().copied()).collect();
        format!("<{}@{}>", parts.join("."), self.domain)
    }
}

/// All that `decide` knows of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The controller puts the pool label on the nodes that a pool selects.
    pub adopt: bool,
    pub pools: Vec<Pool>,
    pub times: Times,
    pub proof: ProofPolicy,
    /// How a node is reimaged whose pool is gone from the policy.
    pub reimages: Reimages,
    /// If set, the site's provisioning service reimages where no pool says otherwise.
    pub provisioning: Option<ProvisioningPolicy>,
    /// How many nodes of a pool may be under disruptive repair at a time.
    pub budget: Limits,
    /// The brakes of a whole pool.
    pub brakes: Brakes,
    pub maintenance: Maintenance,
    pub mail: MailNames,
}

/// The label of the nodes of a pool; its value is [`Pool::label`].
pub const POOL: &str = "ossci.amd.com/pool";
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

impl Policy {
    /// Returns the pool of a node in repair: the one on record while the policy has it, else the
    /// one that selects its labels. The fault may remove the labels.
    pub fn pool_for(&self, recorded: Option<&str>, node: &NodeView) -> Option<&Pool> {
        let named = recorded.and_then(|name| self.pools.iter().find(|pool| pool.name == name));
        named.or_else(|| self.pool_of(node))
    }

    /// Returns the pool of a node by its labels: the pool label decides. Without it, the node is
    /// not labelled yet and belongs to the first pool that selects it; or a person took the label
    /// off, or has to put it on, and it belongs to none. A label that names no pool is a person's,
    /// unless the controller put it on: then the pool was renamed.
    pub fn pool_of(&self, node: &NodeView) -> Option<&Pool> {
        let mut allowed =
            self.pools.iter().filter(|pool| pool.control_plane || !node.labels.contains_key(CONTROL_PLANE));
        let Some(label) = node.labels.get(POOL) else {
            return if node.adopted.is_some() || !self.adopt { None } else { allowed.find(|pool| pool.selects(node)) };
        };
        let named = allowed.clone().find(|pool| pool.label() == *label);
        let renamed = node.adopted.as_ref() == Some(label);
        named.or_else(|| allowed.find(|pool| renamed && pool.selects(node)))
    }

    /// Returns the value of the pool label that the node has to get with its annotation, if it does
    /// not have both. A label that somebody else put on gets the annotation, too.
    pub fn label_for(&self, node: &NodeView) -> Option<String> {
        let label = self.pool_of(node).filter(|_| self.adopt)?.label();
        (node.labels.get(POOL) != Some(&label) || node.adopted.as_ref() != Some(&label)).then_some(label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decide::table;

    /// A policy with pools `a` and `b (old)`, each selected by the label `kind`.
    fn policy() -> Policy {
        let base = table::policy(Some(Mode::Reboot));
        let pool = |name: &str, kind: &str| {
            let node_selector = [("kind".to_owned(), kind.to_owned())].into();
            Pool { name: name.to_owned(), node_selector, ..base.pools[0].clone() }
        };
        Policy { pools: vec![pool("a", "a"), pool("b (old)", "b")], ..base }
    }

    fn node(labels: &[(&str, &str)]) -> NodeView {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        NodeView {
            name: "gpu-1".into(),
            uid: "uid".into(),
            boot_id: "boot".into(),
            ready: true,
            taints: BTreeSet::new(),
            hold: None,
            cordoned: false,
            labels,
            system_uuid: None,
            adopted: None,
            said: None,
            verify: None,
            other_taints: BTreeSet::new(),
            addresses: vec![],
        }
    }

    #[test]
    fn the_pool_label_decides_and_then_the_selector() {
        let (policy, b) = (policy(), names::valid("b (old)"));
        // The labels, the annotation; the pool, and the label that it has to get.
        for (labels, adopted, pool, gets) in [
            (&[("kind", "a")][..], None, Some("a"), Some("a")),
            (&[("kind", "b")], None, Some("b (old)"), Some(b.as_str())),
            (&[("kind", "c")], None, None, None),
            (&[], None, None, None),
            // The fault has removed what selected it.
            (&[(POOL, "a")], Some("a"), Some("a"), None),
            (&[("kind", "a"), (POOL, &b)], Some(&b), Some("b (old)"), None),
            // The site put the label on.
            (&[(POOL, "a")], None, Some("a"), Some("a")),
            // A person moved it to another pool, out of all, and took the label off.
            (&[("kind", "a"), (POOL, &b)], Some("a"), Some("b (old)"), Some(&b)),
            (&[("kind", "a"), (POOL, "parked")], Some("a"), None, None),
            (&[("kind", "a"), (POOL, "parked")], None, None, None),
            (&[("kind", "a")], Some("a"), None, None),
            // Its pool was renamed.
            (&[("kind", "a"), (POOL, "before")], Some("before"), Some("a"), Some("a")),
            (&[(POOL, "before")], Some("before"), None, None),
            (&[("kind", "a"), (CONTROL_PLANE, "")], None, None, None),
            (&[(POOL, "a"), (CONTROL_PLANE, "")], None, None, None),
        ] {
            let node = NodeView { adopted: adopted.map(str::to_owned), ..node(labels) };
            assert_eq!(policy.pool_of(&node).map(|pool| pool.name.as_str()), pool, "{labels:?} {adopted:?}");
            assert_eq!(policy.label_for(&node).as_deref(), gets, "{labels:?} {adopted:?}");
        }
    }

    #[test]
    fn where_people_set_the_label_nothing_else_selects() {
        let by_hand = Policy { adopt: false, ..policy() };
        assert!(by_hand.pool_of(&node(&[("kind", "a")])).is_none());
        let labelled = node(&[(POOL, "a")]);
        assert!(by_hand.pool_of(&labelled).is_some() && by_hand.label_for(&labelled).is_none());
    }
}
