//! Alertmanager silences, matched against the recorded labels of a complaint. A paused check ends
//! its alert, but the silence still applies.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use super::record::Complaint;

/// One matcher: prometheus.io/docs/alerting/latest/configuration, `matcher`.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: String,
    test: Test,
    /// True for `=` and `=~`, false for `!=` and `!~`.
    wanted: bool,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    /// Anchored at both ends.
    Like(Regex),
}

impl Matcher {
    /// # Errors
    /// `value` is not a valid regular expression.
    pub fn new(name: String, value: &str, is_regex: bool, is_equal: bool) -> Result<Self, regex::Error> {
        let test =
            if is_regex { Test::Like(Regex::new(&format!("^(?:{value})$"))?) } else { Test::Equal(value.to_owned()) };
        Ok(Self { name, test, wanted: is_equal })
    }

    /// Whether the matcher matches. A missing label counts as an empty one.
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.name).map(String::as_str).unwrap_or_default();
        let same = match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::Like(pattern) => pattern.is_match(value),
        };
        same == self.wanted
    }
}

/// An active silence. It applies to a complaint that all its matchers match.
#[derive(Debug, Clone)]
pub struct Silence {
    pub id: String,
    pub matchers: Vec<Matcher>,
}

impl Silence {
    fn silences(&self, complaint: &Complaint) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.holds(&complaint.labels))
    }
}

/// Returns the fingerprints of the silenced complaints.
pub fn silenced(board: &[Complaint], silences: &[Silence]) -> BTreeSet<String> {
    board
        .iter()
        .filter(|complaint| silences.iter().any(|silence| silence.silences(complaint)))
        .map(|complaint| complaint.fingerprint.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::core::record::Ask;

    fn complaint(labels: &[(&str, &str)]) -> Complaint {
        Complaint {
            fingerprint: "f".into(),
            ask: Ask::Reboot,
            check: "rocm-smi".into(),
            since: Timestamp::UNIX_EPOCH,
            seen: Timestamp::UNIX_EPOCH,
            firing: true,
            summary: String::new(),
            labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        }
    }

    fn hit(matchers: &[(&str, &str, bool, bool)]) -> bool {
        let matchers = matchers.iter().map(|(name, value, is_regex, is_equal)| {
            Matcher::new((*name).to_owned(), value, *is_regex, *is_equal).unwrap()
        });
        let silence = Silence { id: "s".into(), matchers: matchers.collect() };
        !silenced(&[complaint(&[("node", "gpu-1"), ("check", "rocm-smi")])], &[silence]).is_empty()
    }

    #[test]
    fn all_matchers_have_to_hold() {
        assert!(hit(&[("node", "gpu-1", false, true)]));
        assert!(hit(&[("node", "gpu-.*", true, true), ("check", "rocm-smi", false, true)]));
        assert!(!hit(&[("node", "gpu-1", false, true), ("check", "rocminfo", false, true)]));
        assert!(!hit(&[]), "a silence without matchers silences nothing");
    }

    #[test]
    fn patterns_are_anchored_and_a_missing_label_is_empty() {
        assert!(!hit(&[("node", "gpu", true, true)]));
        assert!(!hit(&[("node", "a|pu-1", true, true)]));
        assert!(hit(&[("rack", "", false, true)]));
        assert!(hit(&[("rack", "r1", false, false), ("node", "x.*", true, false)]));
    }
}
