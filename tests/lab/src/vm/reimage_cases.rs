//! The command `ossci-lab reimage-cases`: runs the default reimage script on nodes in many states.
//! Each case has an overlay over this machine's root, with the real apt, dpkg and dkms, and with
//! small packages in place of AMD's and of the kernels (`tests/reimage/world.sh`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::image::{copy, run as done, tool};
use super::layer::Layer;
use crate::clock::Stopwatch;
use crate::setup::Tools;
use crate::{enclosure, environment};

/// Timeout of one case.
const TAKES: Duration = Duration::from_secs(300);
/// Cases at the same time.
const ABREAST: usize = 2;
/// Packages of Debian that the world installs.
const NEEDED: [&str; 2] = ["kmod.deb", "dkms.deb"];

/// Runs these cases, or all, inside an enclosure.
pub async fn run(dir: &Path, names: &[String], mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, all(dir, names)).await
}

async fn all(dir: &Path, names: &[String]) -> Result<()> {
    let here = environment::repository().join("tests/reimage");
    let cases = cases(&here, names)?;
    // An overlay's own files cannot lie on the file system that it covers.
    let room = dir.join("layers");
    fs::create_dir_all(&room).with_context(|| format!("creating {}", room.display()))?;
    done(tool("mount")?.args(["-t", "tmpfs", "-o", "size=4g", "layers"]).arg(&room)).await?;
    let world = world(&here, &room).await?;
    let plays = cases.iter().map(|name| {
        let (here, room, world) = (&here, &room, &world);
        async move {
            let watch = Stopwatch::start();
            let said = play(name, here, room, world).await;
            println!("reimage {name} ... {} ({})", if said.is_ok() { "ok" } else { "FAILED" }, watch.read());
            if let Err(error) = &said {
                println!("{error:#}");
            }
            said.is_err().then_some(name.as_str())
        }
    });
    let results: Vec<Option<&str>> = futures::stream::iter(plays).buffer_unordered(ABREAST).collect().await;
    let failed: Vec<&str> = results.into_iter().flatten().collect();
    ensure!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), cases.len(), failed.join(" "));
    Ok(())
}

/// The names of the cases, sorted.
fn cases(here: &Path, names: &[String]) -> Result<Vec<String>> {
    let folder = here.join("cases");
    let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut known: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sh").map(str::to_owned))
        .collect();
    known.sort();
    if let Some(stranger) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no case {stranger}; the cases are {}", known.join(" "));
    }
    Ok(if names.is_empty() { known } else { names.to_vec() })
}

/// Builds the world on which every case begins.
async fn world(here: &Path, room: &Path) -> Result<PathBuf> {
    let tools = Tools::find()?;
    let layer = Layer::over(&[Path::new("/")], &room.join("world")).await?;
    let debs = layer.root.join("srv/debs");
    fs::create_dir_all(&debs).with_context(|| format!("creating {}", debs.display()))?;
    for name in NEEDED {
        copy(&tools.get(name)?, &debs.join(name))?;
    }
    for file in ["packages.sh", "world.sh"] {
        copy(&here.join(file), &layer.root.join("srv").join(file))?;
    }
    let program = layer.program(&["bash", "/srv/world.sh"])?;
    let finished = program.finish(TAKES).await?.context("making the world took too long")?;
    let said = [finished.stdout.as_str(), &finished.stderr].concat();
    ensure!(finished.status.success(), "making the world failed, see tests/reimage/world.sh:\n{}", end_of(&said));
    layer.close().await
}

async fn play(name: &str, here: &Path, room: &Path, world: &Path) -> Result<()> {
    let layer = Layer::over(&[world, Path::new("/")], &room.join(name)).await?;
    for (file, to) in [
        (here.join("case.sh"), "case.sh"),
        (here.join("cases").join(format!("{name}.sh")), "this.sh"),
        (environment::repository().join("deploy/reimage/reimage.sh"), "reimage.sh"),
    ] {
        copy(&file, &layer.root.join("srv").join(to))?;
    }
    let program = layer.program(&["bash", "-c", "cd /; . /srv/case.sh; . /srv/this.sh"])?.env("HOME", "/root");
    let finished = program.finish(TAKES).await?.context("it did not end")?;
    let said = [finished.stderr.as_str(), &finished.stdout].concat();
    let ended = finished.status.success();
    layer.remove().await?;
    ensure!(ended, "{}", end_of(&said));
    Ok(())
}

/// The last lines of an output.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
