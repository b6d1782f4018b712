//! The verdict of a site's load test, the last part of a proof: only a test that ran and failed is
//! a failure. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::host::ScriptOutcome;
use super::redact::redact;
use crate::core::record::Verdict;

/// Limit of its output in the verdict, in characters.
const SAID: usize = 500;
/// Exit statuses of a shell for a program that could not be started, and what it adds to the number
/// of a signal that ended one. Source: bash(1), "EXIT STATUS".
const NOT_BEGUN: [i32; 2] = [126, 127];
const SIGNALS: i32 = 128;

/// Returns the verdict of a load test. `given`: the time that it had; `wanted`: the time that the
/// policy gives it.
pub fn verdict(outcome: Result<ScriptOutcome, String>, given: Duration, wanted: Duration, at: Timestamp) -> Verdict {
    let (verdict, reason, detail) = match outcome {
        Ok(outcome) if outcome.exit_status == Some(0) => ("passed", None, outcome.tail),
        Ok(outcome) if outcome.too_long && given < wanted => {
            let detail = format!("the proof's deadline stopped the load test after {} s", given.as_secs());
            ("unknown", Some("load-test-cut-off"), detail)
        }
        Ok(outcome) if outcome.too_long => {
            ("failed", Some("load-test-too-long"), format!("timed out after {} s: {}", wanted.as_secs(), outcome.tail))
        }
        Ok(outcome) if outcome.exit_status.is_some_and(|status| NOT_BEGUN.contains(&status)) => {
            ("unknown", Some("load-test-not-begun"), format!("its program could not be started: {}", outcome.tail))
        }
        Ok(ScriptOutcome { exit_status: Some(status), tail, .. }) if status > SIGNALS => {
            ("unknown", Some("load-test-ended"), format!("signal {} ended it: {tail}", status - SIGNALS))
        }
        Ok(ScriptOutcome { exit_status: Some(status), tail, .. }) => {
            ("failed", Some("load-test-failed"), format!("status {status}: {tail}"))
        }
        Ok(outcome) => ("unknown", Some("load-test-ended"), format!("its exit status is unknown: {}", outcome.tail)),
        Err(error) => ("unknown", Some("load-test-not-begun"), error),
    };
    Verdict::of("load-test", (verdict, reason), redact(&detail).chars().take(SAID).collect(), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_that_ran_and_failed_is_a_failure() {
        let ended = |exit_status, too_long| {
            Ok(ScriptOutcome { exit_status, too_long, tail: "said".into(), output: String::new() })
        };
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
        for (outcome, given, expected) in [
            (ended(Some(0), false), long, "passed"),
            (ended(Some(1), false), long, "failed"),
            (ended(None, true), long, "failed"),
            (ended(None, true), short, "unknown"),
            (ended(Some(127), false), long, "unknown"),
            (ended(Some(137), false), long, "unknown"),
            (ended(None, false), long, "unknown"),
            (Err("no systemd".to_owned()), long, "unknown"),
        ] {
            let said = verdict(outcome.clone(), given, long, Timestamp::UNIX_EPOCH);
            assert_eq!(said.verdict, expected, "{outcome:?}");
        }
    }
}
