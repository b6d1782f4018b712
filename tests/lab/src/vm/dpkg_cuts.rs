//! The command `ossci-lab dpkg-cuts`: the default reimage script replaces one release by another,
//! and is killed with dpkg at one line of dpkg's log. Then the script runs once more, and has to
//! repair everything. This runs on the disk of a VM node without the VM, with a separate overlay
//! for each line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::watch;

use super::image::{run, tool};
use super::layer::{Layer, MARK};
use super::repository::{DRIVER, ROCM_PACKAGE, Repository};
use super::{Room, network};
use crate::clock::Stopwatch;
use crate::process::{self, tail};
use crate::{enclosure, wait};

/// Timeout of one run of the script.
const TAKES: Duration = Duration::from_secs(120);
/// Interval at which dpkg's log is polled.
const LOOKS: Duration = Duration::from_millis(1);
/// Another release of the driver and of ROCm, with a package on hold.
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
    // The layers run on the host's kernel, but have to report their own one.
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
    ensure!(broken > 0, "nothing was ever left to repair: the script was killed too late each time");
    println!("killed {cuts} times, {broken} times with something left to repair; repaired each time");
    Ok(())
}

impl Layer {
    /// Number of lines in dpkg's log.
    fn steps(&self) -> Result<usize> {
        let log = fs::read(self.root.join("var/log/dpkg.log")).context("reading dpkg's log")?;
        Ok(log.iter().filter(|&&byte| byte == b'\n').count())
    }

    /// Starts the script, and kills all its processes as soon as dpkg's log has `lines` lines.
    async fn killed_at(&self, lines: usize) -> Result<()> {
        let (log, watch) = (self.folder.join("script.log"), Stopwatch::start());
        let mut script = self.program(&["bash", "/tmp/script"])?.start(&log)?;
        while self.steps()? < lines {
            ensure!(script.ended().is_none(), "the script finished before line {lines}:\n{}", tail(&log, 15));
            ensure!(watch.elapsed() < TAKES, "line {lines} did not appear:\n{}", tail(&log, 15));
            tokio::time::sleep(LOOKS).await;
        }
        let mark = format!("{MARK}={}", self.folder.display());
        let kill = || process::kill_all(|text| text.split('\0').any(|part| part == mark));
        wait::until("nothing of the script runs", TAKES, || async {
            let mut reached = kill();
            // A process that is just starting has no environment yet.
            tokio::time::sleep(LOOKS).await;
            reached += kill();
            ensure!(reached == 0, "{reached} processes");
            Ok(())
        })
        .await?;
        script.kill().await;
        let killed = script.ended().is_some_and(|status| status.signal() == Some(9));
        ensure!(killed, "the script finished by itself:\n{}", tail(&log, 15));
        Ok(())
    }

    /// The packages, each with dpkg's two or three status letters and its version.
    async fn installed(&self) -> Result<Vec<String>> {
        let format = "--showformat=${db:Status-Abbrev} ${Package} ${Version}\\n";
        let shown = self.run(&["dpkg-query", "--show", format, "amdgpu-dkms", "rocm", "rocm-core"]).await?;
        Ok(shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
    }

    /// Checks that every package is of the wanted release, complete, and on hold as before.
    async fn is_right(&self) -> Result<()> {
        let is = self.installed().await?;
        let wanted = [
            format!("ii amdgpu-dkms {DRIVER}"),
            format!("hi rocm {ROCM_PACKAGE}"),
            format!("ii rocm-core {ROCM_PACKAGE}"),
        ];
        ensure!(is == wanted, "these packages are installed: {is:?}");
        let lost = self.run(&["dpkg", "--verify", "amdgpu-dkms", "rocm", "rocm-core"]).await?;
        ensure!(lost.is_empty(), "files were lost: {lost}");
        ensure!(!self.root.join("var/lib/ossci/reimage/holds").exists(), "the package holds were not restored");
        self.run(&["apt-get", "check"]).await.map(drop)
    }
}
