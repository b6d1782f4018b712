//! The inbox: the mails that the mail server received, each also saved as a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::parts;
use crate::pki::write_secret;

/// One received mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub subject: String,
    /// The sender's Message-ID: a mail that was sent twice after a crash is still one mail.
    pub message_id: String,
    /// The raw message as received.
    pub raw: String,
    pub file: PathBuf,
}

/// Follows the mail server's API.
pub struct Inbox {
    url: String,
    dir: PathBuf,
    client: reqwest::Client,
    mails: BTreeMap<String, Mail>,
    order: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Subject")]
    subject: String,
    #[serde(rename = "MessageID")]
    message_id: String,
}

impl Inbox {
    pub fn open(url: &str, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let (mails, order) = (BTreeMap::new(), Vec::new());
        Ok(Self { url: url.to_owned(), dir: dir.to_owned(), client: parts::http()?, mails, order })
    }

    /// All mails so far, oldest first.
    pub fn mails(&self) -> impl Iterator<Item = &Mail> {
        self.order.iter().filter_map(|id| self.mails.get(id))
    }

    /// Fetches and saves the new mails.
    pub async fn look(&mut self) -> Result<()> {
        let list = parts::page(&self.client, &format!("{}/api/v1/messages?limit=1000", self.url)).await?;
        let list: Page = serde_json::from_str(&list).context("reading the mail server's list")?;
        for message in list.messages.into_iter().rev() {
            if self.mails.contains_key(&message.id) {
                continue;
            }
            let raw = parts::page(&self.client, &format!("{}/api/v1/message/{}/raw", self.url, message.id)).await?;
            let file = self.dir.join(format!("{:03}-{}.eml", self.order.len() + 1, message.id));
            write_secret(&file, &raw)?;
            self.order.push(message.id.clone());
            self.mails.insert(message.id, Mail { subject: message.subject, message_id: message.message_id, raw, file });
        }
        Ok(())
    }

    /// Saves mails until the task is aborted, for a lab that a person uses.
    pub async fn keep_looking(mut self) {
        loop {
            if let Err(error) = self.look().await {
                tracing::debug!("reading the inbox: {error:#}");
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}
