//! The policy's sections `alertmanager` and `reimage`: services outside the controller.
//! BMCs have their own file.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::PolicyError;
use super::bmc::NODE;
use crate::core::policy::ProvisioningPolicy;

/// Which Alertmanagers are asked for firing alerts and silences.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AlertmanagerFile {
    /// The address of every replica: `https://alertmanager-0.alertmanager:9093`.
    pub urls: Vec<String>,
    /// How often every replica is asked.
    #[serde(default = "a_minute")]
    pub poll_seconds: u32,
    /// A PEM file with the CA of the replicas, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file that contains only a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

fn a_minute() -> u32 {
    60
}

/// How a node is reimaged: by a script, or by a service of the site.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ReimageFile {
    /// A ConfigMap in our namespace. Agents may read this one and that of the load test: for
    /// another, change `deploy/rbac.yaml`.
    pub config_map: String,
    /// The key of the script in it.
    pub key: String,
    /// The site's provisioning service, which reimages instead of the script. Absent: the script.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceFile>,
}

/// The site's provisioning service: docs/reimage-service.md.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceFile {
    /// The address of one reimage; `{node}` and `{id}` are replaced by the node's name and the
    /// reimage's id: `https://provision.example.com/reimages/{node}/{id}`.
    pub url: String,
    /// A file with a bearer token, read before each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// A PEM file with the CA of the service, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How often the service is asked for the state of a reimage.
    #[serde(default = "half_a_minute")]
    pub poll_seconds: u32,
}

fn half_a_minute() -> u32 {
    30
}

/// The placeholder for a reimage's id in a pattern.
pub const ID: &str = "{id}";

impl ServiceFile {
    /// Returns the policy that the core decides by.
    pub fn policy(&self) -> ProvisioningPolicy {
        // 16 digits distinguish two addresses without revealing them.
        let service = format!("{:.16x}", Sha256::digest(&self.url));
        ProvisioningPolicy { service, every: Duration::from_secs(self.poll_seconds.into()) }
    }

    /// # Errors
    /// An address that is not HTTPS or has no `{node}` and `{id}`, or a poll interval of 0.
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
