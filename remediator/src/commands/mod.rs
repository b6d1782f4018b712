//! The subcommands that an operator runs by hand, one file each.

pub mod by_hand;
mod cluster;
pub mod config;
pub mod crd;
pub mod dashboards;
pub mod doctor;
pub mod evidence;
pub mod explain;
mod hand;
pub mod help;
pub mod history;
pub mod mail;
mod output;
pub mod rules;
pub mod status;
pub mod uninstall;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use jiff::SignedDuration;

use crate::wire::policy_file::PolicyFile;

/// Reads a policy file; an error names it.
fn policy(path: &Path) -> anyhow::Result<PolicyFile> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    PolicyFile::parse(&text).with_context(|| path.display().to_string())
}

/// Parses a duration as people write it: `90m`, `8h`, `3d`.
fn span(text: &str) -> Result<SignedDuration, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let parsed = days.map_or_else(|| text.parse().ok(), |days| Some(SignedDuration::from_hours(i64::from(days) * 24)));
    let positive = parsed.filter(|span: &SignedDuration| span.is_positive());
    positive.ok_or_else(|| "write a duration like 90m, 8h or 3d".to_owned())
}

/// Replaces each `@key@` of a source by its value.
///
/// # Errors
/// There is no such key.
fn fill_in(source: &str, values: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let mut text = source.to_owned();
    for (key, value) in values {
        text = text.replace(&format!("@{key}@"), value);
    }
    let key = regex::Regex::new(r"@\w+@")?;
    let mut in_use = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    match in_use.find_map(|line| key.find(line)) {
        Some(key) => anyhow::bail!("it names {}, which does not exist", key.as_str()),
        None => Ok(text),
    }
}
