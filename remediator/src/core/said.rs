//! Who changed something by hand, and why. Pure.

use jiff::{SignedDuration, Timestamp};

use super::words::first_line;

/// A change by hand: annotation `ossci.amd.com/changed-by`, which `ossci-remediator hold`,
/// `release` and `repair` write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub at: Timestamp,
    /// The command: what was said about one change does not explain another.
    pub deed: String,
    /// `ann@example.com: card replaced`.
    pub text: String,
}

/// How long what a person said explains a change.
const EXPLAINS: SignedDuration = SignedDuration::from_mins(10);

impl Said {
    /// Parses the annotation's value: an RFC 3339 time, the command, and the text.
    pub fn parse(value: &str) -> Option<Self> {
        const MOST: usize = 200;
        let (at, rest) = value.split_once(' ')?;
        let (deed, text) = rest.split_once(' ')?;
        Some(Self { at: at.parse().ok()?, deed: deed.to_owned(), text: first_line(text, MOST) })
    }

    pub fn written(&self) -> String {
        format!("{} {} {}", self.at, self.deed, self.text)
    }

    /// Whether this change at this time is the one that it is about.
    pub fn explains(&self, deed: &str, at: Timestamp) -> bool {
        self.deed == deed && at.duration_since(self.at).abs() < EXPLAINS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_explains_one_change_of_ten_minutes() {
        let at = Timestamp::from_second(1_795_000_000).unwrap();
        let said = Said { at, deed: "release".to_owned(), text: "ann: card replaced".to_owned() };
        assert_eq!(Said::parse(&said.written()), Some(said.clone()));
        assert!(said.explains("release", at + SignedDuration::from_mins(9)));
        assert!(!said.explains("release", at + SignedDuration::from_mins(11)));
        assert!(!said.explains("repair", at), "ann held the node, and another person tainted it");
        assert_eq!(Said::parse("yesterday release ann: card"), None);
        assert_eq!(Said::parse("2026-11-18T11:06:40Z hold a\r\nBcc: x").unwrap().text, "a", "one line");
    }
}
