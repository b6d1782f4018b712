//! What the webhook was told of a node: deliveries as they came, and as a golden file tells them. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

/// One alert in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When the request arrived.
    pub at: Timestamp,
    /// The Alertmanager that sent it.
    pub by: String,
    pub node: String,
    pub remediation: String,
    pub firing: bool,
    /// When the alert began.
    pub since: Timestamp,
    /// How the request was answered.
    pub code: u16,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Firing,
    Resolved,
    /// An answer other than success.
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

/// By how many Alertmanagers the word came.
pub fn senders(heard: &[Delivery], word: Word) -> usize {
    heard.iter().filter(|delivery| delivery.is(word)).map(|delivery| &delivery.by).collect::<BTreeSet<_>>().len()
}

/// `reboot firing resolved`, one for each remediation: each word that was accepted once, in the order of the first times.
/// A replica that could not deliver for a while may say `firing` after the other has said `resolved`.
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
    fn repetitions_are_told_once_and_refusals_not_at_all() {
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
