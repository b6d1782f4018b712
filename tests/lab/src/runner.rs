//! The command `ossci-lab story`: plays stories one after the other in one lab, each with its own
//! nodes, and compares each with its golden file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;

use crate::audit::Chronicle;
use crate::clock::Stopwatch;
use crate::cuts;
use crate::enclosure;
use crate::golden;
use crate::lab::Lab;
use crate::play::{self, Audience, Outcome};
use crate::story::{Step, Story};

pub fn read(file: &Path) -> Result<Story> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Story::parse(&name, &text)
}

/// What to play.
#[derive(Debug)]
pub struct Program {
    pub stories: Vec<PathBuf>,
    /// Stories that are played once more with the remediator killed; may be empty.
    pub cuts: Vec<PathBuf>,
    /// Number of cuts, and the seed that chooses them.
    pub sample: (usize, u64),
    /// The lab stays up until it is stopped from outside.
    pub stay: bool,
    /// Stories whose nodes keep running afterwards.
    pub nodes_stay: Vec<String>,
}

/// Runs inside an enclosure. Writes the result of each story to `stories/NAME.result` of the state
/// directory, and that of the cuts to `stories/cuts.result`.
pub async fn run(dir: &Path, program: &Program, mut end: watch::Receiver<bool>) -> Result<()> {
    let results = dir.join("stories");
    fs::create_dir_all(&results).with_context(|| format!("creating {}", results.display()))?;
    let played = async {
        let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
        let mut failed = Vec::new();
        for file in &program.stories {
            let watch = Stopwatch::start();
            let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let nodes_stay = program.nodes_stay.contains(&name);
            let result = tell(&mut lab, file, nodes_stay).await;
            failed.extend(note(&results, &name, &watch, result)?);
        }
        if !program.cuts.is_empty() {
            let watch = Stopwatch::start();
            let result = cuts::sampled(&mut lab, &program.cuts, program.sample.0, program.sample.1).await;
            failed.extend(note(&results, "cuts", &watch, result)?);
        }
        anyhow::Ok((lab, failed))
    };
    let (_lab, failed) = enclosure::unless_ended(&mut end, played).await?;
    if program.stay {
        let _ = end.wait_for(|end| *end).await;
        return Ok(());
    }
    if !failed.is_empty() {
        bail!("{} stories failed: {}", failed.len(), failed.join(" "));
    }
    Ok(())
}

/// Prints and stores the result of a story; returns its name if it failed.
fn note(results: &Path, name: &str, watch: &Stopwatch, result: Result<()>) -> Result<Option<String>> {
    let word = if result.is_ok() { "ok" } else { "FAILED" };
    println!("story {name} ... {word} ({})", watch.read());
    let text = match &result {
        Ok(()) => "passed".to_owned(),
        Err(error) => format!("{error:#}"),
    };
    if result.is_err() {
        println!("{text}");
    }
    let new = results.join(format!("{name}.new"));
    fs::write(&new, format!("{}\n{text}\n", watch.read())).context("writing a result")?;
    fs::rename(&new, results.join(format!("{name}.result"))).context("writing a result")?;
    Ok(result.err().map(|_| name.to_owned()))
}

/// Plays one story and compares it with its golden file. Its nodes are switched off afterwards:
/// their checks would load the machine during the next stories.
async fn tell(lab: &mut Lab, file: &Path, nodes_stay: bool) -> Result<()> {
    let story = read(file)?;
    let played = play::play(lab, &story, &mut NoAudience).await;
    lab.restore().await.context("restoring the lab after the story")?;
    if !nodes_stay {
        lab.switch_off(&story.nodes()).await.context("switching off the story's nodes")?;
    }
    let Outcome { told, violations, letters, .. } = played?;
    if !violations.is_empty() {
        bail!("invariants were violated:\n{}\n{told}", violations.join("\n"));
    }
    if story.nodes().is_empty() {
        return Ok(());
    }
    for (node, letter) in letters {
        golden::check(&file.with_extension(format!("{node}.mail")), &letter)?;
    }
    golden::check(&file.with_extension("golden"), &told)
}

/// No observer.
pub struct NoAudience;

impl Audience for NoAudience {
    fn step(&mut self, _: &str, _: &Step) {}
    fn look(&mut self, _: &Chronicle) {}
}
