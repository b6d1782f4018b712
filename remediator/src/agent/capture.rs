//! What a reboot would destroy, written down before it: one more run of the checks, and what the host can say of itself.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use tokio::time::error::Elapsed;

use super::evidence::{Evidence, KERNEL, Section, tail};
use super::host::Host;
use super::probe;
use crate::core::record::{Inventory, Verdict};

/// So many characters of the kernel's log go into the record: about 80 lines.
const LOG: usize = 8_000;
/// How soon the exporter is asked again when it was busy.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What could be written down, and in half sentences what could not.
pub struct Captured {
    pub verdicts: Vec<Verdict>,
    /// The end of the kernel's log of this boot.
    pub kernel_log: Option<String>,
    pub evidence: Evidence,
    /// The GPUs that the node should show.
    pub expected: Option<Inventory>,
    pub missing: Vec<String>,
}

/// Asks all at once and takes what there is when `within` is over.
pub async fn capture<H: Host>(socket: &Path, host: &H, within: Duration) -> Captured {
    let (checks, sections) =
        tokio::join!(tokio::time::timeout(within, run_checks(socket, within)), host.evidence(within));
    let mut missing = Vec::new();
    let (verdicts, expected) = had("the checks", checks, &mut missing).unwrap_or_default();
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
    Captured { verdicts, kernel_log, evidence, expected, missing }
}

fn line(verdict: &Verdict) -> String {
    let Verdict { check, verdict, reason, detail, started_at } = verdict;
    format!("{started_at} {check} {verdict} {} {detail}\n", reason.as_deref().unwrap_or("-"))
}

/// What there is; why there is not goes to `missing`.
pub fn had<T, E: Display>(what: &str, answer: Result<Result<T, E>, Elapsed>, missing: &mut Vec<String>) -> Option<T> {
    let why = match answer {
        Ok(Ok(answer)) => return Some(answer),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    missing.push(format!("{what}: {why}"));
    None
}

type Checked = (Vec<Verdict>, Option<Inventory>);

async fn run_checks(socket: &Path, patience: Duration) -> Result<Checked, probe::ProbeError> {
    loop {
        match probe::ask(socket, "check=gpu", patience).await {
            Err(error) if error.ask_again() => tokio::time::sleep(ASK_AGAIN).await,
            other => {
                return other.map(|answer| {
                    let verdicts = answer.results.into_iter().map(Into::into).collect();
                    (verdicts, answer.inventory.expected)
                });
            }
        }
    }
}
