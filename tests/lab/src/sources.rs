//! Files that are taken from a Go module without a build. The module's go.sum verifies them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::clock::Stopwatch;
use crate::{environment, process};

/// Files of one module, pinned below `tests/lab/tools`.
#[derive(Debug)]
pub struct Source {
    pub name: &'static str,
    module: &'static str,
    /// Paths in the module.
    files: &'static [&'static str],
}

pub const SOURCES: [Source; 1] = [Source {
    name: "prometheus-operator",
    module: "github.com/prometheus-operator/prometheus-operator",
    files: &[
        "example/prometheus-operator-crd/monitoring.coreos.com_alertmanagerconfigs.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_alertmanagers.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_probes.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusagents.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheuses.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_scrapeconfigs.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_thanosrulers.yaml",
    ],
}];

impl Source {
    fn pinned(&self) -> PathBuf {
        environment::repository().join("tests/lab/tools").join(self.name)
    }

    /// The folder in the cache; its name has the version, and a hash of the files' names.
    fn home(&self) -> Result<PathBuf> {
        let path = self.pinned().join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let version = text.split_whitespace().skip_while(|word| *word != self.module).nth(1);
        let version = version.with_context(|| format!("{} does not require {}", path.display(), self.module))?;
        let files = Sha256::digest(self.files.join("\n"));
        Ok(environment::cache_dir()?.join("tools").join(format!("{}-{version}-{files:.8x}", self.name)))
    }

    /// The paths of the files, in the order of `files`.
    pub fn paths(&self) -> Result<Vec<PathBuf>> {
        let home = self.home()?;
        let name = |file: &&str| home.join(Path::new(file).file_name().unwrap_or_default());
        Ok(self.files.iter().map(name).collect())
    }

    pub fn is_there(&self) -> Result<bool> {
        Ok(self.paths()?.iter().all(|path| path.is_file()))
    }

    /// Downloads the module, which go.sum verifies, and copies the files.
    pub fn fetch(&self, go: &Path) -> Result<()> {
        let watch = Stopwatch::start();
        let home = self.home()?;
        let unfinished = home.with_extension("unfinished");
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        let log = home.with_extension("log");
        let env = [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")];
        let run = |args: &[&str]| process::run_logged(go, args, &env, &self.pinned(), &log);
        let found = run(&["mod", "download", self.module])?.success()
            && run(&["list", "-m", "-f", "{{.Dir}}", self.module])?.success();
        let said = fs::read_to_string(&log).unwrap_or_default();
        if !found {
            bail!("{} could not be downloaded: {}; run `make setup` again when the network works", self.name, said);
        }
        for file in self.files {
            let (from, name) = (Path::new(said.trim()).join(file), Path::new(file).file_name().unwrap_or_default());
            // Read and written: a copy would preserve the module cache's read-only mode.
            let text = fs::read(&from).with_context(|| format!("reading {}", from.display()))?;
            fs::write(unfinished.join(name), text)
                .with_context(|| format!("writing below {}", unfinished.display()))?;
        }
        fs::rename(&unfinished, &home).with_context(|| format!("moving the result to {}", home.display()))?;
        println!("setup: {} ({})", self.name, watch.read());
        Ok(())
    }
}
