//! The policy's sections `pools` and `maintenance`: which nodes are treated how, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyError;
use crate::core::policy::{DrainMode, Method, Mode, Pool, Reimages};
use crate::core::record::{Releases, Script};
use crate::core::window::{DAYS, Window};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PoolFile {
    /// The name in reasons, metrics and mails.
    pub name: String,
    /// Labels that a node of the pool has, all of them.
    pub node_selector: BTreeMap<String, String>,
    /// The highest step allowed: `observe` only labels the nodes and records what it
    /// would do.
    #[serde(default = "observe")]
    pub mode: Mode,
    /// What happens to a node's pods before a reboot.
    #[serde(default = "evict")]
    pub drain: DrainMode,
    /// Whether a node waits while it has pods that no controller starts again, or with data in an
    /// `emptyDir`. With `false` they are evicted like the others, and named in record and mail.
    #[serde(default)]
    pub keep_bare_pods: bool,
    /// Whether the pool may contain control-plane nodes.
    #[serde(default)]
    pub control_plane: bool,
    /// Whether cordoned nodes are drained, rebooted and reimaged like any other.
    #[serde(default)]
    pub repair_cordoned: bool,
    /// When something disruptive may start. Absent: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowFile>,
    /// How its nodes are reimaged, where it is not as `reimage` says.
    #[serde(default)]
    pub reimage: PoolReimageFile,
}

/// How the nodes of a pool are reimaged.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PoolReimageFile {
    /// Absent: the service, if `reimage` names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// The key of the script in `reimage.configMap`. Absent: `reimage.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The release of ROCm that the script installs, such as `7.2.4`. Absent: the one that the node
    /// has. One that is older than the node's needs `DOWNGRADE=yes` in the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rocm: Option<String>,
    /// The release of the driver, such as `30.30.3`, or `none` for the kernel's own driver. Absent:
    /// the one that the node has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// From the reimage order to its end. Absent: `times.reimageSeconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

impl PoolReimageFile {
    /// Returns how the core reimages, with what the whole policy says where this is absent.
    fn reimages(&self, all: &Reimages) -> Reimages {
        let releases = Releases { rocm: self.rocm.clone(), driver: self.driver.clone() };
        Reimages {
            script: Script::at(&all.script.config_map, self.key.as_ref().unwrap_or(&all.script.key)),
            releases: (releases != Releases::default()).then_some(releases),
            time: self.seconds.map_or(all.time, |seconds| Duration::from_secs(seconds.into())),
            by_script: self.method == Some(Method::Script),
        }
    }

    /// Returns what contradicts itself or the rest of the policy, in one sentence.
    fn fault(&self, all: &Reimages, has_service: bool) -> Option<String> {
        let reimages = self.reimages(all);
        let by_service = has_service && !reimages.by_script;
        if self.method == Some(Method::Service) && !has_service {
            return Some("the method is service, and reimage.service names none".into());
        }
        if by_service && (reimages.releases.is_some() || self.key.is_some()) {
            return Some("key, rocm and driver are for a script, and a service reimages; set method: script".into());
        }
        if let Some(text) = reimages.releases.as_ref().and_then(Releases::malformed) {
            return Some(format!("{text:?} is not a release; write it like 7.2.4"));
        }
        if !reimages.script.is_well_formed() {
            return Some(format!("{:?} is not a key of a ConfigMap; write it like reimage.sh", reimages.script.key));
        }
        (self.seconds == Some(0)).then(|| "seconds is 0; leave it out for times.reimageSeconds".into())
    }
}

/// A weekly time window. If it ends before it begins, it ends on the next day.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowFile {
    /// The days on which it begins: Mon, Tue, Wed, Thu, Fri, Sat, Sun. Absent: every day.
    #[serde(default = "every_day")]
    pub days: Vec<String>,
    /// The time of day at which it begins: `22:00`.
    pub from: String,
    /// The time of day at which it ends: `06:00`.
    pub to: String,
    /// A name of the IANA time zone database: `Europe/Berlin`.
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

impl PoolFile {
    /// Returns the pool that the core decides by. [`super::PolicyFile::parse`] has checked the
    /// windows.
    pub(super) fn pool(&self, all: &Reimages) -> Pool {
        Pool {
            name: self.name.clone(),
            node_selector: self.node_selector.clone(),
            mode: self.mode,
            drain: self.drain,
            keep_bare_pods: self.keep_bare_pods,
            control_plane: self.control_plane,
            repair_cordoned: self.repair_cordoned,
            windows: self.windows().unwrap_or_default(),
            reimages: self.reimage.reimages(all),
        }
    }

    /// Checks the windows and how the pool is reimaged.
    pub(super) fn check(&self, all: &Reimages, has_service: bool) -> Result<(), PolicyError> {
        self.windows()?;
        let fault = self.reimage.fault(all, has_service);
        fault.map_or(Ok(()), |fault| Err(PolicyError::NoReimage(self.name.clone(), fault)))
    }

    fn windows(&self) -> Result<Vec<Window>, PolicyError> {
        self.windows.iter().map(|window| window.window(&self.name)).collect()
    }
}

fn observe() -> Mode {
    Mode::Observe
}

fn evict() -> DrainMode {
    DrainMode::Evict
}

/// Marks that a site puts on a node under maintenance. Such a node may be tainted, but is not
/// drained, rebooted or reimaged.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MaintenanceFile {
    /// Labels; an empty value matches any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Taint keys. Absent: the marks of the AMD GPU operator, Karpenter, the cluster autoscaler and
    /// of a node that was given up. A list of the site's own replaces them.
    pub taints: BTreeSet<String>,
}

/// Sources: instinct.docs.amd.com/projects/gpu-operator (device configuration manager, driver
/// upgrade, health checks); karpenter.sh/docs/concepts/disruption; kubernetes/autoscaler,
/// cluster-autoscaler/utils/taints; kubernetes.io/docs/reference/labels-annotations-taints.
const MARKS: [&str; 6] = [
    "amd-dcm",
    "amd-gpu-driver-upgrade",
    "amd-gpu-unhealthy",
    "karpenter.sh/disrupted",
    "node.kubernetes.io/out-of-service",
    "ToBeDeletedByClusterAutoscaler",
];

impl Default for MaintenanceFile {
    fn default() -> Self {
        Self { labels: BTreeMap::new(), taints: MARKS.map(str::to_owned).into() }
    }
}
