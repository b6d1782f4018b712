//! Older versions of tools from Debian's packages, as sites still run them. A package is unpacked,
//! never installed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::{environment, process};

/// A package of Debian 12, and the programs that are taken from it.
#[derive(Debug)]
pub struct Package {
    pub name: &'static str,
    /// The version in Debian 12, a part of the cache key.
    line: &'static str,
    /// The programs in the package, and their names in the lab.
    programs: &'static [(&'static str, &'static str)],
}

/// The package itself, for tests that install it in a file system of their own.
const WHOLE: &str = "package.deb";

pub const PACKAGES: [Package; 6] = [
    Package {
        name: "prometheus",
        line: "2.42",
        programs: &[("usr/bin/prometheus", "prometheus-2"), ("usr/bin/promtool", "promtool-2")],
    },
    // A clock that tests set: preloaded into a program, without changing the program's monotonic
    // clock.
    Package { name: "libfaketime", line: "0.9.10", programs: &[(FAKETIME, "libfaketime")] },
    // The OpenMetrics authors' parser, and the baseline of a benchmark. It is pure Python, so any
    // python3 runs it.
    Package { name: "python3-prometheus-client", line: "0.16", programs: &[(PROMETHEUS_CLIENT, "prometheus_client")] },
    Package { name: "shellcheck", line: "0.9", programs: &[("usr/bin/shellcheck", "shellcheck")] },
    Package { name: "kmod", line: "30", programs: &[(WHOLE, "kmod.deb")] },
    Package { name: "dkms", line: "3.0", programs: &[(WHOLE, "dkms.deb")] },
];

#[cfg(target_arch = "x86_64")]
const FAKETIME: &str = "usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
#[cfg(not(target_arch = "x86_64"))]
const FAKETIME: &str = "usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1";

const PROMETHEUS_CLIENT: &str = "usr/lib/python3/dist-packages/prometheus_client/__init__.py";

impl Package {
    fn home(&self) -> Result<PathBuf> {
        Ok(environment::cache_dir()?.join("tools").join(format!("debian-{}-{}", self.name, self.line)))
    }

    pub fn is_there(&self) -> Result<bool> {
        let home = self.home()?;
        Ok(self.programs.iter().all(|(path, _)| home.join(path).is_file()))
    }

    /// The names of the programs in the lab, and their paths.
    pub fn programs(&self) -> Result<Vec<(&'static str, PathBuf)>> {
        let home = self.home()?;
        Ok(self.programs.iter().map(|(path, name)| (*name, home.join(path))).collect())
    }

    /// Downloads and unpacks the package.
    pub fn fetch(&self) -> Result<()> {
        let watch = Stopwatch::start();
        let home = self.home()?;
        let unfinished = home.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        let log = home.with_extension("log");
        let package = format!("{}/bookworm", self.name);
        if !apt(&["download", &package], &unfinished, &log)?.success() {
            // The package list is probably missing or old. Updating it needs root.
            apt(&["update"], &unfinished, &log)?;
            if !apt(&["download", &package], &unfinished, &log)?.success() {
                bail!(
                    "{} of Debian 12 could not be downloaded; `apt-get download {package}` shows the reason:\n{}",
                    self.name,
                    process::tail(&log, 5)
                );
            }
        }
        let deb = fs::read_dir(&unfinished)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .with_context(|| format!("apt-get download {package} left no package in {}", unfinished.display()))?;
        unpack(&deb, &unfinished, &log)?;
        if self.programs.iter().any(|(path, _)| *path == WHOLE) {
            fs::rename(&deb, unfinished.join(WHOLE)).with_context(|| format!("moving {}", deb.display()))?;
        } else {
            fs::remove_file(&deb).with_context(|| format!("removing {}", deb.display()))?;
        }
        fs::rename(&unfinished, &home).with_context(|| format!("moving the result to {}", home.display()))?;
        println!("setup: {} {} of Debian 12 ({})", self.name, self.line, watch.read());
        Ok(())
    }
}

/// Unpacks a package into a folder.
pub fn unpack(deb: &Path, into: &Path, log: &Path) -> Result<()> {
    let dpkg = environment::on_path("dpkg").context("`dpkg` is missing: the lab needs a Debian machine")?;
    let args = ["-x", &deb.display().to_string(), &into.display().to_string()].map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if !process::run_logged(&dpkg, &args, &[], into, log)?.success() {
        bail!("unpacking {} failed:\n{}", deb.display(), process::tail(log, 5));
    }
    Ok(())
}

/// Runs `apt-get` with its output in a file.
pub fn apt(args: &[&str], dir: &Path, log: &Path) -> Result<std::process::ExitStatus> {
    let apt = environment::on_path("apt-get").context("`apt-get` is missing: the lab needs a Debian machine")?;
    process::run_logged(&apt, args, &[], dir, log)
}
