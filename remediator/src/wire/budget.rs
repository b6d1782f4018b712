//! The budget object as it is written: ConfigMap `ossci-budget` of our namespace. Its data has one key for each node that
//! holds a place in the budget; its annotations hold the pause, the end of a brake, and the notices that were mailed.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use crate::core::budget::{Holder, Place, Places};

pub const NAME: &str = "ossci-budget";

/// One place as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    #[serde(rename = "repairUID")]
    pub repair_uid: String,
    pub episode: u32,
    pub pool: String,
    pub since: jiff::Timestamp,
}

/// The places in the object. A key that is not understood is a place of a pool of its own: it is taken, whoever wrote it.
pub fn read(map: &ConfigMap) -> Places {
    let written = |text: &str| serde_json::from_str::<Written>(text).ok();
    map.data
        .iter()
        .flatten()
        .map(|(node, text)| {
            let place = written(text).map_or_else(
                || {
                    tracing::error!(node, text, "a place in the budget is not understood; it stays taken");
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

/// Stops everything disruptive in the cluster; the value says why.
const PAUSE: &str = "ossci.amd.com/pause";
/// A time (RFC 3339): the brakes forget what was before it.
const RESUMED_AT: &str = "ossci.amd.com/resumed-at";

/// What people switched, as annotations of the object.
pub fn switches(map: &ConfigMap) -> Switches {
    let resumed = map.annotations().get(RESUMED_AT).and_then(|text| {
        let time = text.parse();
        time.inspect_err(|error| tracing::error!(text, %error, "annotation {RESUMED_AT} is no time; it is ignored"))
            .ok()
    });
    Switches { told: told(map), paused: map.annotations().get(PAUSE).cloned(), resumed }
}

/// Annotations with this prefix name the notices that were mailed.
pub const NOTICE_PREFIX: &str = "notice.ossci.amd.com/";

/// What people switched for the whole cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switches {
    /// What people were told of the pools: names of annotations.
    pub told: Vec<String>,
    /// Nothing disruptive starts; the text says why.
    pub paused: Option<String>,
    /// The brakes forget what was before.
    pub resumed: Option<Timestamp>,
}

/// The notices that were told, by the names of their annotations.
fn told(map: &ConfigMap) -> Vec<String> {
    let annotations = map.metadata.annotations.iter().flatten();
    annotations.map(|(key, _)| key).filter(|key| key.starts_with(NOTICE_PREFIX)).cloned().collect()
}
