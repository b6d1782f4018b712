//! Alertmanager's webhook, version 4 of its payload, and its API.
//!
//! Source: prometheus.io/docs/alerting/latest/configuration, `webhook_config`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::core::record::{Ask, Complaint};
use crate::core::silence::{Matcher, Silence};
use ossci_base::words::ClosedWord;

/// The supported version of the payload.
pub const VERSION: &str = "4";
/// Limit of an alert's summary in the record, in characters.
const SUMMARY: usize = 500;

/// One delivery. Unused fields are not parsed. Alerts are parsed later, one by one: an invalid one
/// is no reason to refuse the others.
#[derive(Debug, Deserialize)]
pub struct Payload<'a> {
    pub version: String,
    #[serde(rename = "externalURL", default)]
    pub external_url: String,
    #[serde(default, borrow)]
    pub alerts: Vec<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// `firing` or `resolved`.
    pub status: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Timestamp,
    pub fingerprint: String,
    #[serde(rename = "generatorURL", default)]
    pub generator_url: String,
}

/// What an alert means for the controller.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The alert asks for a repair of this node.
    Complaint { node: String, complaint: Box<Complaint> },
    /// The alert only proves that the path from Prometheus to the controller works.
    Heartbeat,
    /// The alert is not for us, with the reason: counted and logged, without any action.
    Ignored(&'static str),
}

/// An alert as `GET /api/v2/alerts` lists it. Source: prometheus/alertmanager,
/// api/v2/openapi.yaml, `gettableAlert`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedAlert {
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    pub starts_at: Timestamp,
    pub fingerprint: String,
    #[serde(rename = "generatorURL", default)]
    pub generator_url: String,
    pub status: ListedStatus,
}

#[derive(Debug, Deserialize)]
pub struct ListedStatus {
    /// `unprocessed`, `active`, or `suppressed` (silenced or inhibited).
    pub state: String,
}

impl ListedAlert {
    /// Whether it fires and is neither silenced nor inhibited.
    pub fn is_active(&self) -> bool {
        self.status.state == "active"
    }

    /// Returns its meaning. A listed alert always fires.
    pub fn meaning(&self, cluster: Option<&str>, now: Timestamp) -> Meaning {
        let alert = Alert {
            status: "firing".to_owned(),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
            starts_at: self.starts_at,
            fingerprint: self.fingerprint.clone(),
            generator_url: self.generator_url.clone(),
        };
        alert.meaning(cluster, None, now)
    }
}

/// A silence as `GET /api/v2/silences` lists it (`gettableSilence`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedSilence {
    pub id: String,
    pub matchers: Vec<ListedMatcher>,
    pub status: ListedStatus,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedMatcher {
    pub name: String,
    pub value: String,
    pub is_regex: bool,
    /// Absent before Alertmanager 0.22: equal.
    #[serde(default = "equal")]
    pub is_equal: bool,
}

fn equal() -> bool {
    true
}

impl ListedSilence {
    pub fn is_active(&self) -> bool {
        self.status.state == "active"
    }

    pub fn read(&self) -> Silence {
        let matchers = self
            .matchers
            .iter()
            .map(|matcher| Matcher::new(matcher.name.clone(), &matcher.value, matcher.is_regex, matcher.is_equal));
        Silence { id: self.id.clone(), matchers: matchers.collect() }
    }
}

impl Alert {
    /// # Errors
    /// It is no alert: a field is missing, or of another type.
    pub fn read(value: &RawValue) -> Result<Self, serde_json::Error> {
        serde_json::from_str(value.get())
    }

    /// Returns the meaning, from the contract's labels and the annotation `summary`; never from
    /// `alertname`.
    /// `sender`: the address of its Alertmanager.
    pub fn meaning(&self, cluster: Option<&str>, sender: Option<&str>, now: Timestamp) -> Meaning {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let heartbeat = label("remediation") == Some("heartbeat");
        // Where one Prometheus evaluates the rules of several clusters, the heartbeat has no
        // cluster.
        let ours = cluster.is_none() || label("cluster") == cluster || heartbeat && label("cluster").is_none();
        if !ours {
            return Meaning::Ignored("another cluster");
        }
        let ask = match label("remediation") {
            _ if heartbeat => return Meaning::Heartbeat,
            Some(word) => match Ask::parse(word) {
                Some(ask) => ask,
                None => return Meaning::Ignored("unknown remediation"),
            },
            None => return Meaning::Ignored("no remediation"),
        };
        let Some(node) = label("node").filter(|name| is_node_name(name)) else {
            return Meaning::Ignored("no node");
        };
        let firing = match self.status.as_str() {
            "firing" => true,
            "resolved" => false,
            _ => return Meaning::Ignored("unknown status"),
        };
        let labels = bounded(&self.labels);
        let summary = self.annotations.get("summary").map(String::as_str).unwrap_or_default();
        Meaning::Complaint {
            node: node.to_owned(),
            complaint: Box::new(Complaint {
                fingerprint: self.fingerprint.chars().take(64).collect(),
                ask,
                check: label("check").unwrap_or_default().chars().take(64).collect(),
                // An alert that begins in the future would be newer than every later state of it.
                since: as_recorded(self.starts_at.min(now)),
                seen: now,
                firing,
                summary: summary.chars().take(SUMMARY).collect(),
                labels_cut: labels.len() < self.labels.len(),
                labels,
                generator_url: link(&self.generator_url),
                external_url: sender.and_then(link),
                runbook_url: self.annotations.get("runbook_url").map(String::as_str).and_then(link),
            }),
        }
    }
}

/// Returns the address if a reader may follow it.
fn link(address: &str) -> Option<String> {
    const LONGEST: usize = 2_000;
    let follows = address.starts_with("https://") || address.starts_with("http://");
    let plain = address.len() <= LONGEST && !address.contains(|c: char| c.is_whitespace() || c.is_control());
    (follows && plain).then(|| address.to_owned())
}

/// Truncates to microseconds, as the record does. Prometheus sends nanoseconds, and a repeated
/// alert has to compare as equal.
fn as_recorded(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Returns the labels for the record: at most 32, and none longer than 256 bytes.
fn bounded(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const MOST: usize = 32;
    const LONGEST: usize = 256;
    let short = labels.iter().filter(|(name, value)| name.len() <= LONGEST && value.len() <= LONGEST);
    short.take(MOST).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether it is a DNS subdomain (RFC 1123), as required of node names: nothing else reaches a
/// request path.
fn is_node_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn alert(labels: serde_json::Value) -> Alert {
        serde_json::from_value(json!({
            "status": "firing", "labels": labels, "annotations": {"summary": "three strikes"},
            "startsAt": "2026-11-22T10:00:00.123Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "5f",
            "generatorURL": "http://prometheus/graph"
        }))
        .unwrap()
    }

    fn ignored(labels: serde_json::Value, cluster: Option<&str>) -> &'static str {
        match alert(labels).meaning(cluster, None, Timestamp::UNIX_EPOCH) {
            Meaning::Ignored(why) => why,
            other => panic!("not ignored: {other:?}"),
        }
    }

    #[test]
    fn the_contracts_labels_make_a_complaint() {
        let alert = alert(json!({"node": "gpu-1", "remediation": "reboot", "check": "rocm-smi", "cluster": "lab"}));
        let Meaning::Complaint { node, complaint } =
            alert.meaning(Some("lab"), Some("https://am.example"), Timestamp::UNIX_EPOCH)
        else {
            panic!()
        };
        assert_eq!((node.as_str(), complaint.ask, complaint.firing), ("gpu-1", Ask::Reboot, true));
        assert_eq!(complaint.summary, "three strikes");
    }

    #[test]
    fn an_alert_not_for_us_is_ignored_with_a_reason() {
        let node = "gpu-1";
        assert_eq!(
            ignored(json!({"node": node, "remediation": "reboot", "cluster": "b"}), Some("a")),
            "another cluster"
        );
        assert_eq!(ignored(json!({"node": node, "remediation": "explode"}), None), "unknown remediation");
        assert_eq!(ignored(json!({"node": node}), None), "no remediation");
        for bad in ["", "a/b", "../x", "UPPER", "-a", "a..b", &"a".repeat(10_000)] {
            assert_eq!(ignored(json!({"node": bad, "remediation": "reboot"}), None), "no node", "{bad:.20}");
        }
    }

    #[test]
    fn an_alert_never_begins_after_its_receipt() {
        let mut alert = alert(json!({"node": "gpu-1", "remediation": "reboot"}));
        let mut since = |starts_at: &str, now: &str| {
            alert.starts_at = starts_at.parse().unwrap();
            match alert.meaning(None, None, now.parse().unwrap()) {
                Meaning::Complaint { complaint, .. } => complaint.since.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let now = "2026-11-22T10:00:00Z";
        assert_eq!(since("9999-12-30T00:00:00Z", now), now);
        assert_eq!(since("0001-01-01T00:00:00Z", now), "0001-01-01T00:00:00Z");
        assert_eq!(since("2026-11-22T09:00:00.123456789Z", now), "2026-11-22T09:00:00.123456Z", "as the record has it");
    }

    #[test]
    fn an_invalid_alert_does_not_reject_the_others() {
        let good = json!({"status": "firing", "startsAt": "2026-11-22T10:00:00Z", "fingerprint": "5f"});
        let mut bad = good.clone();
        bad["startsAt"] = json!("9999-12-31T23:59:59Z");
        let text = json!({"version": "4", "alerts": [bad, good, 7]}).to_string();
        let payload: Payload = serde_json::from_str(&text).unwrap();
        let read: Vec<bool> = payload.alerts.into_iter().map(|value| Alert::read(value).is_ok()).collect();
        assert_eq!(read, [false, true, false]);
    }

    #[test]
    fn a_heartbeat_asks_for_nothing() {
        let heartbeat = alert(json!({"remediation": "heartbeat"}));
        assert_eq!(heartbeat.meaning(None, None, Timestamp::UNIX_EPOCH), Meaning::Heartbeat);
        assert_eq!(heartbeat.meaning(Some("here"), None, Timestamp::UNIX_EPOCH), Meaning::Heartbeat);
        let theirs = alert(json!({"remediation": "heartbeat", "cluster": "there"}));
        assert_eq!(theirs.meaning(Some("here"), None, Timestamp::UNIX_EPOCH), Meaning::Ignored("another cluster"));
    }
}
