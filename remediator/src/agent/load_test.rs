//! The verdict of a site's load test, the last part of a proof: only a test that ran and failed is
//! a failure. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::host::ScriptOutcome;
use super::redact::redact;
use crate::core::record::Verdict;

/// Limit of its output in the verdict, in characters.
const SAID: usize = 500;
/// Exit statuses of systemd and shells for a command that could not be started. Source:
/// systemd.exec(5), "Process Exit Codes".
const NOT_BEGUN: [i32; 4] = [126, 127, 200, 203];

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
            ("unknown", Some("load-test-not-begun"), format!("it could not be started: {}", outcome.tail))
        }
        Ok(ScriptOutcome { exit_status: Some(status), tail, .. }) => {
            ("failed", Some("load-test-failed"), format!("status {status}: {tail}"))
        }
        Ok(outcome) => ("unknown", Some("load-test-ended"), format!("its exit status is unknown: {}", outcome.tail)),
        Err(error) => ("unknown", Some("load-test-not-begun"), error),
    };
    Verdict::of("load-test", (verdict, reason), redact(&detail).chars().take(SAID).collect(), at)
}

/// Escapes a command for systemd, which otherwise replaces everything that looks like a variable
/// before the site's own shell sees it.
///
/// Source: systemd.service(5), "Command Lines".
pub fn for_systemd(command: &[String]) -> Vec<String> {
    command.iter().map(|argument| argument.replace('$', "$$")).collect()
}

/// Returns the outcome of a unit from `Result`, `ExecMainCode` and `ExecMainStatus` of `systemctl
/// show`. Only an exit of its own, or a stop at the deadline, tells something about the node.
///
/// Source: systemd.service(5) and the D-Bus interface of units; a code of 1 is `CLD_EXITED` of
/// waitid(2).
pub fn of_unit(shown: &str, tail: String) -> ScriptOutcome {
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let exited = value("Result") == Some("exit-code") && value("ExecMainCode") == Some("1");
    let exit_status = value("ExecMainStatus").filter(|_| exited).and_then(|status| status.parse().ok());
    ScriptOutcome { exit_status, too_long: value("Result") == Some("timeout"), tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_a_site_reach_its_own_shell() {
        let said = for_systemd(&["/bin/bash".to_owned(), "-c".to_owned(), "test; rc=$?; exit ${rc}".to_owned()]);
        assert_eq!(said, ["/bin/bash", "-c", "test; rc=$$?; exit $${rc}"]);
    }

    #[test]
    fn a_systemd_failure_or_a_signal_is_no_exit_status() {
        for (shown, expected) in [
            ("Result=exit-code\nExecMainCode=1\nExecMainStatus=3\n", (Some(3), false)),
            ("Result=timeout\nExecMainCode=2\nExecMainStatus=15\n", (None, true)),
            ("Result=signal\nExecMainCode=2\nExecMainStatus=11\n", (None, false)),
            ("Result=oom-kill\nExecMainCode=2\nExecMainStatus=9\n", (None, false)),
            // No such unit.
            ("Result=success\nExecMainCode=0\nExecMainStatus=0\n", (None, false)),
            ("", (None, false)),
        ] {
            let outcome = of_unit(shown, String::new());
            assert_eq!((outcome.exit_status, outcome.too_long), expected, "{shown}");
        }
    }

    #[test]
    fn only_a_test_that_ran_and_failed_is_a_failure() {
        let ended = |exit_status, too_long| Ok(ScriptOutcome { exit_status, too_long, tail: "said".into() });
        let (short, long) = (Duration::from_secs(5), Duration::from_secs(60));
        for (outcome, given, expected) in [
            (ended(Some(0), false), long, "passed"),
            (ended(Some(1), false), long, "failed"),
            (ended(None, true), long, "failed"),
            (ended(None, true), short, "unknown"),
            (ended(Some(203), false), long, "unknown"),
            (ended(None, false), long, "unknown"),
            (Err("no systemd".to_owned()), long, "unknown"),
        ] {
            let said = verdict(outcome.clone(), given, long, Timestamp::UNIX_EPOCH);
            assert_eq!(said.verdict, expected, "{outcome:?}");
        }
    }
}
