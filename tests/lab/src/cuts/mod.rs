//! Cut stories: a story is played with the remediator killed at one of its durable writes, before
//! or after the response. The result has to be the same as without the kill. `crew` plays a whole
//! campaign in several labs.

pub mod crew;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::clock::Stopwatch;
use crate::golden;
use crate::lab::Lab;
use crate::play::{self, Outcome};
use crate::proxy::Side;
use crate::runner::{self, NoAudience};
use crate::story::Story;
use crate::verdict;

/// The point of a story at which the remediator is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The number of the write, counted from 1.
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
    /// `None`: the remediator is not killed, and its writes are counted.
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

/// The choice of the cuts that are played.
#[derive(Debug, Clone)]
pub enum Choice {
    /// All cuts that are not in the ledger.
    All { ledger: PathBuf },
    /// A number of cuts, chosen by a seed.
    Sample { count: usize, seed: u64 },
}

/// Plays a sample of the cuts in a running lab.
pub async fn sampled(lab: &mut Lab, files: &[PathBuf], count: usize, seed: u64) -> Result<()> {
    let mut stage = Stage::default();
    let mut all = Vec::new();
    // Each story is first played without a cut, which counts its writes.
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

/// Every cut of a story with this number of writes.
fn cuts_of(file: &Path, writes: u32) -> impl Iterator<Item = Play> {
    let sides = [Side::Before, Side::After];
    let cuts = (1..=writes).flat_map(move |write| sides.map(|side| Cut { write, side }));
    cuts.map(|cut| Play { file: file.to_owned(), cut: Some(cut) })
}

/// The word for the result of a play. A play's result is the number of its writes.
fn word(play: &Play, result: &Result<u32>) -> &'static str {
    match (result, play.cut) {
        (Err(_), _) => "FAILED",
        // Evictions and lost races differ between plays, so this play did not reach the write.
        (Ok(writes), Some(cut)) if *writes < cut.write => "not reached",
        (Ok(_), _) => "ok",
    }
}

/// Consecutive plays in one lab, each with nodes of its own.
#[derive(Debug, Default)]
pub struct Stage {
    plays: u32,
}

impl Stage {
    /// Plays a story and returns the number of the remediator's durable writes. The nodes of the
    /// next play start meanwhile.
    pub async fn play(&mut self, lab: &mut Lab, play: &Play, after: Option<&Play>) -> Result<u32> {
        let Play { file, cut } = play;
        self.plays += 1;
        let renamed = self.marked(file, self.plays)?;
        if let Some(after) = after {
            let story = self.marked(&after.file, self.plays + 1)?;
            lab.prepare(&story.name, &story.nodes()).await.context("preparing the play after this one")?;
        }
        lab.proxy.count(cut.map(|cut| (cut.write, cut.side)));
        let played = play::play(lab, &renamed, &mut NoAudience).await;
        let writes = lab.proxy.committed();
        lab.proxy.count(None);
        lab.restore().await.context("restoring the lab after the story")?;
        lab.switch_off(&renamed.nodes()).await?;
        let Outcome { told, violations, .. } = played?;
        if !violations.is_empty() {
            bail!("invariants were violated:\n{}\n{told}", violations.join("\n"));
        }
        let (golden, told) = (file.with_extension("golden"), told.replace(&mark(self.plays), ""));
        // A cut has to have the result of the play without a cut.
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

/// The suffix of the node names of one play.
fn mark(number: u32) -> String {
    format!("-play{number}")
}

/// Chooses `count` elements with Knuth's 64-bit generator: the same seed chooses the same ones.
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
