//! The escalation mail: composed from the record, sent by SMTP.

pub mod compose;
mod smtp;

use anyhow::Context as _;

use crate::core::observation::NodeView;
use crate::core::record::Record;
use crate::core::taint::TaintKey;
use crate::wire::policy_file::MailFile;
use crate::wire::slim_node::TaintNames;

/// Sends the mails that [`compose`] writes.
pub struct Mailer {
    settings: MailFile,
    /// The taint of a node that was handed to a person, as the site spells it.
    taint: String,
    smtp: smtp::Smtp,
}

impl Mailer {
    pub fn new(settings: MailFile, names: &TaintNames) -> anyhow::Result<Self> {
        let taint = names.spell(TaintKey::RepairManual);
        Ok(Self { smtp: smtp::Smtp::new(&settings)?, settings, taint })
    }

    /// Returns when the server has accepted the mail. `node` is `None` when the Node object does
    /// not exist.
    pub async fn escalate(
        &self,
        message_id: &str,
        name: &str,
        node: Option<&NodeView>,
        record: &Record,
        evidence: Vec<(String, Vec<u8>)>,
    ) -> anyhow::Result<()> {
        let letter = compose::escalation(name, node, &self.taint, record, &self.settings.links, evidence);
        let letter = letter.context("composing the mail: the record has no episode")?;
        self.send(message_id, &letter).await
    }

    /// Returns when the server has accepted the letter.
    pub async fn send(&self, message_id: &str, letter: &compose::Letter) -> anyhow::Result<()> {
        self.smtp.send(message_id, letter).await
    }
}
