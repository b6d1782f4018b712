//! The command `ossci-lab setup`: builds the pinned programs into the cache.
//!
//! Each pin is built in a temporary folder and moved into place when complete, so an interrupted
//! setup leaves nothing that looks finished. Go's build cache holds what was compiled before the
//! interruption.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::debian::PACKAGES;
use crate::pins::{PEERS, PINS, Pin, version};
use crate::sources::SOURCES;
use crate::{environment, npm, process};

/// Disk space of a first setup: downloads, Go's build cache and the results.
const DISK_NEEDED_GB: u64 = 15;

/// The built tools.
#[derive(Debug, Clone)]
pub struct Tools(Vec<(&'static str, PathBuf)>);

impl Tools {
    /// Finds the tools of the cache; the error says how to build them.
    pub fn find() -> Result<Self> {
        let mut all = Vec::new();
        for pin in &PINS {
            if !is_built(pin)? {
                bail!("{} is not built yet: run `make setup`", pin.name);
            }
            let home = pin.home()?;
            all.extend(pin.programs.iter().map(|program| (*program, home.join(program))));
        }
        for package in &PACKAGES {
            if !package.is_there()? {
                bail!("{} of Debian 12 is not downloaded yet: run `make setup`", package.name);
            }
            all.extend(package.programs()?);
        }
        Ok(Self(all))
    }

    pub fn get(&self, name: &str) -> Result<PathBuf> {
        let found = self.0.iter().find(|(program, _)| *program == name);
        found.map(|(_, path)| path.clone()).with_context(|| format!("{name} is not among the pinned tools"))
    }
}

/// Builds what is missing.
pub fn run() -> Result<()> {
    let watch = Stopwatch::start();
    if environment::on_path("unshare").is_none() {
        bail!(
            "`unshare` is missing, and the lab needs its own namespaces: install it with `apt-get install util-linux`"
        );
    }
    let missing: Vec<&Pin> = PINS
        .iter()
        .filter_map(|pin| is_built(pin).map(|yes| (!yes).then_some(pin)).transpose())
        .collect::<Result<_>>()?;
    let mut packages = Vec::new();
    for package in &PACKAGES {
        if !package.is_there()? {
            packages.push(package);
        }
    }
    let mut sources = Vec::new();
    for source in &SOURCES {
        if !source.is_there()? {
            sources.push(source);
        }
    }
    let scripts = npm::MAIL_PEERS.is_there()?;
    if missing.is_empty() && packages.is_empty() && sources.is_empty() && scripts {
        println!(
            "setup: all {} tools are in {} ({})",
            PINS.len() + PACKAGES.len() + SOURCES.len() + 1,
            tools_dir()?.display(),
            watch.read()
        );
        return Ok(());
    }
    let go = check_go()?;
    let tools = tools_dir()?;
    fs::create_dir_all(&tools).with_context(|| format!("creating the cache {}", tools.display()))?;
    check_disk(&tools, missing.len())?;
    let _lock = lock(&tools)?;
    let total = missing.len();
    for (index, pin) in missing.into_iter().enumerate() {
        build(pin, &go, &format!("setup: [{}/{total}] {}", index + 1, pin.name))?;
    }
    for package in packages {
        package.fetch()?;
    }
    for source in sources {
        source.fetch(&go)?;
    }
    if !scripts {
        npm::MAIL_PEERS.fetch()?;
    }
    println!("setup: done ({})", watch.read());
    Ok(())
}

/// The path of a tool. A tool for benchmarks only is built first, with its progress on the standard
/// output.
pub fn tool(name: &str) -> Result<PathBuf> {
    let Some(pin) = PEERS.iter().find(|pin| pin.programs.contains(&name)) else { return Tools::find()?.get(name) };
    if !is_built(pin)? {
        let tools = tools_dir()?;
        let go = check_go()?;
        let _lock = lock(&tools)?;
        build(pin, &go, &format!("setup: {name}"))?;
    }
    Ok(pin.home()?.join(name))
}

fn tools_dir() -> Result<PathBuf> {
    Ok(environment::cache_dir()?.join("tools"))
}

fn is_built(pin: &Pin) -> Result<bool> {
    let home = pin.home()?;
    Ok(pin.programs.iter().all(|program| home.join(program).is_file()))
}

fn build(pin: &Pin, go: &Path, step: &str) -> Result<()> {
    // Another setup may have built it while this one waited for the lock.
    if is_built(pin)? {
        println!("{step}: already built");
        return Ok(());
    }
    let watch = Stopwatch::start();
    print!("{step}: downloading and building, about {} the first time ... ", pin.about);
    std::io::stdout().flush().context("writing to standard output")?;
    let home = pin.home()?;
    let unfinished = home.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
    let log = home.with_extension("log");
    let args = pin.build_args(&unfinished);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // No cgo: the programs run on any machine of the same architecture. No toolchain download: the
    // pins name the Go version that they need.
    let env = [("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local"), ("GOFLAGS", ""), ("GOWORK", "off")];
    let status = process::run_logged(go, &args, &env, &pin.module(), &log)?;
    if !status.success() {
        println!("failed after {}", watch.read());
        bail!("{}", explain(pin, &log));
    }
    fs::rename(&unfinished, &home).with_context(|| format!("moving the result to {}", home.display()))?;
    println!("{}", watch.read());
    Ok(())
}

/// Returns one sentence that explains the output of `go build`.
fn explain(pin: &Pin, log: &Path) -> String {
    let said = fs::read_to_string(log).unwrap_or_default();
    let no_network =
        ["dial tcp", "no such host", "i/o timeout", "connection refused", "network is unreachable", "proxyconnect"];
    if let Some(line) = said.lines().find(|line| no_network.iter().any(|sign| line.contains(sign))) {
        return format!(
            "{} could not be downloaded (no network, or GOPROXY is wrong: {line}); then run `make setup` again",
            pin.name
        );
    }
    if said.contains("no space left on device") {
        return format!("the disk is full while building {}: free some space and run `make setup` again", pin.name);
    }
    format!("building {} failed, its log {} ends:\n{}", pin.name, log.display(), process::tail(log, 10))
}

fn check_go() -> Result<PathBuf> {
    let mut needed = (1, 26, 0);
    for pin in &PINS {
        needed = needed.max(pin.go_version()?);
    }
    let (major, minor, patch) = needed;
    let Some(go) = environment::on_path("go") else {
        bail!("`go` is not on the PATH: install Go {major}.{minor}.{patch} or newer from go.dev/dl");
    };
    let log = environment::temp_dir().join(format!("ossci-go-version-{}", std::process::id()));
    let status = process::run_logged(&go, &["env", "GOVERSION"], &[("GOTOOLCHAIN", "local")], Path::new("/"), &log)?;
    let said = fs::read_to_string(&log).unwrap_or_default();
    let _ = fs::remove_file(&log);
    let found = said.trim().trim_start_matches("go");
    if !status.success() || version(found) < needed {
        bail!("Go {found} is too old: install Go {major}.{minor}.{patch} or newer from go.dev/dl");
    }
    Ok(go)
}

fn check_disk(dir: &Path, missing: usize) -> Result<()> {
    let stat = rustix::fs::statvfs(dir).with_context(|| format!("asking for the free space of {}", dir.display()))?;
    let free_gb = stat.f_bavail * stat.f_frsize / 1_000_000_000;
    // A few missing tools need a proportional share.
    let needed = DISK_NEEDED_GB * missing as u64 / PINS.len() as u64;
    if free_gb < needed {
        bail!(
            "{free_gb} GB are free at {}, but {needed} GB are needed to build the tools: free some space, or set XDG_CACHE_HOME",
            dir.display()
        );
    }
    Ok(())
}

/// One setup at a time per machine; the lock ends with this process.
fn lock(tools: &Path) -> Result<File> {
    let path = tools.join("lock");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("setup: another setup runs on this machine, waiting for it");
        file.lock().with_context(|| format!("waiting for {}", path.display()))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_download_is_explained_in_one_sentence() {
        let log = environment::temp_dir().join(format!("ossci-setup-test-{}", std::process::id()));
        fs::write(&log, "go: x: Get \"https://proxy\": dial tcp: lookup proxy: no such host\n").unwrap();
        let sentence = explain(&PINS[0], &log);
        fs::remove_file(&log).unwrap();
        assert!(sentence.starts_with("etcd could not be downloaded"), "{sentence}");
        assert_eq!(sentence.lines().count(), 1);
    }
}
