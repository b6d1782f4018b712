//! The disk image of every VM node: Debian 12 with systemd, containerd and a kubelet, built once
//! and cached.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::debian_root::DebianRoot;
use crate::clock::Stopwatch;
use crate::environment;
use crate::process::Program;

const PACKAGES: &str = "systemd,systemd-sysv,dbus,udev,kmod,linux-image-cloud-amd64,busybox-static,containerd,runc,\
                        containernetworking-plugins,iptables,conntrack,mount,iproute2,procps,util-linux,ca-certificates";
/// Units that a node does not need and that are slow on an emulated CPU.
const MASKED: [&str; 17] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "systemd-udev-settle.service",
    "ldconfig.service",
    "systemd-networkd-wait-online.service",
    "modprobe@.service",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
];
const ENABLED: [&str; 7] =
    ["systemd-networkd", "systemd-network-generator", "containerd", "kubelet", "lab-seed", "lab-images", "lab-shell"];
/// The recorded outputs of a node's GPU tools.
const SAID: [&str; 2] = ["rocm-smi", "rocminfo"];
const SIZE: u64 = 6 << 30;
const MAKES: Duration = Duration::from_secs(900);

/// The files that a VM node boots from. They are read-only.
#[derive(Debug, Clone)]
pub struct Image {
    /// Raw, with an ext4 file system.
    pub disk: PathBuf,
    /// The kernel of that file system.
    pub kernel: PathBuf,
    /// A static program of the image, from which the pause container is built.
    pub busybox: PathBuf,
}

/// The image in the cache, built on first use.
pub async fn get(debian: &DebianRoot, kubelet: &Path) -> Result<Image> {
    let home = environment::cache_dir()?.join("vm").join(format!("image-{}", key(kubelet)?));
    if !home.is_dir() {
        let unfinished = home.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
        }
        let watch = Stopwatch::start();
        make(debian, kubelet, &unfinished).await?;
        fs::rename(&unfinished, &home).with_context(|| format!("moving the image to {}", home.display()))?;
        println!("vm: the disk of a node is built ({})", watch.read());
    }
    Ok(Image { disk: home.join("disk.raw"), kernel: home.join("vmlinuz"), busybox: home.join("busybox") })
}

async fn make(debian: &DebianRoot, kubelet: &Path, home: &Path) -> Result<()> {
    fs::create_dir_all(home).with_context(|| format!("creating {}", home.display()))?;
    let root = &home.join("root");
    let exclude = ["man", "locale", "doc"].map(|what| format!("--dpkgopt=path-exclude=/usr/share/{what}/*"));
    let made = debian.script("mmdebstrap")?.args(["--quiet", "--mode=root", "--variant=minbase"]).args(exclude);
    run(made.arg(format!("--include={PACKAGES}")).arg("bookworm").arg(root)).await?;

    let ours = environment::repository().join("tests/lab/vm/root");
    run(tool("cp")?.args(["--recursive", "--no-target-directory"]).arg(&ours).arg(root)).await?;
    for tool in SAID {
        let said = root.join("opt/rocm/said").join(tool);
        fs::create_dir_all(&said).with_context(|| format!("creating {}", said.display()))?;
        let extension = if tool == "rocminfo" { "txt" } else { "json" };
        for state in ["healthy", "seven-of-eight"] {
            let name = format!("{state}.{extension}");
            copy(&environment::repository().join("exporter/testdata").join(tool).join(&name), &said.join(&name))?;
        }
    }
    copy(kubelet, &root.join("usr/local/bin/kubelet"))?;
    // Each machine gets its name and ID from the kernel's command line.
    fs::write(root.join("etc/machine-id"), "").context("emptying the machine id")?;
    let _ = fs::remove_file(root.join("etc/hostname"));
    fs::create_dir_all(root.join("var/log/journal")).context("creating the folder of the journal")?;
    for unit in MASKED {
        let link = root.join("etc/systemd/system").join(unit);
        std::os::unix::fs::symlink("/dev/null", &link).with_context(|| format!("masking {unit}"))?;
    }
    let kernels = fs::read_dir(root.join("lib/modules")).context("reading the image's modules")?;
    let kernel = kernels.flatten().next().context("no modules in the image")?.file_name();
    let driver = ["sh", "/usr/local/lib/lab-driver"].map(std::ffi::OsStr::new);
    let (place, version) = ("kernel/drivers/gpu", "the kernel's own");
    run(tool("chroot")?.arg(root).args(driver).arg(kernel).args([place, version])).await?;
    run(tool("chroot")?.arg(root).args(["systemctl", "enable", "--quiet"]).args(ENABLED)).await?;
    run(tool("chroot")?.arg(root).args(["systemctl", "set-default", "--quiet", "multi-user.target"])).await?;

    let boot = fs::read_dir(root.join("boot")).context("reading the image's /boot")?;
    let kernel = boot.flatten().find(|file| file.file_name().to_string_lossy().starts_with("vmlinuz-"));
    copy(&kernel.context("no kernel in the image")?.path(), &home.join("vmlinuz"))?;
    copy(&root.join("bin/busybox"), &home.join("busybox"))?;
    let disk = home.join("disk.raw");
    let file = File::create(&disk).with_context(|| format!("creating {}", disk.display()))?;
    file.set_len(SIZE).context("sizing the disk")?;
    let ext4 = tool("mke2fs")?.args(["-q", "-t", "ext4", "-F", "-L", "root", "-m", "0"]);
    run(ext4.args(["-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", "-d"]).arg(root).arg(&disk)).await?;
    fs::remove_dir_all(root).with_context(|| format!("removing {}", root.display()))
}

/// A program of the host.
pub fn tool(name: &str) -> Result<Program> {
    Ok(Program::new(name, tool_file(name)?))
}

/// The path of a program of the host.
pub fn tool_file(name: &str) -> Result<PathBuf> {
    let path = environment::on_path(name);
    let path = path.or_else(|| Some(Path::new("/usr/sbin").join(name)).filter(|path| path.is_file()));
    path.with_context(|| format!("`{name}` is missing: the lab needs a Debian machine"))
}

/// Runs a step. If it fails, the error has its last output.
pub async fn run(step: Program) -> Result<()> {
    let Some(finished) = step.finish(MAKES).await? else { bail!("a step took longer than {} s", MAKES.as_secs()) };
    if !finished.status.success() {
        let said: Vec<&str> = finished.said().lines().rev().take(8).collect();
        bail!("{step:?} exited with {}:\n{}", finished.status, said.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let _ = fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The hash of everything that the image is built from.
fn key(kubelet: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{PACKAGES} {MASKED:?} {ENABLED:?} {SAID:?} {SIZE} {}", kubelet.display()));
    let mut folders = vec![environment::repository().join("tests/lab/vm/root")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            if path.is_dir() {
                folders.push(path);
            } else {
                hash.update(fs::read(&path).with_context(|| format!("reading {}", path.display()))?);
            }
        }
    }
    Ok(format!("{:.16x}", hash.finalize()))
}
