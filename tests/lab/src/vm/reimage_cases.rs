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

/// One run of the script: a bash script of tests/reimage, and the variables that it reads.
struct Case {
    name: String,
    script: PathBuf,
    variables: Vec<(&'static str, String)>,
}

/// Runs these cases, or all, inside an enclosure.
pub async fn run(dir: &Path, names: &[String], mut end: watch::Receiver<bool>) -> Result<()> {
    let here = environment::repository().join("tests/reimage");
    let cases = cases(&here, names)?;
    enclosure::unless_ended(&mut end, all(dir, &here, &cases)).await
}

/// Runs every `every`th state of the packages of two releases, inside an enclosure.
pub async fn run_states(dir: &Path, every: usize, mut end: watch::Receiver<bool>) -> Result<()> {
    let here = environment::repository().join("tests/reimage");
    let cases: Vec<Case> = states(&here).into_iter().step_by(every).collect();
    enclosure::unless_ended(&mut end, all(dir, &here, &cases)).await
}

async fn all(dir: &Path, here: &Path, cases: &[Case]) -> Result<()> {
    // An overlay's own files cannot lie on the file system that it covers.
    let room = dir.join("layers");
    fs::create_dir_all(&room).with_context(|| format!("creating {}", room.display()))?;
    done(tool("mount")?.args(["-t", "tmpfs", "-o", "size=4g", "layers"]).arg(&room)).await?;
    let world = world(here, &room).await?;
    let plays = cases.iter().map(|case| {
        let (room, world) = (&room, &world);
        async move {
            let (watch, name) = (Stopwatch::start(), &case.name);
            let said = play(case, here, room, world).await;
            match &said {
                Ok(end) => println!("reimage {name} ... ok{end} ({})", watch.read()),
                Err(error) => println!("reimage {name} ... FAILED ({})\n{error:#}", watch.read()),
            }
            said.is_err().then_some(name.as_str())
        }
    });
    let results: Vec<Option<&str>> = futures::stream::iter(plays).buffer_unordered(ABREAST).collect().await;
    let failed: Vec<&str> = results.into_iter().flatten().collect();
    ensure!(failed.is_empty(), "{} of {} cases failed: {}", failed.len(), cases.len(), failed.join(" "));
    Ok(())
}

/// Returns the cases, sorted by name.
fn cases(here: &Path, names: &[String]) -> Result<Vec<Case>> {
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
    let names = if names.is_empty() { known } else { names.to_vec() };
    let case = |name: String| Case { script: folder.join(format!("{name}.sh")), name, variables: vec![] };
    Ok(names.into_iter().map(case).collect())
}

/// Returns each state of three packages between two releases, with a driver that builds or not and
/// a mirror that is whole or not.
fn states(here: &Path) -> Vec<Case> {
    let mut all = Vec::new();
    for driver in ["old", "new", "unpacked", "absent"] {
        for core in ["old", "new", "unpacked", "absent"] {
            for rocm in ["old", "new", "absent"] {
                for build in ["works", "fails"] {
                    for mirror in ["whole", "gone"] {
                        let state = format!("{driver} {core} {rocm}");
                        all.push(Case {
                            name: format!("state-{}-{build}-{mirror}", state.replace(' ', "-")),
                            script: here.join("state.sh"),
                            variables: vec![("STATE", state), ("BUILD", build.into()), ("MIRROR", mirror.into())],
                        });
                    }
                }
            }
        }
    }
    all
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

/// Returns what the case says of its end, if anything.
async fn play(case: &Case, here: &Path, room: &Path, world: &Path) -> Result<String> {
    let layer = Layer::over(&[world, Path::new("/")], &room.join(&case.name)).await?;
    for (file, to) in [
        (here.join("case.sh"), "case.sh"),
        (case.script.clone(), "this.sh"),
        (environment::repository().join("deploy/reimage/reimage.sh"), "reimage.sh"),
    ] {
        copy(&file, &layer.root.join("srv").join(to))?;
    }
    let program = layer.program(&["bash", "-c", "cd /; . /srv/case.sh; . /srv/this.sh"])?.env("HOME", "/root");
    let program = case.variables.iter().fold(program, |program, (name, value)| program.env(*name, value));
    let finished = program.finish(TAKES).await?.context("it did not end")?;
    let said = [finished.stderr.as_str(), &finished.stdout].concat();
    let ended = finished.status.success();
    layer.remove().await?;
    ensure!(ended, "{}", end_of(&said));
    let end = finished.stdout.lines().find_map(|line| line.strip_prefix("END "));
    Ok(end.map(|end| format!(", {end}")).unwrap_or_default())
}

/// The last lines of an output.
fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
