//! The mails that the transitions of an episode require.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Phase;
use ossci_base::closed_words;

closed_words! {
    /// What a mail tells of.
    pub enum MailKind ("kind of mail") {
        /// A node needs a person.
        Escalation = "escalation",
        /// A node has waited for long with our taint.
        Waiting = "waiting",
        /// A node that a mail told of needs no person any more.
        Ended = "ended",
        /// The state of a whole pool.
        Notice = "notice",
        /// All nodes that still need a person.
        Reminder = "reminder",
    }
}

/// A mail that a transition requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Mail {
    /// The Message-ID, chosen by us: a mail sent twice after a crash is one mail for the reader.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// What it tells of. Absent in records of earlier versions: an escalation.
    #[serde(default = "escalation")]
    pub kind: MailKind,
    /// Since when it has been due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The subject that the answer in its thread repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When the mail server accepted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The Message-ID of the mail that names this node beside others. Absent: it had its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_as: Option<String>,
    /// The recipients that the server refused, each with its words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

fn escalation() -> MailKind {
    MailKind::Escalation
}

impl Mail {
    /// Returns a mail that is due now.
    pub fn due(kind: MailKind, message_id: String, now: Timestamp) -> Self {
        Self {
            message_id,
            kind,
            due_at: Some(now),
            subject: None,
            accepted_at: None,
            sent_as: None,
            refused: Vec::new(),
        }
    }

    /// Whether it is about this phase: a mail about a state that has passed is wrong.
    pub fn is_of(&self, phase: Phase) -> bool {
        match self.kind {
            MailKind::Escalation => matches!(phase, Phase::Escalating | Phase::Escalated),
            MailKind::Waiting => phase == Phase::Waiting,
            MailKind::Ended => phase.is_over(),
            MailKind::Notice | MailKind::Reminder => false,
        }
    }

    /// Whether it is still to be sent.
    pub fn is_wanted_in(&self, phase: Phase) -> bool {
        self.accepted_at.is_none() && self.is_of(phase)
    }

    /// Returns the Message-ID under which readers have it.
    pub fn known_as(&self) -> &str {
        self.sent_as.as_deref().unwrap_or(&self.message_id)
    }
}
