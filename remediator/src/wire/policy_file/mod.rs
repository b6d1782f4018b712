//! The policy file: one YAML file; unknown keys are refused. Every value has a default except the
//! pools' selectors and the mail's addresses. Every unit is in the key's name.

mod bmc;
mod limits;
mod mail;
mod peers;
mod pools;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::bmc::{BmcFile, NODE};
pub use self::limits::{BrakesFile, BudgetFile, LoadTestFile, ProofFile, TimesFile};
pub use self::mail::{GraphFile, MailFile, OauthFile, Tls, Way};
pub use self::peers::{AlertmanagerFile, ID, ReimageFile, ServiceFile};
pub use self::pools::{MaintenanceFile, PoolFile, WindowFile};
use super::slim_node::TaintNames;
use crate::core::brakes::Brakes;
use crate::core::budget::Limits;
use crate::core::policy::{Maintenance, Policy, ProofPolicy, Reimages, Times};
use crate::core::record::Script;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyFile {
    /// Our value of the alerts' label `cluster`; alerts of another cluster are ignored. Absent:
    /// any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// A DNS prefix for all four taints (`example.com` makes `example.com/repair-reboot`). Absent:
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taint_prefix: Option<String>,
    /// Whether the controller puts the label `ossci.amd.com/pool` on each node that a pool selects.
    /// It never removes it. With `false` you label the nodes yourselves, and a node without the
    /// label is in no pool.
    #[serde(default = "adopt")]
    pub adopt: bool,
    /// A node belongs to the pool that its label `ossci.amd.com/pool` names. A node without the
    /// label gets that of the first pool that selects it. A node in no pool is never touched.
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
    /// Absent: alerts arrive only by the webhook, and silences are unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<AlertmanagerFile>,
    /// Absent: no node is reset by its BMC; a dead node goes to a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bmc: Option<BmcFile>,
    /// Absent: escalations are only logged, and stay in phase Escalating.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailFile>,
}

fn adopt() -> bool {
    true
}

/// A policy that cannot be used, explained in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("{0}")]
    Yaml(#[from] serde_saphyr::Error),
    #[error("pools: name at least one pool; a node in no pool is never touched")]
    NoPool,
    #[error("pools: the name {0:?} occurs twice; give each pool its own name")]
    TwoPools(String),
    #[error("pools.{0}.nodeSelector is empty and would select every node; name at least one label")]
    EmptySelector(String),
    #[error("proof.{0} is 0; a proof needs at least one run")]
    NoRuns(&'static str),
    #[error("proof.loadTest: set seconds above 0 and below times.proofSeconds ({0})")]
    NoLoadTest(u32),
    #[error("{0}: {1:?} and {2:?} are not a ConfigMap and a key in it; write them like ossci-reimage and reimage.sh")]
    NoScript(&'static str, String, String),
    #[error("budget.{0} is above 100; it is a share of the pool's nodes in percent")]
    NoShare(&'static str),
    #[error("pools.{0}.windows: {1:?} is not a time of day; write it like 22:00")]
    NoTime(String, String),
    #[error("pools.{0}.windows: {1:?} is not a day; use Mon, Tue, Wed, Thu, Fri, Sat or Sun")]
    NoDay(String, String),
    #[error("pools.{0}.windows: {1:?} is not a time zone; use a name like Europe/Berlin")]
    NoZone(String, String),
    #[error("pools.{0}.reimage: {1}")]
    NoReimage(String, String),
    #[error("brakes.{0} is 0; leave it out for its default, or set a number above 0")]
    NoBrake(&'static str),
    #[error("alertmanager.urls: {0:?} is not an address like http://alertmanager-0:9093")]
    NoAddress(String),
    #[error("alertmanager.pollSeconds is 0; set the seconds between two requests")]
    NoPoll,
    #[error("bmc.url: {0:?} is not an address like https://{{node}}.bmc.example.com/redfish/v1/Systems/1")]
    NoBmcAddress(String),
    #[error("bmc: name a passwordFile, or a nodePasswordFile like /etc/ossci/bmc/{{node}}.password")]
    NoBmcPassword,
    #[error("bmc.{0}: {1:?} is one file for all nodes; name one file per node, like /etc/ossci/bmc/{{node}}")]
    NoNodePattern(&'static str, String),
    #[error("reimage.service.url: {0:?} is not an address like https://provision.example.com/reimages/{{node}}/{{id}}")]
    NoServiceAddress(String),
    #[error("reimage.service.pollSeconds is 0; set the seconds between two requests")]
    NoServicePoll,
    #[error("mail.{0}")]
    Mail(String),
}

impl PolicyFile {
    /// Returns the digest by which two policies are compared: 12 hexadecimal digits of the SHA-256
    /// of all its values. Comments and the order of keys do not count.
    pub fn digest(&self) -> String {
        let values = serde_json::to_vec(self).unwrap_or_default();
        format!("{:.12x}", Sha256::digest(values))
    }

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
        let mut scripts = vec![("reimage", Script::at(&file.reimage.config_map, &file.reimage.key))];
        if let Some(test) = &file.proof.load_test {
            if test.seconds == 0 || test.seconds >= file.times.proof_seconds {
                return Err(PolicyError::NoLoadTest(file.times.proof_seconds));
            }
            scripts.push(("proof.loadTest", test.load_test().script));
        }
        for (field, script) in scripts {
            if !script.is_well_formed() {
                return Err(PolicyError::NoScript(field, script.config_map, script.key));
            }
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
            pool.check(&file.reimages(), file.reimage.service.is_some())?;
        }
        if let Some(bmc) = &file.bmc {
            bmc.check()?;
        }
        if let Some(service) = &file.reimage.service {
            service.check()?;
        }
        if let Some(mail) = &file.mail {
            mail.check()?;
        }
        Ok(file)
    }

    /// Returns the policy that the core decides by.
    pub fn policy(&self) -> Policy {
        let seconds = |n: u32| Duration::from_secs(n.into());
        let (times, reimages) = (&self.times, self.reimages());
        Policy {
            adopt: self.adopt,
            pools: self.pools.iter().map(|pool| pool.pool(&reimages)).collect(),
            times: Times {
                capture: seconds(times.capture_seconds),
                agent_silent: seconds(times.agent_silent_seconds),
                drain: seconds(times.drain_seconds),
                jobs: seconds(times.jobs_seconds),
                boot: seconds(times.boot_seconds),
                dump: seconds(self.bmc.as_ref().map_or(0, |bmc| bmc.dump_seconds)),
                stabilise: seconds(times.stabilise_seconds),
                proof: seconds(times.proof_seconds),
                waiting: seconds(times.waiting_seconds),
                reimage_evidence: seconds(times.reimage_evidence_seconds),
                complaint_grace: seconds(times.complaint_grace_seconds),
                released_quiet: seconds(times.released_quiet_seconds),
                network_retry: seconds(times.network_retry_seconds),
            },
            proof: ProofPolicy {
                passes: self.proof.passes,
                failures: self.proof.failures,
                gap: seconds(self.proof.gap_seconds),
                load_test: self.proof.load_test.as_ref().map(LoadTestFile::load_test),
            },
            budget: Limits { percent: self.budget.at_most_percent, down_percent: self.budget.down_percent },
            brakes: Brakes {
                storm_percent: self.brakes.storm_percent,
                storm_window: seconds(self.brakes.storm_seconds),
                failed_attempts: self.brakes.failed_attempts,
                taint_percent: self.brakes.taint_percent,
                slow_percent: self.brakes.slow_percent,
            },
            mail: MailFile::names(self.mail.as_ref(), self.cluster.as_deref()),
            maintenance: Maintenance {
                labels: self.maintenance.labels.clone(),
                taints: self.maintenance.taints.clone(),
            },
            provisioning: self.reimage.service.as_ref().map(ServiceFile::policy),
            reimages,
        }
    }

    /// Returns how a node is reimaged whose pool says nothing else.
    fn reimages(&self) -> Reimages {
        Reimages {
            script: Script::at(&self.reimage.config_map, &self.reimage.key),
            releases: None,
            time: Duration::from_secs(self.times.reimage_seconds.into()),
            by_script: false,
        }
    }

    /// Returns the site's spelling of the taints.
    pub fn taint_names(&self) -> TaintNames {
        TaintNames { prefix: self.taint_prefix.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::Mode;

    const SMALLEST: &str = "pools: [{name: gpu, nodeSelector: {gpu: 'true'}}]";

    #[test]
    fn the_smallest_policy_observes_and_changes_nothing() {
        let policy = PolicyFile::parse(SMALLEST).unwrap().policy();
        assert_eq!(policy.pools[0].mode, Mode::Observe);
        assert_eq!(policy.times.stabilise, Duration::from_secs(300));
    }

    #[test]
    fn a_digest_is_of_the_values_alone() {
        let digest = |yaml: &str| PolicyFile::parse(yaml).unwrap().digest();
        let commented = "# ours\npools:\n- nodeSelector: {gpu: 'true'}\n  mode: observe\n  name: gpu\n";
        assert_eq!(digest(commented), digest(SMALLEST), "mode observe is the default");
        assert_ne!(digest(&format!("cluster: a\n{SMALLEST}")), digest(SMALLEST));
        assert_eq!(digest(SMALLEST).len(), 12);
    }

    #[test]
    fn a_pool_says_how_it_is_reimaged() {
        let pools = |service: &str, reimage: &str| {
            let pool = format!("{{name: mi210, nodeSelector: {{gpu: mi210}}, reimage: {{{reimage}}}}}");
            PolicyFile::parse(&format!("reimage: {{{service}}}\npools: [{pool}]"))
        };
        let policy = pools("", "key: mi210.sh, rocm: 6.4.3, driver: none, seconds: 5400").unwrap().policy();
        let reimages = &policy.pools[0].reimages;
        let named = reimages.releases.as_ref().unwrap().settings();
        assert_eq!(named, [("ROCM", "6.4.3"), ("DRIVER", "none")]);
        assert_eq!(reimages.script, Script::at("ossci-reimage", "mi210.sh"));
        assert_eq!((reimages.time, policy.reimages.time), (Duration::from_secs(5400), Duration::from_secs(3600)));
        let service = "service: {url: 'https://a/{node}/{id}'}";
        assert!(pools(service, "method: script, rocm: 6.4.3").unwrap().policy().pools[0].reimages.by_script);
        for (service, reimage, expected) in [
            ("", "method: service", "reimage.service names none"),
            (service, "rocm: 6.4.3", "set method: script"),
            (service, "key: other.sh", "set method: script"),
            ("", "driver: latest", "\"latest\" is not a release; write it like 7.2.4"),
            ("", "rocm: '7.2; reboot'", "is not a release"),
            ("", "key: ../etc", "is not a key of a ConfigMap"),
            ("", "seconds: 0", "leave it out for times.reimageSeconds"),
        ] {
            let refused = pools(service, reimage).unwrap_err().to_string();
            assert!(refused.starts_with("pools.mi210.reimage: ") && refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn a_bad_policy_is_refused_with_a_reason() {
        let refused = |yaml: &str| PolicyFile::parse(yaml).unwrap_err().to_string();
        assert!(refused("pools: []").contains("at least one pool"));
        assert!(refused("pools: [{name: gpu, nodeSelector: {}}]").contains("would select every node"));
        for (test, expected) in [
            ("seconds: 0", "proof.loadTest: set seconds above 0"),
            ("seconds: 1800", "below times.proofSeconds (1800)"),
            ("seconds: 60, configMap: ../secrets", "proof.loadTest: \"../secrets\""),
            ("seconds: 60, key: a/b", "and a key in it"),
            // What older policies had: an order carries no command.
            ("seconds: 60, command: [/bin/rvs]", "command"),
        ] {
            let error = refused(&format!("{SMALLEST}\nproof: {{loadTest: {{{test}}}}}"));
            assert!(error.contains(expected), "{test}: {error}");
        }
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
        let bmc = |rest: &str| refused(&format!("{SMALLEST}\nbmc: {{username: u, {rest}}}"));
        assert!(bmc("url: 'http://{node}', passwordFile: /p").contains("https://{node}"));
        assert!(bmc("url: 'https://bmc', passwordFile: /p").contains("https://{node}"));
        assert!(bmc("url: 'https://{node}'").contains("name a passwordFile"));
        assert!(bmc("url: 'https://{node}', nodePasswordFile: /p").contains("bmc.nodePasswordFile"));
        let pin = bmc("url: 'https://{node}', passwordFile: /p, nodeFingerprintFile: /f");
        assert!(pin.contains("one file for all nodes"), "{pin}");
        let unknown = refused(&format!("{SMALLEST}\nbudgets: 3"));
        assert!(unknown.contains("budgets") && unknown.contains('2'), "{unknown}");
    }
}
