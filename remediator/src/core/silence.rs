//! Alertmanager silences, matched against the recorded labels of a complaint. A paused check ends
//! its alert, but the silence still applies.

use std::collections::BTreeSet;

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
    /// A pattern that Alertmanager's regular expressions know and ours do not.
    Unknown(String),
}

impl Matcher {
    pub fn new(name: String, value: &str, is_regex: bool, is_equal: bool) -> Self {
        let test = match is_regex.then(|| Regex::new(&format!("^(?:{value})$"))) {
            None => Test::Equal(value.to_owned()),
            Some(Ok(pattern)) => Test::Like(pattern),
            Some(Err(_)) => Test::Unknown(value.to_owned()),
        };
        Self { name, test, wanted: is_equal }
    }

    /// Whether the matcher matches, or may match. A missing label counts as an empty one.
    fn holds(&self, complaint: &Complaint) -> bool {
        let label = complaint.labels.get(&self.name);
        if label.is_none() && complaint.labels_cut {
            return true;
        }
        let value = label.map(String::as_str).unwrap_or_default();
        let same = match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::Like(pattern) => pattern.is_match(value),
            Test::Unknown(_) => return true,
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
    /// Returns a pattern that cannot be evaluated. What may be silenced counts as silenced.
    pub fn unknown_pattern(&self) -> Option<&str> {
        self.matchers.iter().find_map(|matcher| match &matcher.test {
            Test::Unknown(pattern) => Some(pattern.as_str()),
            _ => None,
        })
    }

    fn silences(&self, complaint: &Complaint) -> bool {
        !self.matchers.is_empty() && self.matchers.iter().all(|matcher| matcher.holds(complaint))
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
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        }
    }

    fn hit(matchers: &[(&str, &str, bool, bool)]) -> bool {
        let matchers = matchers
            .iter()
            .map(|(name, value, is_regex, is_equal)| Matcher::new((*name).to_owned(), value, *is_regex, *is_equal));
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
    fn what_may_be_silenced_is_silenced() {
        assert!(hit(&[("node", r"\Qgpu-1\E", true, true)]), "a pattern of Go's");
        assert!(hit(&[("node", r"\Qgpu-1\E", true, false)]));
        assert!(!hit(&[("node", "gpu-2", false, true), ("check", r"\Qrocm\E", true, true)]));
        let silence = Silence { id: "s".into(), matchers: vec![Matcher::new("rack".into(), "r1", false, true)] };
        let cut = Complaint { labels_cut: true, ..complaint(&[("node", "gpu-1")]) };
        assert!(!silenced(&[cut], &[silence]).is_empty(), "a label that was cut off");
    }

    #[test]
    fn patterns_are_anchored_and_a_missing_label_is_empty() {
        assert!(!hit(&[("node", "gpu", true, true)]));
        assert!(!hit(&[("node", "a|pu-1", true, true)]));
        assert!(hit(&[("rack", "", false, true)]));
        assert!(hit(&[("rack", "r1", false, false), ("node", "x.*", true, false)]));
    }
}
