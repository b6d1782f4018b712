//! The ways in which a mail leaves: SMTP, Microsoft Graph, a directory.

mod directory;
mod graph;
mod smtp;
mod token;

use std::time::Duration;

use lettre::Address;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use self::graph::Graph;
use self::smtp::Smtp;
use self::token::Tokens;
use crate::core::outbox::Refusal;
use crate::wire::policy_file::{MailFile, Way};

/// Limit of one mail, whatever its steps take.
const DELIVERY: Duration = Duration::from_secs(120);

/// Is told each step of a delivery, for a person who tests it.
pub type Say<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// A mail as it leaves.
pub struct Sealed {
    pub message_id: String,
    pub from: Address,
    pub to: Vec<Address>,
    /// Header and body, RFC 5322.
    pub mime: Vec<u8>,
}

impl Sealed {
    /// Whether an address needs SMTPUTF8 (RFC 6531).
    fn has_wide_addresses(&self) -> bool {
        let wide = |address: &Address| !AsRef::<str>::as_ref(address).is_ascii();
        wide(&self.from) || self.to.iter().any(wide)
    }
}

/// One way out.
pub enum Transport {
    Smtp(Smtp),
    Graph(Graph),
    Directory(std::path::PathBuf),
}

impl Transport {
    /// # Errors
    /// A CA file cannot be read.
    pub fn new(file: &MailFile) -> anyhow::Result<Self> {
        let tokens = |scope: &str| file.oauth.as_ref().map(|oauth| Tokens::new(oauth, scope, file.ca_file.as_deref()));
        Ok(match file.way() {
            Way::Smtp(server) => {
                let tokens = tokens("https://outlook.office365.com/.default").transpose()?;
                Self::Smtp(Smtp::new(server, file, tokens))
            }
            Way::Graph(graph) => {
                let url = graph.url.trim_end_matches('/');
                let tokens = tokens(&format!("{url}/.default")).transpose()?;
                Self::Graph(Graph::new(url, tokens, file.ca_file.as_deref())?)
            }
            Way::Directory(path) => Self::Directory(path.clone()),
        })
    }

    /// Returns the refused recipients, each with the server's words, when the mail is accepted for
    /// at least one.
    ///
    /// # Errors
    /// The mail was not accepted, or not within two minutes.
    pub async fn deliver(&self, mail: &Sealed, say: Say<'_>) -> Result<Vec<String>, Refusal> {
        let delivery = async {
            match self {
                Self::Smtp(smtp) => smtp.deliver(mail, say).await,
                Self::Graph(graph) => graph.deliver(mail, say).await,
                Self::Directory(path) => directory::deliver(path, mail, say).await,
            }
        };
        let delivered = tokio::time::timeout(DELIVERY, delivery).await;
        delivered.unwrap_or_else(|_| Err(refusal(false, "the server did not take the mail within 120 s".to_owned())))
    }
}

/// Whether the server may take a smaller mail.
pub fn is_too_large(refusal: &Refusal) -> bool {
    smtp::is_too_large(refusal) || graph::is_too_large(refusal)
}

/// Returns the wait that an answer asks for, in whole seconds.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Returns a refusal of the server.
fn refusal(permanent: bool, words: String) -> Refusal {
    // The words go into the record and into metrics' neighbours: one line, of bounded length.
    let words: String = words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect();
    Refusal { words, permanent, of_mail: false, retry_after: None }
}
