//! The order that the controller gives a node's agent, and the agent's report on it. An order is
//! data: what runs on a node is a script of a ConfigMap, which the order names by its hash.

use std::ops::Not;
use std::sync::LazyLock;

use jiff::Timestamp;
pub use ossci_base::contract::inventory::{Card, Inventory};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Verdict;
use ossci_base::closed_words;

closed_words! {
    /// What an order asks of the agent.
    pub enum OrderKind ("order") {
        Prove = "prove",
        /// Capture the evidence that a reboot or a reimage would destroy.
        Capture = "capture",
        Reboot = "reboot", Reimage = "reimage",
    }
}

impl OrderKind {
    /// Whether it ends a boot or changes the installed system.
    pub fn is_disruptive(self) -> bool {
        matches!(self, Self::Reboot | Self::Reimage)
    }
}

closed_words! {
    /// Which checks a proof runs.
    pub enum ProofOf ("proof") { Gpu = "gpu", Network = "network" }
}

/// A load test provided by the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadTest {
    pub script: Script,
    /// Time limit in seconds; when it expires, the test is stopped and has failed.
    #[schemars(range(min = 1))]
    pub seconds: u32,
}

/// What a proof has to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProofTerms {
    pub of: ProofOf,
    /// Number of passes in a row that prove health.
    #[schemars(range(min = 1))]
    pub passes: u32,
    /// Number of failures in a row that disprove it; 0: keep trying until the deadline.
    pub failures: u32,
    /// Time between two runs, seconds.
    pub gap_seconds: u32,
    /// The loaded driver has to be the installed one, too.
    #[serde(default)]
    pub driver: bool,
    /// A load test that has to pass once, after the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_test: Option<LoadTest>,
    /// The GPUs that the node has to show; `None`: the number that the exporter expects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// Only runs that began after this count.
    pub after: Timestamp,
}

/// The form of an order's id: it is part of file and unit names on the node.
const ID: &str = "^[a-z0-9][a-z0-9-]{0,62}$";
/// The name of a ConfigMap, a key in it, and a SHA-256. Source: kubernetes.io/docs/concepts,
/// "Object Names and IDs" (DNS subdomain) and "ConfigMaps".
const CONFIG_MAP: &str = "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$";
const KEY: &str = "^[-._a-zA-Z0-9]{1,253}$";
const SHA256: &str = "^[0-9a-f]{64}$";

/// A script in a ConfigMap of our namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    #[schemars(regex(pattern = CONFIG_MAP))]
    pub config_map: String,
    #[schemars(regex(pattern = KEY))]
    pub key: String,
    /// SHA-256 of the script when the order was written, 64 hexadecimal digits. `None`: the script
    /// did not exist, or the order is not written yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SHA256))]
    pub sha256: Option<String>,
}

impl Script {
    /// Returns the script at a place that the policy names.
    pub fn at(config_map: &str, key: &str) -> Self {
        Self { config_map: config_map.to_owned(), key: key.to_owned(), sha256: None }
    }

    /// Whether its fields have the form that the CRD demands.
    pub fn is_well_formed(&self) -> bool {
        static FORMS: LazyLock<Option<[Regex; 3]>> = LazyLock::new(|| forms([CONFIG_MAP, KEY, SHA256]));
        FORMS.as_ref().is_some_and(|[config_map, key, sha256]| {
            config_map.is_match(&self.config_map)
                && key.is_match(&self.key)
                && self.sha256.as_ref().is_none_or(|hash| sha256.is_match(hash))
        })
    }
}

fn forms<const N: usize>(patterns: [&str; N]) -> Option<[Regex; N]> {
    let read: Vec<Regex> = patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect();
    read.try_into().ok()
}

/// A release as AMD writes it, such as 7.2.4 or 30.30.3; or the word `none`.
const RELEASE: &str = "^([0-9]{1,4}(\\.[0-9]{1,4}){1,3}|none)$";

/// The releases that a pool names for the reimage script. Absent: those that the node has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Releases {
    /// Of ROCm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = RELEASE))]
    pub rocm: Option<String>,
    /// Of the driver; `none`: the kernel's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = RELEASE))]
    pub driver: Option<String>,
}

impl Releases {
    /// Returns the settings of the script, by their names in it.
    pub fn settings(&self) -> Vec<(&'static str, &str)> {
        let both = [("ROCM", &self.rocm), ("DRIVER", &self.driver)];
        both.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect()
    }

    /// Returns the first value that is no release. It would become a line of a script.
    pub fn malformed(&self) -> Option<&str> {
        static FORM: LazyLock<Option<[Regex; 1]>> = LazyLock::new(|| forms([RELEASE]));
        let is_release = |text: &str| FORM.as_ref().is_some_and(|[release]| release.is_match(text));
        [&self.rocm, &self.driver].into_iter().flatten().map(String::as_str).find(|text| !is_release(text))
    }
}

/// An order for the node's agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    #[schemars(regex(pattern = ID))]
    pub id: String,
    pub kind: OrderKind,
    /// The boot that a reboot or reimage order is for. An order carried out twice thus ends one
    /// boot.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub issued_at: Timestamp,
    /// The agent starts nothing after this.
    pub deadline: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<ProofTerms>,
    /// The script of a reimage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
    /// The releases that this script installs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<Releases>,
}

impl Order {
    /// Returns the script that the order runs on the node, if any.
    pub fn script(&self) -> Option<&Script> {
        let load_test = || self.proof.as_ref()?.load_test.as_ref();
        self.script.as_ref().or_else(|| load_test().map(|test| &test.script))
    }

    /// Returns [`Order::script`] for a change.
    pub fn script_mut(&mut self) -> Option<&mut Script> {
        let load_test = self.proof.as_mut().and_then(|proof| proof.load_test.as_mut());
        self.script.as_mut().or(load_test.map(|test| &mut test.script))
    }

    /// Returns what no order of a controller has. The agent refuses such an order, because a
    /// cluster may have an older CRD, or none of our admission policies.
    pub fn fault(&self) -> Option<&'static str> {
        static FORM: LazyLock<Option<[Regex; 1]>> = LazyLock::new(|| forms([ID]));
        if !FORM.as_ref().is_some_and(|[id]| id.is_match(&self.id)) {
            return Some("its id is not lower-case letters, digits and hyphens, at most 63");
        }
        if self.script().is_some_and(|script| !script.is_well_formed()) {
            return Some("its script is not a ConfigMap, a key and a SHA-256");
        }
        match &self.releases {
            Some(_) if self.kind != OrderKind::Reimage => return Some("only a reimage has releases"),
            Some(releases) if releases.malformed().is_some() => return Some("its releases are not like 7.2.4"),
            _ => {}
        }
        match (self.kind, &self.proof, &self.script) {
            (OrderKind::Prove, Some(terms), None) => {
                let idle = terms.load_test.as_ref().is_some_and(|test| test.seconds == 0);
                (terms.passes == 0 || idle).then_some("a proof needs at least one pass, and a load test one second")
            }
            (OrderKind::Prove, ..) => Some("a proof needs terms and no script of its own"),
            (OrderKind::Reimage, None, Some(_)) | (OrderKind::Capture | OrderKind::Reboot, None, None) => None,
            (OrderKind::Reimage, ..) => Some("a reimage needs a script and no terms of proof"),
            (OrderKind::Capture | OrderKind::Reboot, ..) => Some("it needs neither a script nor terms of proof"),
        }
    }

    /// Returns until when a reboot is asked for that an inhibitor lock holds off: half of the
    /// order's time. The shutdown and the boot need the other half.
    pub fn held_off_until(&self) -> Timestamp {
        halfway(self.issued_at, self.deadline)
    }

    /// Returns a key that no other order of this node has. The id may repeat after the record was
    /// deleted; the time does not.
    pub fn key(&self) -> String {
        format!("{}-{}", self.id, self.issued_at.as_second())
    }
}

/// Returns the time in the middle of two.
pub fn halfway(from: Timestamp, to: Timestamp) -> Timestamp {
    from.checked_add(to.duration_since(from) / 2).unwrap_or(to)
}

closed_words! {
    /// The agent's progress with an order.
    pub enum AgentState ("agent state") {
        /// The agent has begun; the order cannot be withdrawn any more.
        Running = "Running",
        Done = "Done", Failed = "Failed", Refused = "Refused",
        /// An inhibitor lock of systemd holds off the reboot: nothing has begun, and the agent asks
        /// again until the order's deadline.
        Inhibited = "Inhibited",
        /// The script of a reimage changed nothing, because of something that passes by itself.
        Postponed = "Postponed",
        /// A reimage without a result that ran on another boot, or in another agent process.
        Interrupted = "Interrupted",
    }
}

impl AgentState {
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Inhibited)
    }
}

closed_words! {
    /// The result of a proof. Unknown is not failed.
    pub enum Proof ("proof result") { Passed = "passed", Failed = "failed", Unknown = "unknown" }
}

/// The agent's report on an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentReport {
    #[serde(rename = "orderID")]
    pub order_id: String,
    /// The boot that the agent was on when it reported; the Node may still show an older one.
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub state: AgentState,
    pub at: Timestamp,
    pub message: String,
    /// A crash kernel is loaded (kdump): a panic is followed by a dump, which a reset would
    /// destroy.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub crash_kernel: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<Verdict>,
    /// The end of this boot's kernel log, if the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_log: Option<String>,
    /// The ConfigMap in our namespace with the rest of the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// The GPUs that the node should show, if the order was a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Inventory>,
    /// What names these GPUs, if the order was a capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
    /// The versions that were in use, if the order was a capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub software: Option<Software>,
}

/// The versions that a node used, as far as it says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Software {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Of the module `amdgpu` that was loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rocm: Option<String>,
}

impl AgentReport {
    /// Returns a report without the fields of a proof or a capture.
    pub fn plain(order_id: String, boot_id: String, state: AgentState, at: Timestamp, message: String) -> Self {
        Self {
            order_id,
            boot_id,
            state,
            at,
            message,
            crash_kernel: false,
            proof: None,
            verdicts: Vec::new(),
            kernel_log: None,
            evidence: None,
            expected: None,
            cards: Vec::new(),
            software: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(kind: OrderKind) -> Order {
        let (issued_at, deadline) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        Order {
            id: "3-reboot-1".into(),
            kind,
            boot_id: "boot".into(),
            issued_at,
            deadline,
            proof: None,
            script: None,
            releases: None,
        }
    }

    fn proof() -> Order {
        let load_test = Some(LoadTest { script: hashed(), seconds: 900 });
        let proof = ProofTerms {
            of: ProofOf::Gpu,
            passes: 3,
            failures: 3,
            gap_seconds: 10,
            driver: false,
            load_test,
            expected: None,
            after: Timestamp::UNIX_EPOCH,
        };
        Order { proof: Some(proof), ..order(OrderKind::Prove) }
    }

    fn reimage(rocm: Option<&str>, driver: Option<&str>) -> Order {
        let releases = Releases { rocm: rocm.map(str::to_owned), driver: driver.map(str::to_owned) };
        Order { script: Some(hashed()), releases: Some(releases), ..order(OrderKind::Reimage) }
    }

    fn hashed() -> Script {
        Script { sha256: Some("0f".repeat(32)), ..Script::at("ossci-load-test", "load-test.sh") }
    }

    #[test]
    fn an_order_of_a_controller_has_no_fault() {
        let named = reimage(Some("7.2.4"), Some("none"));
        let plain = Order { releases: None, ..named.clone() };
        for order in [order(OrderKind::Reboot), order(OrderKind::Capture), proof(), plain, named] {
            assert_eq!(order.fault(), None, "{order:?}");
        }
    }

    #[test]
    fn an_order_that_no_controller_writes_has_a_fault() {
        let named = |id: &str| Order { id: id.to_owned(), ..order(OrderKind::Reboot) };
        let long = "a".repeat(64);
        for id in ["", "../../etc", "1-reboot-1/x", "1 reboot", "-1", "A", &long, "a\n"] {
            assert!(named(id).fault().is_some(), "{id:?}");
        }
        let change = |change: &dyn Fn(&mut ProofTerms)| {
            let mut order = proof();
            order.proof.as_mut().into_iter().for_each(change);
            order
        };
        let script = |script: Script| {
            change(&move |terms| terms.load_test = Some(LoadTest { script: script.clone(), seconds: 1 }))
        };
        for order in [
            order(OrderKind::Prove),
            order(OrderKind::Reimage),
            Order { script: Some(hashed()), ..order(OrderKind::Reboot) },
            Order { releases: Some(Releases::default()), ..order(OrderKind::Reboot) },
            reimage(Some("7.2.4\nrm -rf /"), None),
            reimage(None, Some("$(reboot)")),
            reimage(Some(""), None),
            Order { script: Some(hashed()), ..proof() },
            Order { kind: OrderKind::Reboot, ..proof() },
            change(&|terms| terms.passes = 0),
            change(&|terms| terms.load_test = Some(LoadTest { script: hashed(), seconds: 0 })),
            script(Script::at("../kube-system", "load-test.sh")),
            script(Script::at("ossci-load-test", "../../etc/passwd")),
            script(Script { sha256: Some("; rm -rf /".into()), ..hashed() }),
        ] {
            assert!(order.fault().is_some(), "{order:?}");
        }
    }
}
