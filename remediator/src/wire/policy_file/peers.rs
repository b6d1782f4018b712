//! What lies elsewhere: Alertmanager, the mail server, the script of a reimage. BMCs have a file of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::closed_words;
use crate::wire::word::Word;

/// Where Alertmanager is asked what fires and what is silenced.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerFile {
    /// Every replica by itself: `https://alertmanager-0.alertmanager:9093`.
    pub urls: Vec<String>,
    /// How often every replica is asked.
    #[serde(default = "a_minute")]
    pub poll_seconds: u32,
    /// A PEM file with the CA of the replicas, where it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file that holds a bearer token, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

fn a_minute() -> u32 {
    60
}

closed_words! {
    /// How the mail server is talked to.
    pub enum Tls ("tls") { StartTls = "starttls", None = "none" }
}

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MailFile {
    /// `OSSCI Ops <ossci@example.com>`.
    pub from: String,
    /// Whoever is to be asked.
    pub to: Vec<String>,
    /// Host name of the SMTP server, as it is in its certificate.
    pub server: String,
    /// Of the SMTP server; 587.
    #[serde(default = "submission")]
    pub port: u16,
    /// How the connection is protected.
    #[serde(default = "starttls")]
    pub tls: Word<Tls>,
    /// A PEM file with the CA of the server, where it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Absent: the server asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A file that holds the password, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Links for the reader; `{node}` is replaced by the node's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

fn submission() -> u16 {
    587
}

fn starttls() -> Word<Tls> {
    Word(Tls::StartTls)
}

/// Where the script of a reimage lies.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReimageFile {
    /// A ConfigMap of our namespace.
    pub config_map: String,
    /// The script's name in it.
    pub key: String,
}

impl Default for ReimageFile {
    fn default() -> Self {
        Self { config_map: "ossci-reimage".to_owned(), key: "reimage.sh".to_owned() }
    }
}
