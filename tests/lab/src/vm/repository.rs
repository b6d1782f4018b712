//! A small copy of AMD's package repositories, over HTTP on the bridge: the same names and paths,
//! small packages. As with a real driver, the effect of the driver's package on a missing GPU shows
//! at the next boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;

use super::Room;
use super::image::{run, tool};
use super::network::GATEWAY;
use crate::environment;
use crate::process::{Process, Program};

const PORT: u16 = 8080;
/// A small disk and a short lock timeout; apt is slow on an emulated CPU. The release is older than
/// what some stories find, and a layer of `dpkg-cuts` is an overlay.
const SETTINGS: &str = "export ROCM=6.4.1 DRIVER=6.4.1 DOWNGRADE=yes ROOT_KEEPS=yes BUILD_MB=500 BOOT_MB=100 \
                        LOCK_SECONDS=10 CHANGE_SECONDS=60";
/// Timeout for the server to listen.
const LISTENS: Duration = Duration::from_secs(10);
const ROCM: &str = "6.4.1";
pub const ROCM_PACKAGE: &str = "6.4.1.60401-83";
pub const DRIVER: &str = "1:6.12.12.60401-1";
/// A driver that a person installed, and that finds no GPU.
const TOO_NEW: &str = "1:6.99.0.69999-1";
/// A release of ROCm that a person installed.
const OTHER_ROCM: &str = "7.0.2.70002-56";

/// While a machine has this file, dpkg is between two packages of ROCm.
pub const UNPACKING: &str = "/var/lib/lab/unpacking";
/// The postinst of the driver's package, in place of a build.
const BUILDS: &str = "set -e
version=$(dpkg-query --show --showformat='${Version}' amdgpu-dkms)
sh /usr/local/lib/lab-driver \"$(uname -r)\" updates/dkms \"$version\"
";
/// Makes the missing GPU appear at the next boot.
const FINDS: &str =
    "if [ -e /var/lib/lab/gpu-missing ]; then mkdir -p /run/lab; mv /var/lib/lab/gpu-missing /run/lab/; fi
";

pub struct Repository {
    folder: PathBuf,
    busybox: PathBuf,
    server: Option<Process>,
}

impl Repository {
    /// Builds the packages for a machine with this kernel, and serves them.
    pub async fn open(room: &Room, kernel: &str, dir: &Path) -> Result<Self> {
        let folder = dir.join("packages");
        let mut repository = Self { folder, busybox: room.image.busybox.clone(), server: None };
        repository.make(kernel).await?;
        repository.serve().await?;
        Ok(repository)
    }

    fn url() -> String {
        format!("http://{GATEWAY}:{PORT}")
    }

    /// The default script, as a site with its own mirror would have it.
    pub fn script() -> Result<String> {
        let path = environment::repository().join("deploy/reimage/reimage.sh");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let list = |name: &str| format!("'deb [trusted=yes] {}/{name} ./'", Self::url());
        Ok(format!("{SETTINGS} DRIVER_LIST={} ROCM_LIST={}\n{text}", list("amdgpu"), list("rocm")))
    }

    /// The URL of a package that the default script installs.
    pub fn wanted(package: &str) -> String {
        format!("{}/{package}.deb", Self::url())
    }

    /// The URL of a package that is too new: the driver, and the two packages of a ROCm release.
    pub fn too_new(package: &str) -> String {
        format!("{}/other/{package}.deb", Self::url())
    }

    pub async fn serve(&mut self) -> Result<()> {
        let at = format!("{GATEWAY}:{PORT}");
        let program = Program::new("busybox", &self.busybox).args(["httpd", "-f", "-p", &at, "-h"]).arg(&self.folder);
        let mut server = program.start(&self.folder.with_extension("log"))?;
        server.ready(LISTENS, || async { TcpStream::connect(&at).await.map(drop).context("its port") }).await?;
        self.server = Some(server);
        Ok(())
    }

    /// Stops the server.
    pub fn close(&mut self) {
        self.server = None;
    }

    async fn make(&self, kernel: &str) -> Result<()> {
        let (driver, rocm) = (self.folder.join("amdgpu"), self.folder.join("rocm"));
        let other = self.folder.join("other");
        let source = |text: &str| vec![("usr/src/amdgpu-6.12.12/dkms.conf".to_owned(), text.to_owned())];
        let works = format!("{BUILDS}{FINDS}");
        package(
            &driver.join("amdgpu-dkms.deb"),
            "amdgpu-dkms",
            DRIVER,
            "",
            &source("right\n"),
            Some(("postinst", &works)),
        )
        .await?;
        package(
            &other.join("amdgpu-dkms.deb"),
            "amdgpu-dkms",
            TOO_NEW,
            "",
            &source("new\n"),
            Some(("postinst", BUILDS)),
        )
        .await?;
        let waits = format!("while [ -e {UNPACKING} ]; do sleep 1; done\n");
        let releases = [(&rocm, ROCM_PACKAGE, None), (&other, OTHER_ROCM, Some(("prerm", &*waits)))];
        for (folder, version, leaves) in releases {
            let info = vec![(format!("opt/rocm-{ROCM}/.info/version"), format!("{version}\n"))];
            package(&folder.join("rocm-core.deb"), "rocm-core", version, "", &info, leaves).await?;
            let depends = format!("rocm-core (= {version})");
            package(&folder.join("rocm.deb"), "rocm", version, &depends, &[], None).await?;
        }
        let headers = vec![(format!("lib/modules/{kernel}/build/Makefile"), String::new())];
        let name = format!("linux-headers-{kernel}");
        package(&driver.join("headers.deb"), &name, "6.1", "", &headers, None).await?;
        for folder in [driver, rocm] {
            index(&folder)?;
        }
        Ok(())
    }
}

/// Builds a package with these files and a maintainer script.
async fn package(
    out: &Path,
    name: &str,
    version: &str,
    depends: &str,
    files: &[(String, String)],
    script: Option<(&str, &str)>,
) -> Result<()> {
    let root = out.with_extension("root");
    let control = control(name, version, depends);
    let mut all = vec![("DEBIAN/control".to_owned(), control.clone())];
    if let Some((when, does)) = script {
        all.push((format!("DEBIAN/{when}"), format!("#!/bin/sh\n{does}")));
    }
    all.extend_from_slice(files);
    for (path, text) in all {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&root)).with_context(|| format!("creating {}", path.display()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        if script.is_some_and(|(when, _)| path.ends_with(when)) {
            run(tool("chmod")?.arg("755").arg(&path)).await?;
        }
    }
    run(tool("dpkg-deb")?.args(["--root-owner-group", "--build"]).arg(&root).arg(out)).await?;
    fs::write(out.with_extension("control"), control).context("writing a package's control file")?;
    fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))
}

fn control(name: &str, version: &str, depends: &str) -> String {
    let depends = if depends.is_empty() { String::new() } else { format!("Depends: {depends}\n") };
    format!(
        "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: the lab <lab@example.com>\n{depends}\
         Description: {name} of the lab\n"
    )
}

/// Turns a folder of packages into a repository.
fn index(folder: &Path) -> Result<()> {
    let mut packages = String::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "deb") {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let control = fs::read_to_string(path.with_extension("control")).context("reading a control file")?;
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let hash = format!("{:x}", Sha256::digest(&bytes));
        packages += &format!("{control}Filename: ./{file}\nSize: {}\nSHA256: {hash}\n\n", bytes.len());
    }
    let hash = format!("{:x}", Sha256::digest(&packages));
    let date = "Sun, 01 Nov 2026 00:00:00 UTC";
    let release = format!("Origin: repo.radeon.com\nDate: {date}\nSHA256:\n {hash} {} Packages\n", packages.len());
    fs::write(folder.join("Packages"), packages).context("writing Packages")?;
    fs::write(folder.join("Release"), release).context("writing Release")
}
