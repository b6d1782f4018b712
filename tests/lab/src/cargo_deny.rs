//! The command `ossci-lab deny`: checks our dependencies against deny.toml with cargo-deny.

use anyhow::{Result, bail};

use crate::cargo_tool::CargoTool;
use crate::{environment, process};

const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2", about: "4 min" };

/// The checks. Advisories need a database that is not on the crates registry.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// Runs the checks. The output goes to a log file.
///
/// # Errors
/// cargo-deny cannot be built, or it found something.
pub fn check() -> Result<()> {
    let program = CARGO_DENY.program()?;
    let log = environment::cache_dir()?.join("tools/cargo-deny-check.log");
    let args = [&["check", "--hide-inclusion-graph"], CHECKS.as_slice()].concat();
    let status = process::run_logged(&program, &args, &[], &environment::repository(), &log)?;
    if !status.success() {
        bail!("cargo deny check failed; its output ends:\n{}", process::tail(&log, 40));
    }
    Ok(())
}
