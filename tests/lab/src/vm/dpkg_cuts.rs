//! `ossci-lab dpkg-cuts`: the default reimage script goes from one release to another and is killed with dpkg, as soon as a
//! line is seen in dpkg's log; then the script runs once more, and has to put everything right. On the disk that machines begin
//! with, without a machine: for each line on a layer of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::watch;

use super::image::{run, tool};
use super::repository::{DRIVER, ROCM_PACKAGE, Repository};
use super::{Room, network};
use crate::clock::Stopwatch;
use crate::process::{self, Program, tail};
use crate::{enclosure, wait};

/// One run of the script.
const TAKES: Duration = Duration::from_secs(120);
/// Between two looks at dpkg's log.
const LOOKS: Duration = Duration::from_millis(1);
/// What every process of a layer has in its environment, with the layer's path.
const MARK: &str = "OSSCI_LAYER";
/// Another release of the driver and of ROCm, which a site holds.
const OTHER: &str = "cd /tmp && dpkg --install driver.deb core.deb rocm.deb && apt-mark hold rocm";

/// Kills at every `every`th line of the log, inside an enclosure with a network of its own.
pub async fn play(dir: &Path, every: usize, mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, cut_all(dir, every)).await
}

async fn cut_all(dir: &Path, every: usize) -> Result<()> {
    network::up().await?;
    let room = Room::find().await?;
    let disk = dir.join("disk");
    fs::create_dir_all(&disk).with_context(|| format!("creating {}", disk.display()))?;
    run(tool("mount")?.args(["-o", "loop,ro,noload"]).arg(&room.image.disk).arg(&disk)).await?;
    let kernel = fs::read_dir(disk.join("lib/modules")).context("reading the disk's modules")?;
    let kernel = kernel.flatten().next().context("no modules on the disk")?.file_name();
    let kernel = kernel.to_string_lossy();
    let _repository = Repository::open(&room, &kernel, dir).await?;

    let before = Layer::over(&[&disk], &dir.join("before")).await?;
    let uname = before.root.join("usr/local/bin/uname");
    // The layers run on the host's kernel, and are to be for their own.
    fs::write(&uname, format!("#!/bin/sh\necho {kernel}\n")).context("writing uname")?;
    fs::set_permissions(&uname, fs::Permissions::from_mode(0o755)).context("making uname a program")?;
    fs::write(before.root.join("tmp/script"), Repository::script()?).context("writing the script")?;
    for (package, file) in [("amdgpu-dkms", "driver"), ("rocm-core", "core"), ("rocm", "rocm")] {
        let (from, to) = (Repository::too_new(package), format!("/tmp/{file}.deb"));
        before.run(&["/usr/lib/apt/apt-helper", "download-file", &from, &to]).await?;
    }
    before.run(&["sh", "-c", OTHER]).await?;
    let lower = before.close().await?;
    let lowers = [lower.as_path(), &disk];

    let whole = Layer::over(&lowers, &dir.join("whole")).await?;
    let first = whole.steps()?;
    whole.run(&["bash", "/tmp/script"]).await?;
    whole.is_right().await?;
    let steps = whole.steps()? - first;
    whole.remove().await?;
    let (mut cuts, mut broken) = (0, 0);
    for step in (1..=steps).step_by(every.max(1)) {
        let watch = Stopwatch::start();
        let layer = Layer::over(&lowers, &dir.join(format!("step-{step}"))).await?;
        layer.killed_at(first + step).await?;
        let (came, left) = (layer.steps()? - first, layer.installed().await?.join(", "));
        let told = format!("killed at line {step} of {steps} (seen at {came}), which leaves {left}");
        (cuts, broken) = (cuts + 1, broken + usize::from(layer.is_right().await.is_err()));
        let healed = async { layer.run(&["bash", "/tmp/script"]).await.map(drop).and(layer.is_right().await) };
        healed.await.with_context(|| told.clone())?;
        println!("{told} ... ok ({})", watch.read());
        layer.remove().await?;
    }
    ensure!(broken > 0, "nothing was ever left to put right: the script was killed too late each time");
    println!("{cuts} times killed, {broken} times before everything was right, put right each time");
    Ok(())
}

/// A disk over others, which stay as they are.
struct Layer {
    folder: PathBuf,
    root: PathBuf,
}

impl Layer {
    async fn over(lowers: &[&Path], folder: &Path) -> Result<Self> {
        let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.join(name));
        for folder in [&upper, &work, &root] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let lowers: Vec<String> = lowers.iter().map(|lower| lower.display().to_string()).collect();
        let options = format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper.display(), work.display());
        run(tool("mount")?.args(["-t", "overlay", "overlay", "-o", &options]).arg(&root)).await?;
        run(tool("mount")?.args(["-t", "proc", "proc"]).arg(root.join("proc"))).await?;
        run(tool("mount")?.args(["--bind", "/dev"]).arg(root.join("dev"))).await?;
        Ok(Self { folder: folder.to_owned(), root })
    }

    /// What was written to it is the answer: a layer for others.
    async fn close(self) -> Result<PathBuf> {
        run(tool("umount")?.arg("--recursive").arg(&self.root)).await?;
        Ok(self.folder.join("upper"))
    }

    async fn remove(self) -> Result<()> {
        let folder = self.folder.clone();
        self.close().await?;
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
    }

    fn program(&self, command: &[&str]) -> Result<Program> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Ok(tool("chroot")?.arg(&self.root).args(command).env("PATH", path).env(MARK, &self.folder))
    }

    async fn run(&self, command: &[&str]) -> Result<String> {
        let program = self.program(command)?;
        let Some(finished) = program.finish(TAKES).await? else { bail!("{command:?} did not end") };
        let said = [finished.stdout.as_str(), &finished.stderr].concat();
        ensure!(finished.status.success(), "{command:?} ended with {}: {said}", finished.status);
        Ok(finished.stdout)
    }

    /// How many lines dpkg's log has.
    fn steps(&self) -> Result<usize> {
        let log = fs::read(self.root.join("var/log/dpkg.log")).context("reading dpkg's log")?;
        Ok(log.iter().filter(|&&byte| byte == b'\n').count())
    }

    /// The script is begun, and killed with everything that it started as soon as dpkg's log has so many lines.
    async fn killed_at(&self, lines: usize) -> Result<()> {
        let (log, watch) = (self.folder.join("script.log"), Stopwatch::start());
        let mut script = self.program(&["bash", "/tmp/script"])?.start(&log)?;
        while self.steps()? < lines {
            ensure!(script.ended().is_none(), "the script ended before line {lines}:\n{}", tail(&log, 15));
            ensure!(watch.elapsed() < TAKES, "line {lines} did not come:\n{}", tail(&log, 15));
            tokio::time::sleep(LOOKS).await;
        }
        let mark = format!("{MARK}={}", self.folder.display());
        let kill = || process::kill_all(|text| text.split('\0').any(|part| part == mark));
        wait::until("nothing of the script runs", TAKES, || async {
            let mut reached = kill();
            // A process that begins just now has no environment yet.
            tokio::time::sleep(LOOKS).await;
            reached += kill();
            ensure!(reached == 0, "{reached} processes");
            Ok(())
        })
        .await?;
        script.kill().await;
        let killed = script.ended().is_some_and(|status| status.signal() == Some(9));
        ensure!(killed, "the script ended by itself:\n{}", tail(&log, 15));
        Ok(())
    }

    /// The packages, each with how it is installed: dpkg's two or three letters and its version.
    async fn installed(&self) -> Result<Vec<String>> {
        let format = "--showformat=${db:Status-Abbrev} ${Package} ${Version}\\n";
        let shown = self.run(&["dpkg-query", "--show", format, "amdgpu-dkms", "rocm", "rocm-core"]).await?;
        Ok(shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }

    /// Everything is of the wanted release, whole, and held where it was held.
    async fn is_right(&self) -> Result<()> {
        let is = self.installed().await?;
        let wanted = [
            format!("ii amdgpu-dkms {DRIVER}"),
            format!("hi rocm {ROCM_PACKAGE}"),
            format!("ii rocm-core {ROCM_PACKAGE}"),
        ];
        ensure!(is == wanted, "installed is {is:?}");
        let lost = self.run(&["dpkg", "--verify", "amdgpu-dkms", "rocm", "rocm-core"]).await?;
        ensure!(lost.is_empty(), "files were lost: {lost}");
        ensure!(!self.root.join("var/lib/ossci/reimage/holds").exists(), "what was held is not held again");
        self.run(&["apt-get", "check"]).await.map(drop)
    }
}
