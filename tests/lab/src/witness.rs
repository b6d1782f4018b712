//! The witness: follows the audit log and the inbox of a running lab.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::audit::{Chronicle, Write, parse};
use crate::facts::Facts;
use crate::inbox::{Inbox, Mail};

pub struct Witness {
    log: PathBuf,
    read: u64,
    rest: String,
    writes: Vec<Write>,
    chronicle: Chronicle,
    inbox: Inbox,
}

impl Witness {
    /// Skips what is already written: it belongs to earlier stories.
    pub fn new(facts: &Facts) -> Result<Self> {
        let log = facts.audit_log.clone();
        Ok(Self {
            read: std::fs::metadata(&log).with_context(|| format!("looking at {}", log.display()))?.len(),
            log,
            rest: String::new(),
            writes: Vec::new(),
            chronicle: Chronicle::default(),
            inbox: Inbox::open(&facts.inbox, &facts.mail_dir)?,
        })
    }

    /// Reads what is new.
    pub async fn look(&mut self) -> Result<()> {
        self.inbox.look().await?;
        let mut file = File::open(&self.log).with_context(|| format!("opening {}", self.log.display()))?;
        file.seek(SeekFrom::Start(self.read)).context("seeking in the audit log")?;
        let mut new = Vec::new();
        file.read_to_end(&mut new).context("reading the audit log")?;
        self.read += new.len() as u64;
        self.rest.push_str(&String::from_utf8_lossy(&new));
        // The last line may be incomplete.
        let Some(end) = self.rest.rfind('\n') else { return Ok(()) };
        let rest = self.rest.split_off(end + 1);
        for write in self.rest.lines().filter_map(parse) {
            self.chronicle.apply(&write);
            self.writes.push(write);
        }
        self.rest = rest;
        Ok(())
    }

    /// The chronicle so far; it lacks writes that were logged out of order.
    pub fn so_far(&self) -> &Chronicle {
        &self.chronicle
    }

    /// The chronicle from all writes, in their order.
    pub fn whole(&self) -> Chronicle {
        Chronicle::of(&self.writes)
    }

    /// All writes, in the order in which they became durable.
    pub fn in_order(&self) -> Vec<&Write> {
        let mut writes: Vec<&Write> = self.writes.iter().collect();
        writes.sort_by_key(|write| write.resource_version);
        writes
    }

    /// Mails whose subject names the node, without duplicates and without the answers to them.
    pub fn mails_about(&self, node: &str) -> Vec<&Mail> {
        self.mails_naming(node).into_iter().filter(|mail| !is_reply(mail)).collect()
    }

    /// Answers to mails whose subject names the node.
    pub fn replies_about(&self, node: &str) -> Vec<&Mail> {
        self.mails_naming(node).into_iter().filter(|mail| is_reply(mail)).collect()
    }

    fn mails_naming(&self, node: &str) -> Vec<&Mail> {
        let names =
            |subject: &str| subject.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|word| word == node);
        let mut mails: Vec<&Mail> = Vec::new();
        for mail in self.inbox.mails().filter(|mail| names(&mail.subject)) {
            if mails.iter().all(|known| known.message_id != mail.message_id) {
                mails.push(mail);
            }
        }
        mails
    }
}

fn is_reply(mail: &Mail) -> bool {
    mail.subject.starts_with("Re: ")
}
