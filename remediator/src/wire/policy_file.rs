//! The policy file: YAML, one file, unknown keys refused. Every value has a default but the pools' selectors and the
//! mail's addresses; every unit is in the name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::slim_node::TaintNames;
use super::word::Word;
use crate::closed_words;
use crate::core::brakes::Brakes;
use crate::core::budget::Limits;
use crate::core::policy::{DrainMode, Maintenance, Mode, Policy, Pool, ProofPolicy, Script, Times};
use crate::core::window::{DAYS, Window};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// The alerts' label `cluster` that is ours; alerts of another cluster are ignored. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// A DNS prefix for all four taints (`example.com` makes `example.com/repair-reboot`). Absent: bare keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint_prefix: Option<String>,
    /// A node belongs to the first pool that selects it; a node in no pool is never touched.
    pub pools: Vec<PoolFile>,
    #[serde(default)]
    pub times: TimesFile,
    #[serde(default)]
    pub proof: ProofFile,
    #[serde(default)]
    pub reimage: ReimageFile,
    #[serde(default)]
    pub budget: BudgetFile,
    #[serde(default)]
    pub brakes: BrakesFile,
    #[serde(default)]
    pub maintenance: MaintenanceFile,
    /// Absent: only the webhook tells of alerts, and silences are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<AlertmanagerFile>,
    /// Absent: escalations are only logged, and stay in phase Escalating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolFile {
    /// As it stands in reasons, metrics and mails.
    pub name: String,
    /// Labels that a node of the pool has, all of them.
    pub node_selector: BTreeMap<String, String>,
    /// How far the ladder may be climbed: `observe` records what would be done and changes nothing.
    #[serde(default = "observe")]
    pub mode: Word<Mode>,
    /// What happens to the pods of a node before it is rebooted.
    #[serde(default = "evict")]
    pub drain: Word<DrainMode>,
    /// Control-plane nodes are in the pool only when this is true.
    #[serde(default)]
    pub control_plane: bool,
    /// Cordoned nodes are drained, rebooted and reimaged like any other.
    #[serde(default)]
    pub repair_cordoned: bool,
    /// When something disruptive may start. Absent: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowFile>,
}

/// A time of the week. One that ends before it begins ends on the next day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowFile {
    /// The days on which it begins: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent: every day.
    #[serde(default = "every_day")]
    pub days: Vec<String>,
    /// `22:00`.
    pub from: String,
    /// `06:00`.
    pub to: String,
    /// A name of the IANA time zone database, `Europe/Berlin`.
    #[serde(default = "utc")]
    pub time_zone: String,
}

fn every_day() -> Vec<String> {
    DAYS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn utc() -> String {
    "UTC".to_owned()
}

impl WindowFile {
    fn window(&self, pool: &str) -> Result<Window, PolicyError> {
        let time = |text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| PolicyError::NoTime(pool.to_owned(), text.to_owned()))
        };
        let day = |name: &String| {
            let known = DAYS.iter().find(|(known, _)| known == name);
            known.map(|(_, day)| *day).ok_or_else(|| PolicyError::NoDay(pool.to_owned(), name.clone()))
        };
        let zone = TimeZone::get(&self.time_zone);
        Ok(Window {
            days: self.days.iter().map(day).collect::<Result<_, _>>()?,
            from: time(&self.from)?,
            to: time(&self.to)?,
            zone: zone.map_err(|_| PolicyError::NoZone(pool.to_owned(), self.time_zone.clone()))?,
        })
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

/// What a site puts on a node that people work on: such a node may be tainted, it is not drained, rebooted or reimaged.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaintenanceFile {
    /// Labels; an empty value stands for any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Keys of taints.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub taints: BTreeSet<String>,
}

/// Where Alertmanager is asked what fires and what is silenced.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerFile {
    /// Every replica by itself: `https://alertmanager-0.alertmanager:9093`.
    pub urls: Vec<String>,
    /// How often every replica is asked.
    #[serde(default = "a_minute")]
    pub poll_seconds: u32,
    /// A PEM file with the CA of the replicas, where it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file that holds a bearer token, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

fn a_minute() -> u32 {
    60
}

impl PoolFile {
    fn windows(&self) -> Result<Vec<Window>, PolicyError> {
        self.windows.iter().map(|window| window.window(&self.name)).collect()
    }
}

fn observe() -> Word<Mode> {
    Word(Mode::Observe)
}

fn evict() -> Word<DrainMode> {
    Word(DrainMode::Evict)
}

/// How long things may take.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TimesFile {
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
}

impl Default for ProofFile {
    fn default() -> Self {
        Self { passes: 3, failures: 3, gap_seconds: 10 }
    }
}

/// Where the script of a reimage lies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReimageFile {
    /// A ConfigMap of our namespace.
    pub config_map: String,
    /// The script's name in it.
    pub key: String,
}

impl Default for ReimageFile {
    fn default() -> Self {
        Self { config_map: "ossci-reimage".to_owned(), key: "reimage.sh".to_owned() }
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

closed_words! {
    /// How the mail server is talked to.
    pub enum Tls ("tls") { StartTls = "starttls", None = "none" }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailFile {
    /// `OSSCI Ops <ossci@example.com>`.
    pub from: String,
    /// Whoever is to be asked.
    pub to: Vec<String>,
    /// Host name of the SMTP server, as it is in its certificate.
    pub server: String,
    /// Of the SMTP server; 587.
    #[serde(default = "submission")]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default = "starttls")]
    pub tls: Word<Tls>,
    /// A PEM file with the CA of the server, where it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Absent: the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Links for the reader; `{node}` is replaced by the node's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

fn submission() -> u16 {
    587
}

fn starttls() -> Word<Tls> {
    Word(Tls::StartTls)
}

/// A policy that cannot be used, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("{0}")]
    Yaml(#[from] serde_saphyr::Error),
    #[error("pools: name at least one pool; a node in no pool is never touched")]
    NoPool,
    #[error("pools: the name {0:?} stands there twice; give each pool its own")]
    TwoPools(String),
    #[error("pools.{0}.nodeSelector is empty and would select every node; name at least one label")]
    EmptySelector(String),
    #[error("proof.{0} is 0; a proof needs at least one run")]
    NoRuns(&'static str),
    #[error("budget.{0} is above 100; it is a share of the pool's nodes in percent")]
    NoShare(&'static str),
    #[error("pools.{0}.windows: {1:?} is not a time of day; write it like 22:00")]
    NoTime(String, String),
    #[error("pools.{0}.windows: {1:?} is not a day; use Mon, Tue, Wed, Thu, Fri, Sat or Sun")]
    NoDay(String, String),
    #[error("pools.{0}.windows: {1:?} is not a time zone; use a name like Europe/Berlin")]
    NoZone(String, String),
    #[error("brakes.{0} is 0; leave it out for its default, or give the number that the brake begins at")]
    NoBrake(&'static str),
    #[error("alertmanager.urls: {0:?} is not an address like http://alertmanager-0:9093")]
    NoAddress(String),
    #[error("alertmanager.pollSeconds is 0; say how often to ask")]
    NoPoll,
    #[error("mail.to is empty; name at least one address")]
    NoReader,
}

impl PolicyFile {
    /// Reads and checks a policy file.
    pub fn parse(yaml: &str) -> Result<Self, PolicyError> {
        let file: Self = serde_saphyr::from_str(yaml)?;
        if file.pools.is_empty() {
            return Err(PolicyError::NoPool);
        }
        for (at, pool) in file.pools.iter().enumerate() {
            if pool.node_selector.is_empty() {
                return Err(PolicyError::EmptySelector(pool.name.clone()));
            }
            if file.pools[..at].iter().any(|other| other.name == pool.name) {
                return Err(PolicyError::TwoPools(pool.name.clone()));
            }
        }
        if file.proof.passes == 0 {
            return Err(PolicyError::NoRuns("passes"));
        }
        if file.proof.failures == 0 {
            return Err(PolicyError::NoRuns("failures"));
        }
        if file.budget.at_most_percent > 100 {
            return Err(PolicyError::NoShare("atMostPercent"));
        }
        if file.budget.down_percent > 100 {
            return Err(PolicyError::NoShare("downPercent"));
        }
        let brakes = &file.brakes;
        let zeros = [
            ("stormSeconds", brakes.storm_seconds),
            ("failedAttempts", brakes.failed_attempts),
            ("taintPercent", brakes.taint_percent),
        ];
        if let Some((name, _)) = zeros.into_iter().find(|(_, value)| *value == 0) {
            return Err(PolicyError::NoBrake(name));
        }
        if let Some(alertmanager) = &file.alertmanager {
            let address = |url: &&String| url.starts_with("http://") || url.starts_with("https://");
            if let Some(url) = alertmanager.urls.iter().find(|url| !address(url)) {
                return Err(PolicyError::NoAddress(url.clone()));
            }
            if alertmanager.urls.is_empty() {
                return Err(PolicyError::NoAddress(String::new()));
            }
            if alertmanager.poll_seconds == 0 {
                return Err(PolicyError::NoPoll);
            }
        }
        for pool in &file.pools {
            pool.windows()?;
        }
        if file.mail.as_ref().is_some_and(|mail| mail.to.is_empty()) {
            return Err(PolicyError::NoReader);
        }
        Ok(file)
    }

    /// What the core decides by.
    pub fn policy(&self) -> Policy {
        let seconds = |n: u32| Duration::from_secs(n.into());
        let times = &self.times;
        Policy {
            pools: self
                .pools
                .iter()
                .map(|pool| Pool {
                    name: pool.name.clone(),
                    node_selector: pool.node_selector.clone(),
                    mode: pool.mode.0,
                    drain: pool.drain.0,
                    control_plane: pool.control_plane,
                    repair_cordoned: pool.repair_cordoned,
                    // Every window was read once by `parse`.
                    windows: pool.windows().unwrap_or_default(),
                })
                .collect(),
            times: Times {
                drain: seconds(times.drain_seconds),
                jobs: seconds(times.jobs_seconds),
                boot: seconds(times.boot_seconds),
                reimage: seconds(times.reimage_seconds),
                stabilise: seconds(times.stabilise_seconds),
                proof: seconds(times.proof_seconds),
                fresh_evidence: seconds(times.fresh_evidence_seconds),
                complaint_grace: seconds(times.complaint_grace_seconds),
                released_quiet: seconds(times.released_quiet_seconds),
                network_retry: seconds(times.network_retry_seconds),
            },
            proof: ProofPolicy {
                passes: self.proof.passes,
                failures: self.proof.failures,
                gap: seconds(self.proof.gap_seconds),
            },
            budget: Limits { percent: self.budget.at_most_percent, down_percent: self.budget.down_percent },
            brakes: Brakes {
                storm_percent: self.brakes.storm_percent,
                storm_window: seconds(self.brakes.storm_seconds),
                failed_attempts: self.brakes.failed_attempts,
                taint_percent: self.brakes.taint_percent,
                slow_percent: self.brakes.slow_percent,
            },
            maintenance: Maintenance {
                labels: self.maintenance.labels.clone(),
                taints: self.maintenance.taints.clone(),
            },
            reimage: Script { config_map: self.reimage.config_map.clone(), key: self.reimage.key.clone() },
        }
    }

    /// How this site spells the taints.
    pub fn taint_names(&self) -> TaintNames {
        TaintNames { prefix: self.taint_prefix.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = "pools: [{name: gpu, nodeSelector: {gpu: 'true'}}]";

    #[test]
    fn the_smallest_policy_observes_and_changes_nothing() {
        let policy = PolicyFile::parse(SMALLEST).unwrap().policy();
        assert_eq!(policy.pools[0].mode, Mode::Observe);
        assert_eq!(policy.times.stabilise, Duration::from_secs(300));
    }

    #[test]
    fn a_bad_policy_is_refused_with_a_sentence() {
        let refused = |yaml: &str| PolicyFile::parse(yaml).unwrap_err().to_string();
        assert!(refused("pools: []").contains("at least one pool"));
        assert!(refused("pools: [{name: gpu, nodeSelector: {}}]").contains("would select every node"));
        assert!(refused(&format!("{SMALLEST}\nproof: {{passes: 0}}")).contains("at least one run"));
        let mode = refused("pools: [{name: gpu, nodeSelector: {a: b}, mode: everything}]");
        assert!(mode.contains("observe, taint, reboot, reimage"), "{mode}");
        let window =
            |text: &str| refused(&format!("pools: [{{name: gpu, nodeSelector: {{a: b}}, windows: [{text}]}}]"));
        assert!(window("{from: '25:00', to: '06:00'}").contains("write it like 22:00"));
        assert!(window("{days: [Monday], from: '22:00', to: '06:00'}").contains("use Mon, Tue"));
        assert!(window("{from: '22:00', to: '06:00', timeZone: Berlin}").contains("Europe/Berlin"));
        assert!(refused(&format!("{SMALLEST}\nbrakes: {{failedAttempts: 0}}")).contains("failedAttempts"));
        assert!(refused(&format!("{SMALLEST}\nalertmanager: {{urls: [alertmanager:9093]}}")).contains("http://"));
        let unknown = refused(&format!("{SMALLEST}\nbudgets: 3"));
        assert!(unknown.contains("budgets") && unknown.contains('2'), "{unknown}");
    }
}
