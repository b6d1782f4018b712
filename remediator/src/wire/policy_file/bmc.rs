//! The policy's section `bmc`: the addresses of the BMCs, our account on them, and how they are
//! authenticated.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyError;

/// How a dead node is reset by its BMC, over Redfish.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BmcFile {
    /// The node's ComputerSystem; `{node}` is replaced by the node's name:
    /// `https://{node}.bmc.example.com/redfish/v1/Systems/1`. It is not read from the Node, because
    /// a kubelet may write its own Node's annotations and would be sent the password.
    pub url: String,
    /// The account on every BMC without an account of its own.
    pub username: String,
    /// A file that contains only its password; read before each reset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The file with a node's own account name, if it has one: `/etc/ossci/bmc/{node}.username`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_username_file: Option<String>,
    /// The file with a node's own password, if it has one: `/etc/ossci/bmc/{node}.password`.
    /// `passwordFile` is for nodes without this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_password_file: Option<String>,
    /// A PEM file with the CA of the BMCs, if it is not a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// A file with the SHA-256 fingerprints of a BMC's certificate, one per line, as printed by
    /// `openssl x509 -fingerprint -sha256`: `/etc/ossci/bmc/{node}.sha256`. A node with such a file
    /// is authenticated only by it, any other by the CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_fingerprint_file: Option<String>,
    /// A node that is not Ready is dead when its kubelet has not renewed its Lease for this long.
    /// Keep it well above the time after which Kubernetes sets a silent node to Unknown (50 s):
    /// only then are other silent nodes counted.
    #[serde(default = "five_minutes")]
    pub dead_seconds: u32,
    /// The same for a node whose agent reported a loaded crash kernel (kdump): a kernel that
    /// panicked writes its memory to a disk, and a reset would destroy the dump.
    #[serde(default = "thirty_minutes")]
    pub dump_seconds: u32,
}

fn thirty_minutes() -> u32 {
    1800
}

fn five_minutes() -> u32 {
    300
}

/// The placeholder for the node's name in a pattern.
pub const NODE: &str = "{node}";

impl BmcFile {
    /// # Errors
    /// An address that is not HTTPS or has no `{node}`, no password, or a file per node without
    /// `{node}`.
    pub fn check(&self) -> Result<(), PolicyError> {
        if !(self.url.starts_with("https://") && self.url.contains(NODE)) {
            return Err(PolicyError::NoBmcAddress(self.url.clone()));
        }
        if self.password_file.is_none() && self.node_password_file.is_none() {
            return Err(PolicyError::NoBmcPassword);
        }
        let patterns = [
            ("nodeUsernameFile", &self.node_username_file),
            ("nodePasswordFile", &self.node_password_file),
            ("nodeFingerprintFile", &self.node_fingerprint_file),
        ];
        for (key, pattern) in patterns {
            if let Some(pattern) = pattern.as_ref().filter(|pattern| !pattern.contains(NODE)) {
                return Err(PolicyError::NoNodePattern(key, pattern.clone()));
            }
        }
        Ok(())
    }
}
