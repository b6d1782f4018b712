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
    /// How the site spells the taints.
    names: TaintNames,
    smtp: smtp::Smtp,
}

impl Mailer {
    pub fn new(settings: MailFile, names: &TaintNames) -> anyhow::Result<Self> {
        Ok(Self { smtp: smtp::Smtp::new(&settings)?, settings, names: names.clone() })
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
        let taint = record.repair.episode.as_ref().and_then(|episode| episode.taint);
        let taint = self.names.spell(taint.map_or(TaintKey::RepairManual, |taint| taint.key));
        let letter = compose::escalation(name, node, &taint, record, &self.settings.links, evidence);
        let letter = letter.context("composing the mail: the record has no episode")?;
        self.send(message_id, &letter).await
    }

    /// Returns when the server has accepted the letter, after a minute at most.
    pub async fn send(&self, message_id: &str, letter: &compose::Letter) -> anyhow::Result<()> {
        self.smtp.send(message_id, letter).await
    }
}
