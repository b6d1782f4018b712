//! A campaign of cuts in several labs in parallel. One process hands out the plays and writes the
//! ledger; each lab is an enclosure that plays them. A cut mostly waits, so two labs take little
//! longer than one.
//!
//! A lab reads plays from standard input, one per line. A line of its standard output that begins
//! with [`ANSWER`] is the result of the oldest play without a result. All other lines are for
//! people.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};

use super::{Choice, Cut, Play, Stage, cuts_of, sample, word};
use crate::clock::Stopwatch;
use crate::enclosure::{Enclosed, Interrupts, Jobs};
use crate::lab::Lab;
use crate::pace::Pace;
use crate::proxy::Side;

const ANSWER: &str = "= ";
/// Plays that a lab holds: the current one and the next one, whose nodes start meanwhile.
const AHEAD: usize = 2;
/// Number of attempts for a cut that is not reached, before it counts as absent.
const TRIES: usize = 3;

/// The result of a play: the number of writes, or the error.
type Answer = std::result::Result<u32, String>;

#[derive(Serialize, Deserialize)]
struct Job {
    file: PathBuf,
    cut: Option<(u32, bool)>,
}

impl From<&Play> for Job {
    fn from(play: &Play) -> Self {
        Self { file: play.file.clone(), cut: play.cut.map(|cut| (cut.write, cut.side == Side::Before)) }
    }
}

impl From<Job> for Play {
    fn from(job: Job) -> Self {
        let cut = job.cut.map(|(write, before)| Cut { write, side: if before { Side::Before } else { Side::After } });
        Self { file: job.file, cut }
    }
}

/// Runs inside an enclosure: plays the jobs until no more arrive.
pub async fn work(dir: &Path, mut jobs: Jobs) -> Result<()> {
    let played = async {
        let mut lab = Lab::start_at(Pace::BRISK, dir, |line| println!("{line}")).await?;
        let mut stage = Stage::default();
        let read = |line: String| serde_json::from_str::<Job>(&line).map(Play::from).context("reading a play");
        let mut next: Option<Play> = None;
        loop {
            let play = match next.take() {
                Some(play) => play,
                None => match jobs.lines.recv().await {
                    Some(line) => read(line)?,
                    None => return Ok(()),
                },
            };
            next = jobs.lines.try_recv().ok().map(read).transpose()?;
            let answer: Answer = stage.play(&mut lab, &play, next.as_ref()).await.map_err(|error| format!("{error:#}"));
            println!("{ANSWER}{}", serde_json::to_string(&answer)?);
        }
    };
    tokio::select! {
        played = played => played,
        // The parent process has all results, or wants no more.
        _ = jobs.end.wait_for(|end| *end) => Ok(()),
    }
}

/// One lab, from the view of the parent process.
struct Worker {
    number: usize,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    /// The plays without a result, with the time at which each began.
    given: VecDeque<Play>,
    began: Stopwatch,
    enclosed: Enclosed,
}

impl Worker {
    fn start(number: usize, state_dir: Option<&Path>) -> Result<Self> {
        let dir = state_dir.map(|dir| dir.join(number.to_string()));
        let mut enclosed = Enclosed::start(dir.as_deref(), Stdio::piped())?;
        let to = enclosed.child.stdin.take().context("a lab without input")?;
        let from = BufReader::new(enclosed.child.stdout.take().context("a lab without output")?).lines();
        Ok(Self { number, to, from, given: VecDeque::new(), began: Stopwatch::start(), enclosed })
    }

    async fn give(&mut self, play: Play) -> Result<()> {
        let line = format!("{}\n", serde_json::to_string(&Job::from(&play))?);
        self.to.write_all(line.as_bytes()).await.with_context(|| format!("sending a play to lab {}", self.number))?;
        if self.given.is_empty() {
            self.began = Stopwatch::start();
        }
        self.given.push_back(play);
        Ok(())
    }

    /// Returns the next result, and the duration of its play in seconds.
    async fn answer(&mut self) -> Result<(Play, Result<u32>, f64)> {
        loop {
            let line = self.from.next_line().await.context("reading the output of a lab")?;
            let line = line.with_context(|| format!("lab {} has exited", self.number))?;
            let Some(answer) = line.strip_prefix(ANSWER) else {
                println!("lab {}: {line}", self.number);
                continue;
            };
            let answer: Answer = serde_json::from_str(answer).with_context(|| format!("reading {answer}"))?;
            let play = self.given.pop_front().context("a result without a play")?;
            let seconds = self.began.elapsed().as_secs_f64();
            self.began = Stopwatch::start();
            return Ok((play, answer.map_err(|error| anyhow!(error)), seconds));
        }
    }
}

/// The labs, and the plays for them.
struct Crew(Vec<Worker>);

impl Crew {
    /// Plays everything. `told` receives each result, and may ask for the same play once more.
    async fn play(
        &mut self,
        plays: Vec<Play>,
        mut told: impl FnMut(&Play, Result<u32>, f64) -> Result<bool>,
    ) -> Result<()> {
        let mut left = VecDeque::from(plays);
        for _ in 0..AHEAD {
            for worker in &mut self.0 {
                if let Some(play) = left.pop_front() {
                    worker.give(play).await?;
                }
            }
        }
        let mut busy: FuturesUnordered<_> =
            self.0.iter_mut().filter(|worker| !worker.given.is_empty()).map(answer).collect();
        while let Some(answered) = busy.next().await {
            let (worker, (play, result, seconds)) = answered?;
            if told(&play, result, seconds)? {
                left.push_back(play);
            }
            if let Some(play) = left.pop_front() {
                worker.give(play).await?;
            }
            if !worker.given.is_empty() {
                busy.push(answer(worker));
            }
        }
        Ok(())
    }

    async fn end(self) -> Result<()> {
        for Worker { to, from, enclosed, .. } in self.0 {
            drop((to, from));
            enclosed.end(None, false).await?;
        }
        Ok(())
    }
}

async fn answer(worker: &mut Worker) -> Result<(&mut Worker, (Play, Result<u32>, f64))> {
    let answer = worker.answer().await?;
    Ok((worker, answer))
}

/// Plays the chosen cuts of these stories in this number of labs.
pub async fn run(labs: usize, state_dir: Option<&Path>, files: &[PathBuf], choice: &Choice) -> Result<()> {
    let workers: Result<_> = (1..=labs.max(1)).map(|number| Worker::start(number, state_dir)).collect();
    let mut crew = Crew(workers?);
    let mut interrupts = Interrupts::listen()?;
    let played = tokio::select! {
        played = campaign(&mut crew, files, choice) => played,
        () = interrupts.come() => Err(anyhow!("interrupted")),
    };
    crew.end().await?;
    played
}

async fn campaign(crew: &mut Crew, files: &[PathBuf], choice: &Choice) -> Result<()> {
    let watch = Stopwatch::start();
    let mut all = Vec::new();
    // Each story is first played without a cut, which counts its writes.
    let uncut = files.iter().map(|file| Play { file: file.clone(), cut: None }).collect();
    crew.play(uncut, |play, writes, seconds| {
        let writes = writes.with_context(|| play.to_string())?;
        println!("{play}: {writes} durable writes ({seconds:.1} s)");
        all.extend(cuts_of(&play.file, writes));
        Ok(false)
    })
    .await?;
    // Sorts by the order of the files, because the labs finish in any order.
    all.sort_by_key(|play| (files.iter().position(|file| *file == play.file), play.cut));
    let (chosen, ledger) = match choice {
        Choice::All { ledger } => {
            let done = fs::read_to_string(ledger).unwrap_or_default();
            let done: BTreeSet<&str> = done.lines().collect();
            let left = all.iter().filter(|play| !done.contains(play.to_string().as_str())).cloned();
            (left.collect::<Vec<_>>(), Some(ledger))
        }
        Choice::Sample { count, seed } => (sample(&all, *count, *seed), None),
    };
    println!("{} cuts, {} of them to be played in {} labs", all.len(), chosen.len(), crew.0.len());
    let (count, mut failed, mut times, mut tries) = (chosen.len(), 0, Vec::new(), Vec::new());
    crew.play(chosen, |play, result, seconds| {
        let word = word(play, &result);
        println!("cut {play} ... {word} ({seconds:.1} s)");
        times.push(seconds);
        if let Err(error) = result {
            println!("{error:#}");
            failed += 1;
            return Ok(false);
        }
        if word == "not reached" {
            tries.push(play.clone());
            if tries.iter().filter(|tried| *tried == play).count() < TRIES {
                return Ok(true);
            }
        }
        if let Some(ledger) = ledger {
            let mut file = OpenOptions::new().create(true).append(true).open(ledger).context("opening the ledger")?;
            writeln!(file, "{play}").context("writing the ledger")?;
        }
        Ok(false)
    })
    .await?;
    times.sort_by(f64::total_cmp);
    let at =
        |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied().unwrap_or(0.0);
    println!(
        "{count} cuts played in {} by {} labs, each in {:.1} s (median; 9 of 10 in {:.1} s), {failed} failed",
        watch.read(),
        crew.0.len(),
        at(50),
        at(90)
    );
    if failed > 0 {
        bail!("{failed} of {count} cuts failed");
    }
    Ok(())
}
