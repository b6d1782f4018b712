//! Tools of cargo at a pinned version, built into the cache on first use.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::{environment, process};

/// A crate with a program of the same name.
pub struct CargoTool {
    pub name: &'static str,
    pub version: &'static str,
    /// Duration of the first build on two cores, for the progress line.
    pub about: &'static str,
}

impl CargoTool {
    /// Builds it if it is missing; returns the program.
    ///
    /// # Errors
    /// cargo is missing, or the build failed.
    pub fn program(&self) -> Result<PathBuf> {
        let home = environment::cache_dir()?.join("tools").join(format!("{}-{}", self.name, self.version));
        let program = home.join("bin").join(self.name);
        if !program.is_file() {
            self.install(&home)?;
        }
        Ok(program)
    }

    fn install(&self, home: &Path) -> Result<()> {
        let Self { name, version, about } = self;
        let cargo = environment::on_path("cargo").context("cargo is not on the PATH: install Rust from rustup.rs")?;
        println!("setup: {name}: downloading and building, about {about} the first time ...");
        let watch = Stopwatch::start();
        // The version has dots, so no `with_extension`.
        let unfinished = PathBuf::from(format!("{}.unfinished", home.display()));
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        let (root, log) = (unfinished.display().to_string(), PathBuf::from(format!("{}.log", home.display())));
        let args = ["install", "--locked", "--root", &root, "--version", version, name];
        if !process::run_logged(&cargo, &args, &[], Path::new("/"), &log)?.success() {
            bail!("building {name} failed; its output ends:\n{}", process::tail(&log, 10));
        }
        fs::rename(&unfinished, home).with_context(|| format!("moving the result to {}", home.display()))?;
        println!("setup: {name} ({})", watch.read());
        Ok(())
    }
}
