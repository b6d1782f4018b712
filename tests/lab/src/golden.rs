//! Golden files of stories: compared, or rewritten with UPDATE_EXPECTED=1.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ossci_base::golden;

pub fn check(path: &Path, found: &str) -> Result<()> {
    golden::check(path, found).map_err(anyhow::Error::msg)
}

/// Compares both texts after `form`, also when golden files are rewritten.
pub fn compare_as(path: &Path, found: &str, form: impl Fn(&str) -> String) -> Result<()> {
    let expected =
        fs::read_to_string(path).with_context(|| format!("reading {}; UPDATE_EXPECTED=1 writes it", path.display()))?;
    golden::compare(path, &form(&expected), &form(found)).map_err(anyhow::Error::msg)
}
