//! The command `ossci-lab release`: everything that a release consists of, in one folder, with
//! checksums. Needs no registry, and publishes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cargo_tool::CargoTool;
use crate::chart::{self, Helm};
use crate::environment;
use crate::images;
use crate::process;
use crate::setup::Tools;
use crate::vm::image::{copy, run, tool};

/// Writes the bill of materials of each program: CycloneDX 1.5 with the licence of each crate.
const CYCLONEDX: CargoTool = CargoTool { name: "cargo-cyclonedx", version: "0.5.9", about: "3 min" };

/// Our programs, each a crate of this name.
const PROGRAMS: [&str; 2] = ["ossci-exporter", "ossci-remediator"];

/// The folders of the workspace's crates.
const CRATES: [&str; 5] = ["base", "exporter", "remediator", "tests", "tests/lab"];

/// Times are those of 1970, so the same sources make the same files: reproducible-builds.org.
const BUILD_TIME: (&str, &str) = ("SOURCE_DATE_EPOCH", "0");

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Fills the folder `out`. `programs` has both programs, `exporter` is the static exporter.
///
/// # Errors
/// A tool is missing or failed, or a file cannot be written.
pub async fn make(programs: &Path, exporter: &Path, out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("emptying {}", out.display()))?;
    }
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    let arch = std::env::consts::ARCH;
    copy(&programs.join("ossci-remediator"), &out.join(format!("ossci-remediator-{VERSION}-{arch}")))?;
    copy(exporter, &out.join(format!("ossci-exporter-{VERSION}-{arch}")))?;
    bills(out)?;
    package(exporter, out).await?;
    let helm = Helm::new(&Tools::find()?, &std::env::temp_dir(), None)?;
    helm.run(&["package", &chart::folder().display().to_string(), "--destination", &out.display().to_string()]).await?;
    archives(programs, out).await?;
    let changelog = environment::repository().join("docs/CHANGELOG.md");
    let text = fs::read_to_string(&changelog).context("reading docs/CHANGELOG.md")?;
    fs::write(out.join("CHANGES.md"), section(&text, VERSION)?).context("writing CHANGES.md")?;
    copy(&environment::repository().join("LICENSE"), &out.join("LICENSE"))?;
    for line in checksums(out)?.lines() {
        println!("{line}");
    }
    Ok(())
}

/// The bills of materials.
fn bills(out: &Path) -> Result<()> {
    let program = CYCLONEDX.program()?;
    let repository = environment::repository();
    let log = environment::cache_dir()?.join("tools/cargo-cyclonedx-run.log");
    let args = ["cyclonedx", "--format", "json", "--spec-version", "1.5", "--no-build-deps", "--quiet"];
    if !process::run_logged(&program, &args, &[BUILD_TIME], &repository, &log)?.success() {
        bail!("cargo cyclonedx failed; its output ends:\n{}", process::tail(&log, 10));
    }
    // It writes one into the folder of each crate of the workspace.
    for folder in CRATES.map(|folder| repository.join(folder)) {
        for file in files(&folder)?.into_iter().filter(|file| file.to_string_lossy().ends_with(".cdx.json")) {
            let crate_name = file.file_name().map(|name| name.to_string_lossy().replace(".cdx.json", ""));
            if let Some(program) = PROGRAMS.iter().find(|program| crate_name.as_deref() == Some(program)) {
                let bill = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
                let bill = bill.replace(&repository.display().to_string(), "/ossci-ops");
                fs::write(out.join(format!("{program}-{VERSION}.cdx.json")), bill).context("writing a bill")?;
            }
            fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
        }
    }
    Ok(())
}

/// The Debian package of the exporter. Its settings are a configuration file of dpkg, and its unit
/// is not started by the installation.
async fn package(exporter: &Path, out: &Path) -> Result<()> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Debian package for {other}"),
    };
    let root = out.join("package");
    let systemd = environment::repository().join("deploy/systemd");
    for folder in ["DEBIAN", "usr/bin", "lib/systemd/system", "etc/ossci"] {
        fs::create_dir_all(root.join(folder)).with_context(|| format!("creating {folder} of the package"))?;
    }
    let program = root.join("usr/bin/ossci-exporter");
    copy(exporter, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).context("making the program executable")?;
    let unit = fs::read_to_string(systemd.join("ossci-exporter.service")).context("reading the unit")?;
    fs::write(root.join("lib/systemd/system/ossci-exporter.service"), unit.replace("/usr/local/bin/", "/usr/bin/"))
        .context("writing the unit")?;
    copy(&systemd.join("exporter.yaml"), &root.join("etc/ossci/exporter.yaml"))?;
    let control = format!(
        "Package: ossci-exporter\nVersion: {VERSION}\nArchitecture: {architecture}\nMaintainer: the authors of OSSCI Ops\n\
         Section: admin\nPriority: optional\nSuggests: iperf3\n\
         Description: health of AMD GPUs and of the network as Prometheus metrics\n \
         Runs rocm-smi, rocminfo and network tests of this host, and serves their results.\n"
    );
    fs::write(root.join("DEBIAN/control"), control).context("writing control")?;
    fs::write(root.join("DEBIAN/conffiles"), "/etc/ossci/exporter.yaml\n").context("writing conffiles")?;
    let file = out.join(format!("ossci-exporter_{VERSION}_{architecture}.deb"));
    let (name, time) = BUILD_TIME;
    run(tool("dpkg-deb")?.env(name, time).args(["--root-owner-group", "--build"]).arg(&root).arg(&file)).await?;
    fs::remove_dir_all(&root).context("removing the package's folder")
}

/// The images.
async fn archives(programs: &Path, out: &Path) -> Result<()> {
    let folder = out.join("images");
    images::build(programs, &folder).await?;
    for program in PROGRAMS {
        let archive = folder.join(format!("{program}.tar"));
        let named = out.join(format!("{program}-{VERSION}-{}.oci.tar", std::env::consts::ARCH));
        fs::rename(&archive, &named).with_context(|| format!("moving {}", archive.display()))?;
    }
    fs::remove_dir_all(&folder).context("removing the folder of the images")
}

/// The changelog's section of a version, or else what is not released yet.
fn section(changelog: &str, version: &str) -> Result<String> {
    let of = |wanted: &str| {
        let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&format!("## {wanted}")));
        let head = lines.next()?;
        Some(format!("{head}\n{}\n", lines.take_while(|line| !line.starts_with("## ")).collect::<Vec<_>>().join("\n")))
    };
    of(version).or_else(|| of("Unreleased")).context("docs/CHANGELOG.md has no section of this version")
}

/// Writes SHA256SUMS, which `sha256sum --check` reads; returns it.
fn checksums(out: &Path) -> Result<String> {
    let mut text = String::new();
    for file in files(out)? {
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{:x}  {name}\n", Sha256::digest(&bytes)));
    }
    fs::write(out.join("SHA256SUMS"), &text).context("writing SHA256SUMS")?;
    Ok(text)
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_tells_its_own_changes() {
        let changelog = "# Changelog\n\n## Unreleased\n\n* c\n\n## 0.2.0\n\n* b\n\n## 0.1.0\n\n* a\n";
        assert_eq!(section(changelog, "0.2.0").unwrap(), "## 0.2.0\n\n* b\n\n");
        assert_eq!(section(changelog, "0.3.0").unwrap(), "## Unreleased\n\n* c\n\n");
        assert!(section("# Changelog\n", "0.3.0").is_err());
    }
}
