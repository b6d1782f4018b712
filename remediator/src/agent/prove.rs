//! A proof: fresh runs of the checks until enough in a row agree, or until the deadline.
//!
//! Only failed runs disprove. A missing answer, an unknown or a refusal is no failure; at the
//! deadline the result is then "unknown", which a person has to look at.

use std::path::Path;
use std::time::Duration;

use super::host::{Host, ScriptKind, ScriptOutcome};
use super::process::HostError;
use super::{driver, inventory, load_test, probe};
use crate::core::record::{LoadTest, Proof, ProofOf, ProofTerms, Verdict};
use ossci_base::clock;

/// Delay before a request without an answer is repeated.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The proof ends this long before the deadline, so that its result is recorded before the
/// controller decides without it.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// A load test is killed 10 s after its time limit. Later than this it hangs in the kernel.
const ENDS: Duration = Duration::from_secs(20);
/// Limit of a proof's verdicts in the record: the newest.
const KEPT: usize = 24;

/// The number of runs in a row with the same result. Pure.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
}

impl Tally {
    /// Counts one run: failed if a check failed, passed if all passed. Any other run changes
    /// nothing.
    pub fn count(&mut self, verdicts: &[Verdict]) {
        if verdicts.iter().any(|verdict| verdict.verdict == "failed") {
            *self = Self { passed: 0, failed: self.failed + 1 };
        } else if passed(verdicts) {
            *self = Self { passed: self.passed + 1, failed: 0 };
        }
    }

    pub fn verdict(&self, terms: &ProofTerms) -> Option<Proof> {
        if self.passed >= terms.passes {
            Some(Proof::Passed)
        } else if terms.failures > 0 && self.failed >= terms.failures {
            Some(Proof::Failed)
        } else {
            None
        }
    }
}

fn passed(verdicts: &[Verdict]) -> bool {
    !verdicts.is_empty() && verdicts.iter().all(|verdict| verdict.verdict == "passed")
}

/// The result of a proof.
pub struct Proven {
    pub proof: Proof,
    pub message: String,
    pub verdicts: Vec<Verdict>,
}

/// Runs a proof until its deadline, on the boot `boot_id`; `key` is the order's, `load_test` the
/// text of its load test, or why there is none.
pub async fn prove<H: Host>(
    socket: &Path,
    host: &H,
    (terms, load_test): (&ProofTerms, &Result<String, String>),
    deadline: jiff::Timestamp,
    (key, boot_id): (&str, &str),
) -> Proven {
    let gap = Duration::from_secs(terms.gap_seconds.into());
    let mut tally = Tally::default();
    let mut kept: Vec<Verdict> = Vec::new();
    let mut after = terms.after;
    let mut silence = "the exporter was not asked".to_owned();
    let end = deadline.saturating_sub(LAST_WORDS).unwrap_or(deadline);
    loop {
        let left = clock::until(end);
        if left.is_zero() {
            break;
        }
        let query = match terms.of {
            ProofOf::Gpu => "check=gpu".to_owned(),
            ProofOf::Network => format!("check=network&since={after}"),
        };
        let wait = match probe::ask(socket, &query, left).await {
            Ok(answer) if answer.boot_id != boot_id => {
                silence = format!("the exporter reports on boot {}", answer.boot_id);
                ASK_AGAIN
            }
            Ok(answer) => {
                let (seen, lent) = (answer.inventory.seen, answer.inventory.lent);
                let mut run: Vec<Verdict> = answer.results.into_iter().map(Into::into).collect();
                if let Some(expected) = terms.expected.as_ref().filter(|_| passed(&run)) {
                    run.push(inventory::verdict(expected, seen.as_ref(), &lent, clock::now()));
                }
                if terms.driver && !run.is_empty() {
                    let known = host.driver().await;
                    run.extend(known.and_then(|driver| driver::verdict(&driver, clock::now())));
                }
                if let Some(latest) = run.iter().map(|verdict| verdict.started_at).max() {
                    after = after.max(latest);
                }
                // A run that began before the proof's start does not count.
                if run.iter().all(|verdict| verdict.started_at >= terms.after) {
                    tally.count(&run);
                }
                kept.extend(run);
                gap
            }
            Err(error) => {
                silence = error.to_string();
                ASK_AGAIN
            }
        };
        if let Some(mut proof) = tally.verdict(terms) {
            if let (Proof::Passed, Some(test)) = (proof, &terms.load_test) {
                let said = stands(host, test, load_test, key, end).await;
                proof = match said.verdict.as_str() {
                    "passed" => Proof::Passed,
                    "failed" => Proof::Failed,
                    _ => Proof::Unknown,
                };
                kept.push(said);
            }
            return Proven { proof, message: summary(proof, &kept), verdicts: newest(kept) };
        }
        tokio::time::sleep(wait.min(clock::until(end))).await;
    }
    let message = match kept.last() {
        Some(_) => summary(Proof::Unknown, &kept),
        None => format!("no check result by the deadline: {silence}"),
    };
    Proven { proof: Proof::Unknown, message, verdicts: newest(kept) }
}

/// Runs the load test, at most until the proof ends. `script`: its text, or why there is none.
async fn stands<H: Host>(
    host: &H,
    test: &LoadTest,
    script: &Result<String, String>,
    key: &str,
    end: jiff::Timestamp,
) -> Verdict {
    let (at, wanted) = (clock::now(), Duration::from_secs(test.seconds.into()));
    let given = wanted.min(clock::until(end));
    let outcome = match script {
        Ok(text) => run_load_test(host, text, key, given).await.map_err(|error| error.whole()),
        Err(missing) => Err(missing.clone()),
    };
    load_test::verdict(outcome, given, wanted, at)
}

async fn run_load_test<H: Host>(host: &H, text: &str, key: &str, within: Duration) -> Result<ScriptOutcome, HostError> {
    // An earlier agent may have left it running; two at a time would disturb each other.
    host.end_script(key).await?;
    host.start_script(ScriptKind::LoadTest, key, text, &[], within.as_secs().max(1)).await?;
    match tokio::time::timeout(within + ENDS, host.script_ended(key)).await {
        Ok(outcome) => {
            let unknown =
                ScriptOutcome { exit_status: None, too_long: false, tail: String::new(), output: String::new() };
            match outcome {
                Ok(outcome) => Ok(outcome.unwrap_or(unknown)),
                Err(error) => {
                    // It may still load the machine, which goes back into service.
                    if let Err(error) = host.end_script(key).await {
                        tracing::warn!(order = key, error = error.whole(), "cannot end a load test");
                    }
                    Err(error)
                }
            }
        }
        Err(_) => {
            let tail = "it cannot be stopped, not even by force".to_owned();
            Ok(ScriptOutcome { exit_status: None, too_long: true, tail, output: String::new() })
        }
    }
}

fn newest(mut verdicts: Vec<Verdict>) -> Vec<Verdict> {
    let surplus = verdicts.len().saturating_sub(KEPT);
    verdicts.split_off(surplus)
}

/// Returns one sentence: the last verdict that was not a pass.
fn summary(proof: Proof, verdicts: &[Verdict]) -> String {
    let last_bad = verdicts.iter().rev().find(|verdict| verdict.verdict != "passed");
    match (proof, last_bad) {
        (Proof::Passed, _) => "the checks passed in a row".to_owned(),
        (_, Some(bad)) => {
            let reason = bad.reason.as_deref().unwrap_or("no reason");
            format!("{} {} ({reason}): {}", bad.check, bad.verdict, bad.detail)
        }
        (_, None) => "the checks did not pass often enough in a row".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn run(verdicts: &[&str]) -> Vec<Verdict> {
        verdicts
            .iter()
            .map(|verdict| Verdict {
                check: "rocm-smi".into(),
                verdict: (*verdict).into(),
                reason: None,
                detail: String::new(),
                started_at: Timestamp::UNIX_EPOCH,
            })
            .collect()
    }

    fn check(runs: &[&[&str]], expected: Option<Proof>) {
        let terms = ProofTerms {
            of: ProofOf::Gpu,
            passes: 3,
            failures: 3,
            gap_seconds: 0,
            driver: false,
            load_test: None,
            expected: None,
            after: Timestamp::UNIX_EPOCH,
        };
        let mut tally = Tally::default();
        for verdicts in runs {
            tally.count(&run(verdicts));
        }
        assert_eq!(tally.verdict(&terms), expected, "{runs:?}");
    }

    #[test]
    fn three_in_a_row_prove_or_disprove_and_unknown_does_neither() {
        const P: &[&str] = &["passed", "passed"];
        const F: &[&str] = &["passed", "failed"];
        const U: &[&str] = &["passed", "unknown"];
        check(&[P, P], None);
        check(&[P, P, P], Some(Proof::Passed));
        check(&[F, F, F], Some(Proof::Failed));
        check(&[P, P, F, P, P], None);
        check(&[F, F, P, F, F], None);
        check(&[U, U, U, U], None);
        check(&[P, U, P, U, P], Some(Proof::Passed));
        check(&[&[], &[], &[]], None);
    }
}
