//! The policy's section `mail`: who is told, and by which server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lettre::message::Mailbox;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyError;
use crate::core::names;
use crate::core::policy::MailNames;
use ossci_base::closed_words;

closed_words! {
    /// The encryption of the connection to the mail server.
    pub enum Tls ("tls") {
        StartTls = "starttls",
        /// From the first byte, as on port 465.
        Implicit = "implicit",
        None = "none",
    }
}

/// Port 465: TLS from the first byte (RFC 8314, section 3.3).
const SUBMISSIONS: u16 = 465;
/// Port 587: submission with STARTTLS (RFC 6409).
const SUBMISSION: u16 = 587;

/// The escalation mails: docs/mail.md. Exactly one of `server`, `graph` and `directory` is set.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailFile {
    /// The sender: `OSSCI Ops <ossci@example.com>`.
    pub from: String,
    /// The recipients.
    pub to: Vec<String>,
    /// Host name of the SMTP server, as in its certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Port of the SMTP server. Absent: 465 with `tls: implicit`, else 587.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default = "starttls")]
    pub tls: Tls,
    /// `tls: none` is refused without it: everybody on the way can read the mails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// A PEM file with the CA of the server, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The account on the SMTP server. Absent: no authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that contains only the password, read before each mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Sends by Microsoft Graph instead of SMTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<GraphFile>,
    /// Writes each mail as a file into this directory instead of sending it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Signs in with a token: on the SMTP server (XOAUTH2) instead of a password, and at Graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthFile>,
    /// Links to add to the mail; `{node}` is replaced by the node's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// A folder with the site's own templates of subject and text, `subject.j2` and `text.j2`, read
    /// when the policy is: docs/mail.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<PathBuf>,
    /// The labels of the node that the text shows. All of them are in the attachment `node.txt`.
    #[serde(default = "shown_labels")]
    pub labels: Vec<String>,
}

/// Microsoft Graph, which sends from the mailbox of `from`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GraphFile {
    /// Its address; national clouds have their own.
    #[serde(default = "graph_url")]
    pub url: String,
}

/// The application that a token is asked for: the client credentials flow of OAuth 2.0. Exactly one
/// of `secretFile`, `keyFile` and `assertionFile` is set. Each file is read before each use.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OauthFile {
    /// The token endpoint: `https://login.microsoftonline.com/TENANT/oauth2/v2.0/token`.
    pub token_url: String,
    /// The application's (client) id.
    pub client_id: String,
    /// What the token is for. Absent: Exchange Online for SMTP, Graph for Graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// A file that contains only the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// A PEM file with the private key of a certificate that the application knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A PEM file with that certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// A file with a token of the cluster that the application trusts (workload identity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assertion_file: Option<PathBuf>,
}

fn starttls() -> Tls {
    Tls::StartTls
}

fn graph_url() -> String {
    "https://graph.microsoft.com".to_owned()
}

/// Where the machine stands and what it is, by the labels that Kubernetes and sites use.
fn shown_labels() -> Vec<String> {
    [
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/rack",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/hostname",
        "ossci.amd.com/pool",
        "rack",
        "role",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// How the mails leave.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    Smtp(&'a str),
    Graph(&'a GraphFile),
    Directory(&'a PathBuf),
}

impl MailFile {
    /// Refuses what can never be sent.
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        let wrong = |text: &str| Err(PolicyError::Mail(text.to_owned()));
        if self.to.is_empty() {
            return wrong("to is empty; name at least one address");
        }
        for address in std::iter::once(&self.from).chain(&self.to) {
            if let Err(error) = address.parse::<Mailbox>() {
                return wrong(&format!("{address:?} is not an address like \"Name <user@host>\": {error}"));
            }
        }
        let ways = [self.server.is_some(), self.graph.is_some(), self.directory.is_some()];
        if ways.iter().filter(|named| **named).count() != 1 {
            return wrong("name exactly one of server (SMTP), graph and directory");
        }
        match self.way() {
            Way::Smtp(server) => self.check_smtp(server)?,
            Way::Graph(graph) => {
                if !is_url(&graph.url) {
                    return wrong("graph.url is no address like https://graph.microsoft.com");
                }
                if self.oauth.is_none() {
                    return wrong("graph needs oauth: Microsoft Graph takes no password");
                }
            }
            Way::Directory(_) => {}
        }
        if !matches!(self.way(), Way::Smtp(_)) && (self.username.is_some() || self.password_file.is_some()) {
            return wrong("username and passwordFile belong to server (SMTP) only");
        }
        self.oauth.as_ref().map_or(Ok(()), OauthFile::check)
    }

    fn check_smtp(&self, server: &str) -> Result<(), PolicyError> {
        let wrong = |text: &str| Err(PolicyError::Mail(text.to_owned()));
        if server.is_empty() || server.contains([' ', '/', '@']) {
            return wrong(&format!("server: {server:?} is not a host name like smtp.example.com"));
        }
        match (self.port(), self.tls) {
            (0, _) => return wrong("port 0 is none; leave it out for 587, or for 465 with tls: implicit"),
            (SUBMISSIONS, Tls::StartTls) => {
                return wrong("port 465 speaks TLS from the first byte: write tls: implicit");
            }
            (SUBMISSION, Tls::Implicit) => {
                return wrong("port 587 begins without TLS: write tls: starttls, or port: 465");
            }
            _ => {}
        }
        match (&self.username, &self.password_file, &self.oauth) {
            (Some(_), None, None) => return wrong("username needs passwordFile or oauth"),
            (Some(_), Some(_), Some(_)) => return wrong("name one of passwordFile and oauth"),
            (None, Some(_), _) => return wrong("passwordFile needs username"),
            (None, None, Some(_)) => return wrong("oauth on an SMTP server needs username, the mailbox"),
            _ => {}
        }
        if self.tls == Tls::None && self.username.is_some() {
            return wrong(
                "tls: none would send a password or a token that everybody on the way can read; use starttls or implicit",
            );
        }
        if self.tls == Tls::None && !self.insecure {
            return wrong("tls: none lets everybody on the way read the mails; if that is right, add insecure: true");
        }
        Ok(())
    }

    pub fn way(&self) -> Way<'_> {
        match (&self.server, &self.graph, &self.directory) {
            (Some(server), ..) => Way::Smtp(server),
            (None, Some(graph), _) => Way::Graph(graph),
            (None, None, Some(directory)) => Way::Directory(directory),
            // Refused by `check`.
            (None, None, None) => Way::Smtp(""),
        }
    }

    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls == Tls::Implicit { SUBMISSIONS } else { SUBMISSION })
    }

    /// Returns what the Message-IDs are made of.
    pub(super) fn names(file: Option<&Self>, cluster: Option<&str>) -> MailNames {
        let sender = file.and_then(|mail| mail.from.parse::<Mailbox>().ok());
        MailNames {
            // No mail leaves without a sender.
            domain: sender.map_or_else(|| "localhost".to_owned(), |sender| sender.email.domain().to_owned()),
            cluster: cluster.map(names::valid).unwrap_or_default(),
        }
    }
}

impl OauthFile {
    fn check(&self) -> Result<(), PolicyError> {
        let wrong = |text: &str| Err(PolicyError::Mail(format!("oauth: {text}")));
        if !is_url(&self.token_url) {
            return wrong("tokenUrl is no address like https://login.microsoftonline.com/TENANT/oauth2/v2.0/token");
        }
        if self.client_id.is_empty() {
            return wrong("clientId is empty; it is the application's id");
        }
        let proofs = [&self.secret_file, &self.key_file, &self.assertion_file];
        if proofs.iter().filter(|file| file.is_some()).count() != 1 {
            return wrong("name exactly one of secretFile, keyFile and assertionFile");
        }
        if self.key_file.is_some() != self.certificate_file.is_some() {
            return wrong("keyFile and certificateFile belong together");
        }
        Ok(())
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://127.0.0.1")
}
