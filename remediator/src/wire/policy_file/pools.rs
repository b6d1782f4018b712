//! The policy's sections `pools` and `maintenance`: which nodes are treated how, and when.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Time;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyError;
use crate::core::policy::{DrainMode, Mode, Pool};
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
    pub(super) fn pool(&self) -> Pool {
        Pool {
            name: self.name.clone(),
            node_selector: self.node_selector.clone(),
            mode: self.mode,
            drain: self.drain,
            keep_bare_pods: self.keep_bare_pods,
            control_plane: self.control_plane,
            repair_cordoned: self.repair_cordoned,
            windows: self.windows().unwrap_or_default(),
        }
    }

    pub(super) fn windows(&self) -> Result<Vec<Window>, PolicyError> {
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
