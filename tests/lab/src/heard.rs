//! Deliveries to the webhook about a node: as they arrived, and as text for a golden file. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

/// One alert in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The time at which the request arrived.
    pub at: Timestamp,
    /// The Alertmanager that sent it.
    pub by: String,
    pub node: String,
    pub remediation: String,
    pub firing: bool,
    /// The alert's `startsAt`.
    pub since: Timestamp,
    /// The HTTP status of the response.
    pub code: u16,
}

/// A kind of delivery that a story can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Firing,
    Resolved,
    /// A delivery that was answered with an error.
    Refused,
}

impl Delivery {
    /// Every alert of a request that names a node.
    pub fn all(payload: &Value, by: &str, at: Timestamp, code: u16) -> Vec<Self> {
        let one = |alert: &Value| {
            let label = |name: &str| alert["labels"][name].as_str().map(str::to_owned);
            Some(Self {
                at,
                by: by.to_owned(),
                node: label("node")?,
                remediation: label("remediation").unwrap_or_default(),
                firing: alert["status"] == "firing",
                since: alert["startsAt"].as_str()?.parse().ok()?,
                code,
            })
        };
        payload["alerts"].as_array().into_iter().flatten().filter_map(one).collect()
    }

    fn accepted(&self) -> bool {
        (200..300).contains(&self.code)
    }

    fn is(&self, word: Word) -> bool {
        match word {
            Word::Firing => self.accepted() && self.firing,
            Word::Resolved => self.accepted() && !self.firing,
            Word::Refused => !self.accepted(),
        }
    }
}

/// Number of Alertmanagers that sent this kind of delivery.
pub fn senders(heard: &[Delivery], word: Word) -> usize {
    heard.iter().filter(|delivery| delivery.is(word)).map(|delivery| &delivery.by).collect::<BTreeSet<_>>().len()
}

/// Text such as `reboot firing resolved`, one for each remediation. It has each kind of accepted
/// delivery once, in the order of the first ones. A replica that could not deliver for a while may
/// send `firing` after the other one sent `resolved`.
pub fn told(heard: &[Delivery]) -> String {
    let remediations: BTreeSet<&str> = heard.iter().map(|delivery| delivery.remediation.as_str()).collect();
    let told = remediations.into_iter().filter_map(|remediation| {
        let mut words: Vec<&str> = Vec::new();
        for delivery in heard.iter().filter(|delivery| delivery.remediation == remediation && delivery.accepted()) {
            let word = if delivery.firing { "firing" } else { "resolved" };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        (!words.is_empty()).then(|| format!("{remediation} {}", words.join(" ")))
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn delivery(by: &str, status: &str, code: u16) -> Vec<Delivery> {
        let labels = json!({"node": "n1", "remediation": "reboot"});
        let alert = json!({"status": status, "labels": labels, "startsAt": "2026-01-01T00:00:00Z"});
        Delivery::all(&json!({"alerts": [alert]}), by, Timestamp::UNIX_EPOCH, code)
    }

    #[test]
    fn repeated_deliveries_count_once_and_refused_ones_never() {
        let heard = [
            delivery("a", "firing", 503),
            delivery("a", "firing", 200),
            delivery("b", "firing", 200),
            delivery("a", "resolved", 200),
            delivery("b", "firing", 200),
        ]
        .concat();
        assert_eq!(told(&heard), "reboot firing resolved");
        assert_eq!((senders(&heard, Word::Firing), senders(&heard, Word::Refused)), (2, 1));
        assert_eq!(told(&delivery("a", "firing", 503)), "");
    }
}
