//! Who changed something by hand, and why. Pure.

use jiff::{SignedDuration, Timestamp};

use super::words::first_line;

/// A change by hand: annotation `ossci.amd.com/changed-by`, which `ossci-remediator hold`,
/// `release` and `repair` write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub at: Timestamp,
    /// `ann@example.com: card replaced`.
    pub text: String,
}

/// How long what a person said explains a change.
const EXPLAINS: SignedDuration = SignedDuration::from_mins(10);

impl Said {
    /// Parses the annotation's value: an RFC 3339 time, and the text.
    pub fn parse(value: &str) -> Option<Self> {
        const MOST: usize = 200;
        let (at, text) = value.split_once(' ')?;
        Some(Self { at: at.parse().ok()?, text: first_line(text, MOST) })
    }

    pub fn written(&self) -> String {
        format!("{} {}", self.at, self.text)
    }

    /// Whether a change at this time is the one that it is about.
    pub fn explains(&self, at: Timestamp) -> bool {
        at.duration_since(self.at).abs() < EXPLAINS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_explains_the_changes_of_ten_minutes() {
        let at = Timestamp::from_second(1_795_000_000).unwrap();
        let said = Said { at, text: "ann: card replaced".to_owned() };
        assert_eq!(Said::parse(&said.written()), Some(said.clone()));
        assert!(said.explains(at + SignedDuration::from_mins(9)) && !said.explains(at + SignedDuration::from_mins(11)));
        assert_eq!(Said::parse("yesterday ann: card"), None);
        assert_eq!(Said::parse("2026-11-18T11:06:40Z a\r\nBcc: x").unwrap().text, "a", "one line");
    }
}
