//! What lies elsewhere: Alertmanager, the mail server, the script of a reimage. BMCs have a file of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PolicyError;
use super::bmc::NODE;
use crate::core::policy::ProvisioningPolicy;
use ossci_base::closed_words;

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
    pub tls: Tls,
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

fn starttls() -> Tls {
    Tls::StartTls
}

/// How a node is reimaged: by a script, or by a service of the site's.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReimageFile {
    /// A ConfigMap of our namespace. Agents may read the one of this name: for another, change `deploy/rbac.yaml`.
    pub config_map: String,
    /// The script's name in it.
    pub key: String,
    /// The site's provisioning service reimages, and no script is run. Absent: the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceFile>,
}

/// The site's provisioning service: docs/reimage-service.md.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceFile {
    /// The address of one reimage; `{node}` and `{id}` are replaced by the node's name and the reimage's:
    /// `https://provision.example.com/reimages/{node}/{id}`.
    pub url: String,
    /// A file with a bearer token, read before each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A PEM file with the CA of the service, where it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How often the service is asked how far it is.
    #[serde(default = "half_a_minute")]
    pub poll_seconds: u32,
}

fn half_a_minute() -> u32 {
    30
}

/// What stands for a reimage's name in a pattern.
pub const ID: &str = "{id}";

impl ServiceFile {
    /// What the core decides by.
    pub fn policy(&self) -> ProvisioningPolicy {
        // 16 digits tell two addresses apart, and do not say what they are.
        let service = format!("{:.16x}", Sha256::digest(&self.url));
        ProvisioningPolicy { service, every: Duration::from_secs(self.poll_seconds.into()) }
    }

    /// # Errors
    /// An address that is not each reimage's own or not protected, or no time between two questions.
    pub fn check(&self) -> Result<(), PolicyError> {
        let own = [NODE, ID].iter().all(|part| self.url.contains(part));
        if !(own && self.url.starts_with("https://")) {
            return Err(PolicyError::NoServiceAddress(self.url.clone()));
        }
        if self.poll_seconds == 0 { Err(PolicyError::NoServicePoll) } else { Ok(()) }
    }
}

impl Default for ReimageFile {
    fn default() -> Self {
        Self { config_map: "ossci-reimage".to_owned(), key: "reimage.sh".to_owned(), service: None }
    }
}
