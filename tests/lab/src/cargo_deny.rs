//! The command `ossci-lab deny`: checks our dependencies against deny.toml with cargo-deny, which
//! is built into the cache on first use.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::{environment, process};

const VERSION: &str = "0.20.2";

/// The checks. Advisories need a database that is not on the crates registry.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// Builds cargo-deny if it is missing, and runs its checks. The output goes to a log file.
pub fn check() -> Result<()> {
    let cargo = environment::on_path("cargo").context("cargo is not on the PATH: install Rust from rustup.rs")?;
    let home = environment::cache_dir()?.join("tools").join(format!("cargo-deny-{VERSION}"));
    let log = home.with_extension("log");
    let program = home.join("bin/cargo-deny");
    if !program.is_file() {
        install(&cargo, &home, &log)?;
    }
    let args = [&["check", "--hide-inclusion-graph"], CHECKS.as_slice()].concat();
    let status = process::run_logged(&program, &args, &[], &environment::repository(), &log)?;
    if !status.success() {
        bail!("cargo deny check failed; its output ends:\n{}", process::tail(&log, 40));
    }
    Ok(())
}

fn install(cargo: &Path, home: &Path, log: &Path) -> Result<()> {
    println!("setup: cargo-deny: downloading and building, about 4 min the first time ...");
    let watch = Stopwatch::start();
    let unfinished: PathBuf = home.with_extension("unfinished");
    fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
    let root = unfinished.display().to_string();
    let args = ["install", "--locked", "--root", &root, "--version", VERSION, "cargo-deny"];
    if !process::run_logged(cargo, &args, &[], Path::new("/"), log)?.success() {
        bail!("building cargo-deny failed; its output ends:\n{}", process::tail(log, 10));
    }
    fs::rename(&unfinished, home).with_context(|| format!("moving the result to {}", home.display()))?;
    println!("setup: cargo-deny ({})", watch.read());
    Ok(())
}
