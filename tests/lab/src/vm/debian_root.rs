//! The programs that build and run VM nodes, from Debian 12 with all their dependencies: unpacked
//! side by side in the cache, never installed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::clock::Stopwatch;
use crate::debian::{apt, unpack};
use crate::process::Program;
use crate::{environment, process};

/// The versions in Debian 12, a part of the cache key.
const LINE: &str = "qemu-7.2-mmdebstrap-1.3";
const PACKAGES: [&str; 3] = ["qemu-system-x86", "qemu-utils", "mmdebstrap"];
/// The programs that must exist. `mmdebstrap` looks for the last one in its own folder.
const PROGRAMS: [&str; 4] = ["qemu-system-x86_64", "qemu-img", "mmdebstrap", "mmtarfilter"];

/// A folder that looks like the root of a machine on which the packages are installed.
#[derive(Debug, Clone)]
pub struct DebianRoot(PathBuf);

impl DebianRoot {
    /// The folder in the cache, downloaded and unpacked on first use.
    ///
    /// # Errors
    /// A package cannot be downloaded.
    pub fn get() -> Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "VM nodes need an x86_64 machine");
        let root = Self(environment::cache_dir()?.join("vm").join(LINE));
        if PROGRAMS.iter().any(|name| !root.file(name).is_file()) {
            root.fetch()?;
        }
        Ok(root)
    }

    /// One of its programs, ready to run with its own libraries.
    pub fn program(&self, name: &str) -> Program {
        let libraries = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|dir| self.0.join(dir));
        let libraries = libraries.map(|dir| dir.display().to_string()).join(":");
        Program::new(name, self.file(name)).env("LD_LIBRARY_PATH", libraries)
    }

    /// One of its Perl scripts with its modules; its own helpers come first on the PATH.
    pub fn script(&self, name: &str) -> Result<Program> {
        let perl = environment::on_path("perl").context("`perl` is missing: the lab needs a Debian machine")?;
        let path = environment::variable("PATH").unwrap_or_default();
        let helpers = self.0.join("helpers");
        Ok(Program::new(name, perl)
            .arg(self.file(name))
            .env("PERL5LIB", self.0.join("usr/share/perl5"))
            .env("PATH", format!("{}:{path}", helpers.display())))
    }

    /// The firmware folders of qemu.
    pub fn firmware(&self) -> [PathBuf; 2] {
        ["usr/share/qemu", "usr/share/seabios"].map(|folder| self.0.join(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join("usr/bin").join(name)
    }

    fn fetch(&self) -> Result<()> {
        let watch = Stopwatch::start();
        let unfinished = self.0.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
        }
        let (archives, status) = (unfinished.join("archives"), unfinished.join("status"));
        fs::create_dir_all(archives.join("partial")).with_context(|| format!("creating {}", archives.display()))?;
        // An empty status file, as if nothing were installed: the host's own packages are ignored.
        fs::write(&status, "").with_context(|| format!("writing {}", status.display()))?;
        let log = self.0.with_extension("log");
        let options = [
            format!("-oDir::State::status={}", status.display()),
            format!("-oDir::Cache::archives={}", archives.display()),
        ];
        let mut args = vec!["install", "--yes", "--download-only", "--no-install-recommends", "-oDebug::NoLocking=1"];
        args.extend(options.iter().map(String::as_str));
        args.extend(PACKAGES);
        if !apt(&args, &unfinished, &log)?.success() {
            apt(&["update"], &unfinished, &log)?;
            let there = apt(&args, &unfinished, &log)?.success();
            ensure!(there, "{} of Debian 12 could not be downloaded:\n{}", PACKAGES.join(", "), process::tail(&log, 5));
        }
        let debs = fs::read_dir(&archives).with_context(|| format!("reading {}", archives.display()))?;
        for deb in debs.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "deb"))
        {
            unpack(&deb, &unfinished, &log)?;
        }
        fs::remove_dir_all(&archives).with_context(|| format!("removing {}", archives.display()))?;
        let helpers = unfinished.join("helpers");
        fs::create_dir(&helpers).with_context(|| format!("creating {}", helpers.display()))?;
        std::os::unix::fs::symlink("../usr/bin/mmtarfilter", helpers.join("mmtarfilter"))
            .context("linking a helper")?;
        fs::rename(&unfinished, &self.0).with_context(|| format!("moving the result to {}", self.0.display()))?;
        println!("vm: qemu and mmdebstrap of Debian 12 ({})", watch.read());
        Ok(())
    }
}
