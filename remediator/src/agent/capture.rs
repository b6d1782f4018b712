//! The capture of evidence before a reboot destroys it: one more run of the checks, and what the
//! host reports about itself.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tokio::time::error::Elapsed;

use super::evidence::{Evidence, KERNEL, LOADED_DRIVER, ROCM, Section, tail};
use super::host::Host;
use super::probe;
use crate::core::record::{Card, Inventory, Software, Verdict};

/// Limit of the kernel log in the record, in characters: about 80 lines.
const LOG: usize = 8_000;
/// Delay before a busy exporter is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The captured evidence, with the reasons for what is missing.
pub struct Captured {
    pub verdicts: Vec<Verdict>,
    /// The end of this boot's kernel log.
    pub kernel_log: Option<String>,
    pub evidence: Evidence,
    /// The GPUs that the node should show.
    pub expected: Option<Inventory>,
    /// What names these GPUs.
    pub cards: Vec<Card>,
    pub software: Software,
    pub missing: Vec<String>,
}

/// Asks all sources in parallel and returns what has arrived `within` the time.
pub async fn capture<H: Host>(socket: &Path, host: &H, within: Duration) -> Captured {
    let (checks, sections) =
        tokio::join!(tokio::time::timeout(within, run_checks(socket, within)), host.evidence(within));
    let mut missing = Vec::new();
    let (verdicts, expected, cards) = had("the checks", checks, &mut missing).unwrap_or_default();
    let checks = Section { name: "checks", said: Ok(verdicts.iter().map(line).collect()) };
    let evidence = Evidence::of([vec![checks], sections].concat());
    let kernel_log = match evidence.section(KERNEL) {
        Some(Ok(log)) => Some(tail(log, LOG).to_owned()),
        Some(Err(why)) => {
            missing.push(format!("the kernel's log: {why}"));
            None
        }
        None => None,
    };
    let software = software(&evidence);
    Captured { verdicts, kernel_log, evidence, expected, cards, software, missing }
}

fn line(verdict: &Verdict) -> String {
    let Verdict { check, verdict, reason, detail, started_at } = verdict;
    format!("{started_at} {check} {verdict} {} {detail}\n", reason.as_deref().unwrap_or("-"))
}

/// Returns the answer. If there is none, adds the reason to `missing`.
pub fn had<T, E: Display>(what: &str, answer: Result<Result<T, E>, Elapsed>, missing: &mut Vec<String>) -> Option<T> {
    let why = match answer {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    missing.push(format!("{what}: {why}"));
    None
}

/// Returns the versions out of what the tools of the host said.
fn software(evidence: &Evidence) -> Software {
    let word = |name: &str, at: usize| {
        let said = evidence.section(name)?.as_ref().ok()?;
        // A version is short; anything longer is another output.
        said.split_whitespace().nth(at).filter(|word| word.len() <= 64).map(str::to_owned)
    };
    Software { kernel: word("kernel", 2), driver: word(LOADED_DRIVER, 0), rocm: word(ROCM, 0) }
}

type Checked = (Vec<Verdict>, Option<Inventory>, Vec<Card>);

async fn run_checks(socket: &Path, patience: Duration) -> Result<Checked, probe::ProbeError> {
    loop {
        match probe::ask(socket, "check=gpu", patience).await {
            Err(error) if error.ask_again() => tokio::time::sleep(ASK_AGAIN).await,
            other => {
                return other.map(|answer| {
                    let verdicts = answer.results.into_iter().map(Into::into).collect();
                    (verdicts, answer.inventory.expected, answer.inventory.cards)
                });
            }
        }
    }
}
