//! Counter of consecutive failures. The alert rules read the count; the threshold is theirs. Pure:
//! no clock, no disk.

use crate::run::Run;
use crate::verdict::Verdict;
use jiff::Timestamp;
use std::time::Duration;

/// What triggered a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The interval of the check.
    Interval,
    /// The interval, during the boot grace: a failure is no strike, because drivers may still be
    /// loading. The grace ends with the first pass on this boot.
    BootGrace,
    /// A repair that needs a result now. A pass clears the strikes. A failure adds none: otherwise
    /// polling alone would fire the alert.
    Probe,
}

/// State of one check after its runs so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    pub consecutive_failures: u64,
    /// When the last of them was counted.
    pub last_strike: Option<Timestamp>,
    pub last_run: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Since the exporter started.
    pub runs_total: u64,
    pub failures_total: u64,
    /// The run that supplies the status and the values.
    pub latest: Option<Run>,
}

impl Standing {
    /// Returns the state in which strikes count whose last one is no older than `fresh`. Unknown
    /// runs between do not keep them young.
    pub fn unless_old(&self, now: Timestamp, fresh: Duration) -> Standing {
        let old =
            self.last_strike.or(self.last_run).is_some_and(|at| at.saturating_add(fresh).is_ok_and(|ends| ends < now));
        Standing { consecutive_failures: if old { 0 } else { self.consecutive_failures }, ..self.clone() }
    }

    /// Returns the state after one more run, which ended at `ended_at`. A failed or unknown probe
    /// changes nothing.
    pub fn after(&self, run: &Run, trigger: Trigger, ended_at: Timestamp) -> Standing {
        let mut next = self.clone();
        let verdict = run.verdict();
        if trigger != Trigger::Probe {
            next.runs_total += 1;
        } else if verdict != Verdict::Passed {
            return next;
        }
        match verdict {
            Verdict::Passed => {
                next.consecutive_failures = 0;
                next.last_success = Some(ended_at);
            }
            Verdict::Failed(_) => {
                let grace = trigger == Trigger::BootGrace && self.last_success.is_none();
                if !grace {
                    next.consecutive_failures += 1;
                    next.last_strike = Some(ended_at);
                }
                next.failures_total += 1;
            }
            Verdict::Unknown(_) => {}
        }
        next.last_run = Some(ended_at);
        next.latest = Some(Run { printed: None, ..run.clone() });
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Check, Fault, Judgement, Trouble};

    const FAIL: Verdict = Verdict::Failed(Fault::GpuMissing);
    const UNKNOWN: Verdict = Verdict::Unknown(Trouble::OwnTrouble);
    const PASS: Verdict = Verdict::Passed;

    fn run(verdict: Verdict) -> Run {
        Run {
            check: Check::RocmSmi,
            started_at: Timestamp::UNIX_EPOCH,
            seconds: 0.1,
            tool_ran: true,
            judgement: Judgement { verdict, detail: String::new() },
            facts: None,
            not_understood: Vec::new(),
            printed: None,
        }
    }

    fn after(verdicts: &[(Verdict, Trigger)]) -> Standing {
        let start = Standing::default();
        verdicts.iter().enumerate().fold(start, |standing, (second, (verdict, trigger))| {
            standing.after(&run(*verdict), *trigger, Timestamp::from_second(second as i64 + 1).unwrap())
        })
    }

    fn strikes(verdicts: &[Verdict]) -> u64 {
        let periodic: Vec<_> = verdicts.iter().map(|verdict| (*verdict, Trigger::Interval)).collect();
        after(&periodic).consecutive_failures
    }

    #[test]
    fn third_failure_in_a_row_counts_three() {
        assert_eq!(strikes(&[FAIL, FAIL, FAIL]), 3);
    }

    #[test]
    fn strikes_of_long_ago_start_again_at_zero() {
        let two = after(&[(FAIL, Trigger::Interval), (FAIL, Trigger::Interval)]);
        let later = |second| {
            let now = Timestamp::from_second(second).unwrap();
            two.unless_old(now, Duration::from_secs(300)).after(&run(FAIL), Trigger::Interval, now).consecutive_failures
        };
        assert_eq!((later(302), later(303)), (3, 1));
        let unknown = two.after(&run(UNKNOWN), Trigger::Interval, Timestamp::from_second(200).unwrap());
        let now = Timestamp::from_second(303).unwrap();
        assert_eq!(unknown.unless_old(now, Duration::from_secs(300)).consecutive_failures, 0);
    }

    #[test]
    fn a_pass_resets_the_strikes() {
        assert_eq!(strikes(&[FAIL, FAIL, PASS, FAIL, FAIL]), 2);
    }

    #[test]
    fn unknown_is_neither_a_strike_nor_a_pass() {
        assert_eq!(strikes(&[FAIL, UNKNOWN, FAIL, UNKNOWN, FAIL]), 3);
    }

    #[test]
    fn a_failure_in_the_boot_grace_is_no_strike_before_a_pass() {
        let grace = Trigger::BootGrace;
        let standing = after(&[(FAIL, grace), (FAIL, grace)]);
        assert_eq!((standing.consecutive_failures, standing.failures_total), (0, 2));
        assert_eq!(after(&[(FAIL, grace), (PASS, grace), (FAIL, grace)]).consecutive_failures, 1);
        assert_eq!(after(&[(FAIL, grace), (FAIL, Trigger::Interval)]).consecutive_failures, 1);
    }

    #[test]
    fn a_failed_probe_changes_nothing() {
        let before = after(&[(FAIL, Trigger::Interval)]);
        let probed = after(&[(FAIL, Trigger::Interval), (FAIL, Trigger::Probe), (UNKNOWN, Trigger::Probe)]);
        assert_eq!(before, probed);
    }

    #[test]
    fn a_passed_probe_resets_the_strikes_and_is_no_periodic_run() {
        let standing = after(&[(FAIL, Trigger::Interval), (FAIL, Trigger::Interval), (PASS, Trigger::Probe)]);
        assert_eq!((standing.consecutive_failures, standing.runs_total, standing.failures_total), (0, 2, 2));
        assert_eq!(standing.last_success, Timestamp::from_second(3).ok());
    }

    #[test]
    fn an_unknown_run_is_a_run_but_no_success() {
        let standing = after(&[(PASS, Trigger::Interval), (UNKNOWN, Trigger::Interval)]);
        assert_eq!(standing.last_success, Timestamp::from_second(1).ok());
        assert_eq!(standing.last_run, Timestamp::from_second(2).ok());
    }
}
