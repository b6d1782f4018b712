//! Cut stories: a story is played with the remediator killed at one of its durable writes, before or after the answer, and
//! has to be told as if nothing had happened. The ledger keeps what was played, so that a campaign of all cuts can go on
//! another day.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tokio::sync::watch;

use crate::clock::Stopwatch;
use crate::golden;
use crate::lab::Lab;
use crate::play::{self, Outcome};
use crate::proxy::Side;
use crate::runner::{self, Nobody};
use crate::story::Story;

/// One play of one story.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    pub story: String,
    /// Counts from 1.
    pub write: u32,
    pub side: Side,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.story, self.write, self.side)
    }
}

/// Which cuts are played.
#[derive(Debug, Clone)]
pub enum Choice {
    /// All that the ledger does not have.
    All { ledger: PathBuf },
    /// So many of them, by a seed.
    Sample { count: usize, seed: u64 },
}

/// Runs inside an enclosure.
pub async fn run(dir: &Path, files: &[PathBuf], choice: &Choice, mut end: watch::Receiver<bool>) -> Result<()> {
    let played = async {
        let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
        campaign(&mut lab, files, choice).await
    };
    tokio::select! {
        played = played => played,
        _ = end.wait_for(|end| *end) => bail!("interrupted"),
    }
}

pub async fn campaign(lab: &mut Lab, files: &[PathBuf], choice: &Choice) -> Result<()> {
    let watch = Stopwatch::start();
    let mut all = Vec::new();
    // Each story is played uncut first: that counts its writes.
    for file in files {
        let story = runner::read(file)?;
        let writes = play_one(lab, file, &story, None).await.with_context(|| format!("{} uncut", story.name))?;
        println!("story {}: {writes} durable writes", story.name);
        let sides = [Side::Before, Side::After];
        let cuts = (1..=writes).flat_map(|write| sides.map(|side| Cut { story: story.name.clone(), write, side }));
        all.extend(cuts.map(|cut| (file.clone(), cut)));
    }
    let (chosen, ledger) = match choice {
        Choice::All { ledger } => {
            let done = fs::read_to_string(ledger).unwrap_or_default();
            let done: BTreeSet<&str> = done.lines().collect();
            let left = all.iter().filter(|(_, cut)| !done.contains(cut.to_string().as_str())).cloned();
            (left.collect::<Vec<_>>(), Some(ledger))
        }
        Choice::Sample { count, seed } => (sample(&all, *count, *seed), None),
    };
    println!("{} cuts, {} of them to be played", all.len(), chosen.len());
    let mut failed = 0;
    for (file, cut) in &chosen {
        let took = Stopwatch::start();
        let result = play_one(lab, file, &runner::read(file)?, Some(cut)).await;
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("cut {cut} ... {word} ({})", took.read());
        match (result, ledger) {
            (Ok(_), Some(ledger)) => {
                let mut file =
                    OpenOptions::new().create(true).append(true).open(ledger).context("opening the ledger")?;
                writeln!(file, "{cut}").context("writing the ledger")?;
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                println!("{error:#}");
                failed += 1;
            }
        }
    }
    println!("{} cuts played in {}, {failed} failed", chosen.len(), watch.read());
    if failed > 0 {
        bail!("{failed} of {} cuts failed", chosen.len());
    }
    Ok(())
}

/// Plays a story with nodes of its own; returns how many durable writes the remediator made.
async fn play_one(lab: &mut Lab, file: &Path, story: &Story, cut: Option<&Cut>) -> Result<u32> {
    let mark = cut.map_or("uncut".to_owned(), |cut| format!("{}-{}", cut.write, cut.side));
    let renamed = story.marked(&mark)?;
    lab.proxy.count(cut.map(|cut| (cut.write, cut.side)));
    let played = play::play(lab, &renamed, &mut Nobody).await;
    let writes = lab.proxy.committed();
    lab.proxy.count(None);
    lab.alerting.restore().await.context("undoing what the story did to the alerting")?;
    for node in renamed.nodes() {
        lab.switch_off(node).await?;
    }
    let Outcome { told, violations, .. } = played?;
    if let Some(cut) = cut
        && writes < cut.write
    {
        bail!("the story had only {writes} durable writes this time");
    }
    if !violations.is_empty() {
        bail!("rules were broken:\n{}\n{told}", violations.join("\n"));
    }
    golden::check(&file.with_extension("golden"), &told.replace(&format!("-{mark}"), ""))?;
    Ok(writes)
}

/// So many of them, spread by a simple generator (Knuth's 64-bit one): the same seed chooses the same.
fn sample<T: Clone>(all: &[T], count: usize, seed: u64) -> Vec<T> {
    let mut left = all.to_vec();
    let mut state = seed;
    let mut chosen = Vec::new();
    while chosen.len() < count && !left.is_empty() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = usize::try_from(state >> 33).unwrap_or_default() % left.len();
        chosen.push(left.swap_remove(at));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_chosen_by_its_seed_and_has_nothing_twice() {
        let all: Vec<u32> = (0..50).collect();
        let chosen = sample(&all, 10, 7);
        assert_eq!(chosen, sample(&all, 10, 7));
        assert_ne!(chosen, sample(&all, 10, 8));
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 10);
        assert_eq!(sample(&all, 99, 7).len(), 50);
    }
}
