//! Our account on a node's BMC and the fingerprints of its certificate: from the node's own files
//! by a name pattern, otherwise one account and the CA for all. They are read before each reset: a
//! changed Secret takes effect immediately, and no password stays in memory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::controller::services::redfish::pinned::{Fingerprint, fingerprints};
use crate::outbound;
use crate::wire::policy_file::{BmcFile, NODE};

/// One account on one BMC. Deliberately not `Debug`.
pub struct Account {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: String,
}

/// The file names for all nodes.
pub struct Accounts {
    username: String,
    password_file: Option<PathBuf>,
    node_username_file: Option<String>,
    node_password_file: Option<String>,
    node_fingerprint_file: Option<String>,
}

impl Accounts {
    /// # Errors
    /// The password for all nodes cannot be read.
    pub fn new(file: &BmcFile) -> anyhow::Result<Self> {
        if let Some(path) = &file.password_file {
            outbound::secret("passwordFile", path)?;
        }
        Ok(Self {
            username: file.username.clone(),
            password_file: file.password_file.clone(),
            node_username_file: file.node_username_file.clone(),
            node_password_file: file.node_password_file.clone(),
            node_fingerprint_file: file.node_fingerprint_file.clone(),
        })
    }

    /// # Errors
    /// A file of this node exists but cannot be used: another BMC's password is not sent instead.
    /// Or there is no password at all.
    pub fn of(&self, node: &str) -> anyhow::Result<Account> {
        let username = own("nodeUsernameFile", self.node_username_file.as_deref(), node)?;
        let password = match (own("nodePasswordFile", self.node_password_file.as_deref(), node)?, &self.password_file) {
            (Some(password), _) => password,
            (None, Some(path)) => outbound::secret("passwordFile", path)?,
            (None, None) => anyhow::bail!("the node has no nodePasswordFile, and there is no passwordFile"),
        };
        Ok(Account { username: username.unwrap_or_else(|| self.username.clone()), password })
    }

    /// Returns the fingerprints that authenticate this node's BMC; `None`: a CA does.
    ///
    /// # Errors
    /// The node's file exists but cannot be used.
    pub fn pins(&self, node: &str) -> anyhow::Result<Option<Vec<Fingerprint>>> {
        let text = own("nodeFingerprintFile", self.node_fingerprint_file.as_deref(), node)?;
        text.map(|text| fingerprints(&text).context("nodeFingerprintFile")).transpose()
    }
}

/// Returns the content of a node's own file, if it exists.
fn own(key: &str, pattern: Option<&str>, node: &str) -> anyhow::Result<Option<String>> {
    let Some(pattern) = pattern else { return Ok(None) };
    let path = pattern.replace(NODE, node);
    match outbound::secret(key, Path::new(&path)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_not_there(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_not_there(error: &anyhow::Error) -> bool {
    error.root_cause().downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}
