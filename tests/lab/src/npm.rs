//! Programs by others for Node.js: a mail server, a token endpoint and a mail parser. The lock file
//! below `tests/lab/tools` pins and verifies them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::clock::Stopwatch;
use crate::{environment, process};

/// The folder below `tests/lab/tools`.
const NAME: &str = "mail-peers";
/// The files of the folder: what is pinned, and our scripts.
const FILES: [&str; 5] = ["package.json", "package-lock.json", "server.js", "parse.js", "parse.py"];

fn pinned() -> PathBuf {
    environment::repository().join("tests/lab/tools").join(NAME)
}

/// The folder in the cache; its name depends on every file.
fn home() -> Result<PathBuf> {
    let mut hash = Sha256::new();
    for file in FILES {
        let path = pinned().join(file);
        hash.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
    }
    let digest = format!("{:x}", hash.finalize());
    Ok(environment::cache_dir()?.join("tools").join(format!("{NAME}-{}", &digest[..12])))
}

pub fn is_there() -> Result<bool> {
    Ok(home()?.join("node_modules").is_dir())
}

/// Returns the path of a script, with the packages beside it.
///
/// # Errors
/// They are not downloaded yet.
pub fn script(name: &str) -> Result<PathBuf> {
    if !is_there()? {
        bail!("{NAME} is not downloaded yet: {MISSING}");
    }
    Ok(home()?.join(name))
}

/// How to get what is missing.
const MISSING: &str =
    "install Node.js 20 or newer with npm, such as by `apt-get install nodejs npm`, and run `make setup`";

/// Downloads the packages. Only tests need them, so a machine without npm still plays the demo.
pub fn fetch() -> Result<()> {
    let watch = Stopwatch::start();
    let Some(npm) = environment::on_path("npm") else {
        println!("setup: {NAME}: npm is missing, which only the tests of mails need: {MISSING}");
        return Ok(());
    };
    let home = home()?;
    let unfinished = home.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
    for file in FILES {
        fs::copy(pinned().join(file), unfinished.join(file)).with_context(|| format!("copying {file}"))?;
    }
    let log = home.with_extension("log");
    let args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
    let status = process::run_logged(&npm, &args, &[], Path::new(&unfinished), &log)?;
    if !status.success() {
        bail!("{NAME} could not be downloaded, the log {} ends:\n{}", log.display(), process::tail(&log, 10));
    }
    fs::rename(&unfinished, &home).with_context(|| format!("moving the result to {}", home.display()))?;
    println!("setup: {NAME}: downloaded ({})", watch.read());
    Ok(())
}
