//! Programs by others for Node.js: a mail server, a token endpoint, a mail parser, and Grafana's
//! component library. The lock files below `tests/lab/tools` pin and verify them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::clock::Stopwatch;
use crate::{environment, process};

/// A folder below `tests/lab/tools`.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    name: &'static str,
    /// What is pinned, and our scripts.
    files: &'static [&'static str],
}

/// The parsers and servers that the tests of mails need.
pub const MAIL_PEERS: Packages =
    Packages { name: "mail-peers", files: &["package.json", "package-lock.json", "server.js", "parse.js", "parse.py"] };

/// What draws the dashboards for the documents.
pub const PICTURES: Packages =
    Packages { name: "dashboard-pictures", files: &["package.json", "package-lock.json", "draw.js", "panels.jsx"] };

/// How to get what is missing.
const MISSING: &str =
    "install Node.js 20 or newer with npm, such as by `apt-get install nodejs npm`, and run `make setup`";

impl Packages {
    fn pinned(self) -> PathBuf {
        environment::repository().join("tests/lab/tools").join(self.name)
    }

    /// The folder in the cache; its name depends on every file.
    fn home(self) -> Result<PathBuf> {
        let mut hash = Sha256::new();
        for file in self.files {
            let path = self.pinned().join(file);
            hash.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
        }
        let digest = format!("{:x}", hash.finalize());
        Ok(environment::cache_dir()?.join("tools").join(format!("{}-{}", self.name, &digest[..12])))
    }

    pub fn is_there(self) -> Result<bool> {
        Ok(self.home()?.join("node_modules").is_dir())
    }

    /// Returns the path of a script, with the packages beside it.
    ///
    /// # Errors
    /// They are not downloaded yet.
    pub fn script(self, name: &str) -> Result<PathBuf> {
        if !self.is_there()? {
            bail!("{} is not downloaded yet: {MISSING}", self.name);
        }
        Ok(self.home()?.join(name))
    }

    /// Downloads the packages. The demo needs none, so a machine without npm still plays it.
    pub fn fetch(self) -> Result<()> {
        let watch = Stopwatch::start();
        let Some(npm) = environment::on_path("npm") else {
            println!("setup: {}: npm is missing, which the demo does not need: {MISSING}", self.name);
            return Ok(());
        };
        let home = self.home()?;
        let unfinished = home.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        for file in self.files {
            fs::copy(self.pinned().join(file), unfinished.join(file)).with_context(|| format!("copying {file}"))?;
        }
        let log = home.with_extension("log");
        let args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
        let status = process::run_logged(&npm, &args, &[], Path::new(&unfinished), &log)?;
        if !status.success() {
            let end = process::tail(&log, 10);
            bail!("{} could not be downloaded, the log {} ends:\n{end}", self.name, log.display());
        }
        fs::rename(&unfinished, &home).with_context(|| format!("moving the result to {}", home.display()))?;
        println!("setup: {}: downloaded ({})", self.name, watch.read());
        Ok(())
    }
}
