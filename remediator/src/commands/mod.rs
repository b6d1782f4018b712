//! The subcommands that an operator runs by hand, one file each.

pub mod config;
pub mod crd;
pub mod doctor;
pub mod explain;
pub mod mail;
pub mod rules;
pub mod uninstall;

use std::path::Path;

use anyhow::Context as _;

use crate::wire::policy_file::PolicyFile;

/// Reads a policy file; an error names it.
fn policy(path: &Path) -> anyhow::Result<PolicyFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    PolicyFile::parse(&text).with_context(|| path.display().to_string())
}
