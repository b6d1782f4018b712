//! Cut stories: a story is played with the remediator killed at one of its durable writes, before or after the answer, and
//! has to be told as if nothing had happened. `crew` plays a whole campaign of them in several labs.

pub mod crew;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::golden;
use crate::lab::Lab;
use crate::play::{self, Outcome};
use crate::proxy::Side;
use crate::runner::{self, Nobody};
use crate::story::Story;
use crate::verdict;

/// Where in a story the remediator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// Counts from 1.
    pub write: u32,
    pub side: Side,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.write, self.side)
    }
}

/// One play of one story.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub file: PathBuf,
    /// `None`: nobody is killed, the writes are counted.
    pub cut: Option<Cut>,
}

impl std::fmt::Display for Play {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let story = self.file.file_stem().unwrap_or_default().to_string_lossy();
        match self.cut {
            Some(cut) => write!(f, "{story} {cut}"),
            None => write!(f, "{story} uncut"),
        }
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

/// A sample of cuts, in a lab that is there.
pub async fn sampled(lab: &mut Lab, files: &[PathBuf], count: usize, seed: u64) -> Result<()> {
    let mut stage = Stage::default();
    let mut all = Vec::new();
    // Each story is played uncut first: that counts its writes.
    for file in files {
        let play = Play { file: file.clone(), cut: None };
        let writes = stage.play(lab, &play, None).await.with_context(|| play.to_string())?;
        println!("{play}: {writes} durable writes");
        all.extend(cuts_of(file, writes));
    }
    let chosen = sample(&all, count, seed);
    println!("{} cuts, {} of them to be played", all.len(), chosen.len());
    let mut failed = 0;
    for (at, play) in chosen.iter().enumerate() {
        let took = Stopwatch::start();
        let result = stage.play(lab, play, chosen.get(at + 1)).await;
        println!("cut {play} ... {} ({})", word(play, &result), took.read());
        if let Err(error) = result {
            println!("{error:#}");
            failed += 1;
        }
    }
    if failed > 0 {
        bail!("{failed} of {} cuts failed", chosen.len());
    }
    Ok(())
}

/// Every cut of a story that has so many writes.
fn cuts_of(file: &Path, writes: u32) -> impl Iterator<Item = Play> {
    let sides = [Side::Before, Side::After];
    let cuts = (1..=writes).flat_map(move |write| sides.map(|side| Cut { write, side }));
    cuts.map(|cut| Play { file: file.to_owned(), cut: Some(cut) })
}

/// What came of a play, whose result is the number of its writes.
fn word(play: &Play, result: &Result<u32>) -> &'static str {
    match (result, play.cut) {
        (Err(_), _) => "FAILED",
        // Evictions and lost races differ from one play to the next: there was nothing to cut.
        (Ok(writes), Some(cut)) if *writes < cut.write => "not reached",
        (Ok(_), _) => "ok",
    }
}

/// Where plays follow each other in one lab, each with nodes of its own.
#[derive(Debug, Default)]
pub struct Stage {
    plays: u32,
}

impl Stage {
    /// Plays a story; returns how many durable writes the remediator made. The nodes of the play after it come up meanwhile.
    pub async fn play(&mut self, lab: &mut Lab, play: &Play, after: Option<&Play>) -> Result<u32> {
        let Play { file, cut } = play;
        self.plays += 1;
        let renamed = self.marked(file, self.plays)?;
        if let Some(after) = after {
            let story = self.marked(&after.file, self.plays + 1)?;
            lab.prepare(&story.name, &story.nodes()).await.context("preparing the play after this one")?;
        }
        lab.proxy.count(cut.map(|cut| (cut.write, cut.side)));
        let played = play::play(lab, &renamed, &mut Nobody).await;
        let writes = lab.proxy.committed();
        lab.proxy.count(None);
        lab.restore().await.context("undoing what the story did to the lab")?;
        lab.switch_off(&renamed.nodes()).await?;
        let Outcome { told, violations, .. } = played?;
        if !violations.is_empty() {
            bail!("rules were broken:\n{}\n{told}", violations.join("\n"));
        }
        let (golden, told) = (file.with_extension("golden"), told.replace(&mark(self.plays), ""));
        // What is expected of a cut is what the uncut play told.
        match cut {
            Some(_) => golden::compare_as(&golden, &told, verdict::without_holds)?,
            None => golden::check(&golden, &told)?,
        }
        Ok(writes)
    }

    fn marked(&self, file: &Path, number: u32) -> Result<Story> {
        runner::read(file)?.marked(&mark(number))
    }
}

/// What the nodes of one play have behind their names.
fn mark(number: u32) -> String {
    format!("-play{number}")
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
    use std::collections::BTreeSet;

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
