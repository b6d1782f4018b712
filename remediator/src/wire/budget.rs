//! The budget object: ConfigMap `ossci-budget` in our namespace. Its data has one key per node that
//! holds a budget slot. Its annotations hold the pause, the end of a brake, and the notices that
//! were mailed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::core::budget::{Holder, Place, Places};
use crate::core::names;

pub const NAME: &str = "ossci-budget";

/// The JSON form of a budget slot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    #[serde(rename = "repairUID")]
    pub repair_uid: String,
    pub episode: u32,
    pub pool: String,
    pub since: jiff::Timestamp,
}

/// Returns the budget slots in the object. A value that cannot be parsed counts as a slot in use,
/// of an unknown pool.
pub fn read(map: &ConfigMap) -> Places {
    let written = |text: &str| serde_json::from_str::<Written>(text).ok();
    map.data
        .iter()
        .flatten()
        .map(|(node, text)| {
            let place = written(text).map_or_else(
                || {
                    tracing::error!(
                        node,
                        text,
                        "entry of the ConfigMap ossci-budget is invalid and counts as taken; delete it to free the slot"
                    );
                    let holder = Holder { repair_uid: String::new(), episode: 0 };
                    Place { holder, pool: String::new(), since: jiff::Timestamp::UNIX_EPOCH }
                },
                |w| Place {
                    holder: Holder { repair_uid: w.repair_uid, episode: w.episode },
                    pool: w.pool,
                    since: w.since,
                },
            );
            (node.clone(), place)
        })
        .collect()
}

/// Annotation that pauses everything disruptive in the cluster; its value is the reason.
pub const PAUSE: &str = "ossci.amd.com/pause";
/// When the controller ends the pause: an RFC 3339 time.
pub const PAUSE_UNTIL: &str = "ossci.amd.com/pause-until";
/// Annotation with a time (RFC 3339): the brakes ignore what was before it.
pub const RESUMED_AT: &str = "ossci.amd.com/resumed-at";

/// Returns the switches that people set, from the annotations of the object.
pub fn switches(map: &ConfigMap) -> Switches {
    let time = |key: &str| {
        let text = map.annotations().get(key)?;
        let time = text.parse::<Timestamp>();
        time.inspect_err(|error| tracing::error!(key, text, %error, "annotation is not an RFC 3339 time, ignoring it"))
            .ok()
    };
    Switches {
        notices: notices(map),
        paused: map.annotations().get(PAUSE).cloned(),
        paused_until: time(PAUSE_UNTIL),
        resumed: time(RESUMED_AT),
    }
}

/// Prefix of the annotations that record mailed notices.
pub const NOTICE_PREFIX: &str = "notice.ossci.amd.com/";

/// The switches for the whole cluster, set by people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// The notices on record, by the names of their annotations.
    pub notices: BTreeMap<String, Told>,
    /// Nothing disruptive starts; the text is the reason.
    pub paused: Option<String>,
    /// When the pause ends by itself.
    pub paused_until: Option<Timestamp>,
    /// The brakes ignore what was before this time.
    pub resumed: Option<Timestamp>,
}

/// Begins the value of a notice whose mail is not accepted yet.
const NOT_YET: &str = "mail not accepted yet, since ";

/// How far a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Its mail has been due since then.
    Due(Timestamp),
    /// A mail server accepted it then.
    Accepted(Timestamp),
}

impl Told {
    /// Returns when its mail was accepted.
    pub fn accepted(&self) -> Option<Timestamp> {
        match self {
            Self::Accepted(at) => Some(*at),
            Self::Due(_) => None,
        }
    }

    /// Returns the annotation of a notice.
    pub fn text(&self) -> String {
        match self {
            Self::Due(since) => format!("{NOT_YET}{since:.0}"),
            Self::Accepted(at) => format!("{at:.0}"),
        }
    }

    /// A time that cannot be read is one long ago.
    fn parse(text: &str) -> Self {
        let time = |text: &str| text.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        text.strip_prefix(NOT_YET).map_or_else(|| Self::Accepted(time(text)), |since| Self::Due(time(since)))
    }
}

/// Returns the name of a notice's annotation, valid whatever the pool is called.
pub fn notice_name(key: &str) -> String {
    format!("{NOTICE_PREFIX}{}", names::valid(key))
}

/// Returns the notices on record, by the names of their annotations.
fn notices(map: &ConfigMap) -> BTreeMap<String, Told> {
    let annotations = map.metadata.annotations.iter().flatten().filter(|(key, _)| key.starts_with(NOTICE_PREFIX));
    annotations.map(|(key, value)| (key.clone(), Told::parse(value))).collect()
}
