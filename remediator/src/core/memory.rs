//! What earlier repairs tell about the next one. An episode that completed a rung and ended Healed
//! shows which rung healed it. A node whose checks pass whenever its alert fires shows that the
//! alert and the checks do not agree, so a person decides which is right. A node that was released
//! by hand or went to a person shows neither.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{PastEpisode, Phase, Rung};
use super::why::{Reason, Why};

/// A fault that returns within this time was not fixed by the rung that seemed to heal it.
const RELAPSE: Duration = Duration::from_secs(24 * 3600);
/// After this number of repairs within [`WEEK`] that each healed the node, the next one goes to a
/// person.
const HEALED_TOO_OFTEN: usize = 2;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// After this number of alerts within [`RELAPSE`] whose every check passed, the next one goes
/// to a person.
const PASSED_TOO_OFTEN: usize = 2;

/// Returns the rung to begin with when `asked` is asked for now, and the reason if it is higher.
pub fn entry(history: &[PastEpisode], asked: Rung, now: Timestamp) -> (Rung, Option<Reason>) {
    let completed = |past: &&PastEpisode| past.attempts.iter().any(|attempt| attempt.passed);
    let healed = || history.iter().filter(|past| past.outcome == Phase::Healed).filter(completed);
    let within = |past: &&PastEpisode, time: Duration| {
        now.duration_since(past.ended_at) <= jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX)
    };
    let this_week = healed().filter(|past| within(past, WEEK)).count();
    if this_week >= HEALED_TOO_OFTEN && asked < Rung::Manual {
        let text = format!("{this_week} repairs within 7 days healed it, and it fails again");
        return (Rung::Manual, Some(Reason::new(Why::Relapse, text)));
    }
    let passed = |past: &&PastEpisode| (past.outcome, past.why.why) == (Phase::Recovered, Why::ProofPassed);
    let today = history.iter().filter(passed).filter(|past| within(past, RELAPSE)).count();
    if today >= PASSED_TOO_OFTEN && asked < Rung::Manual {
        let text = format!("its checks passed during {today} alerts within 24 h, and an alert fires again");
        return (Rung::Manual, Some(Reason::new(Why::ChecksDisagree, text)));
    }
    let relapse = healed().rfind(|past| within(past, RELAPSE)).map(|past| (past, above(past.rung)));
    match relapse {
        Some((past, rung)) if rung > asked => {
            let text = format!("a {} healed it less than 24 h ago, and it fails again", past.rung);
            (rung, Some(Reason::new(Why::Relapse, text)))
        }
        _ => (asked, None),
    }
}

fn above(rung: Rung) -> Rung {
    match rung {
        Rung::Reboot => Rung::Reimage,
        Rung::Reimage | Rung::Manual => Rung::Manual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Attempt;

    const HOUR: i64 = 3600;

    fn past(ended_at: i64, rung: Rung, outcome: Phase) -> PastEpisode {
        let at = |second| Timestamp::from_second(second).unwrap();
        let why = Reason::new(Why::ProofPassed, "passed");
        PastEpisode {
            number: 1,
            started_at: at(ended_at - 60),
            ended_at: at(ended_at),
            rung,
            outcome,
            why,
            pool: None,
            attempts: vec![Attempt { rung, at: at(ended_at), passed: outcome == Phase::Healed }],
            slowest_boot_seconds: None,
            by_person: false,
            mailed: false,
        }
    }

    fn check(history: &[PastEpisode], now: i64, expected: Rung) {
        let now = Timestamp::from_second(now).unwrap();
        assert_eq!(entry(history, Rung::Reboot, now).0, expected, "{history:#?}");
    }

    #[test]
    fn a_relapse_within_a_day_begins_one_rung_higher() {
        let reboot = past(0, Rung::Reboot, Phase::Healed);
        check(&[], 2 * HOUR, Rung::Reboot);
        check(std::slice::from_ref(&reboot), 2 * HOUR, Rung::Reimage);
        check(std::slice::from_ref(&reboot), 24 * HOUR, Rung::Reimage);
        check(std::slice::from_ref(&reboot), 24 * HOUR + 1, Rung::Reboot);
        check(&[past(0, Rung::Reimage, Phase::Healed)], HOUR, Rung::Manual);
    }

    #[test]
    fn the_third_repair_within_a_week_goes_to_a_person() {
        let two = [past(0, Rung::Reboot, Phase::Healed), past(48 * HOUR, Rung::Reboot, Phase::Healed)];
        check(&two, 6 * 24 * HOUR, Rung::Manual);
        check(&two, 8 * 24 * HOUR, Rung::Reboot);
    }

    #[test]
    fn an_episode_that_shows_nothing_is_not_remembered() {
        let why = Reason::new(Why::ComplaintResolved, "resolved");
        for outcome in [Phase::Recovered, Phase::Released, Phase::NodeGone] {
            let past = PastEpisode { why: why.clone(), ..past(0, Rung::Reboot, outcome) };
            check(&[past.clone(), past], HOUR, Rung::Reboot);
        }
    }

    #[test]
    fn the_third_alert_within_a_day_whose_checks_pass_goes_to_a_person() {
        let [first, second] = [0, HOUR].map(|at| past(at, Rung::Reboot, Phase::Recovered));
        check(std::slice::from_ref(&first), 2 * HOUR, Rung::Reboot);
        check(&[first.clone(), second.clone()], 24 * HOUR, Rung::Manual);
        check(&[first, second], 24 * HOUR + 1, Rung::Reboot);
    }

    #[test]
    fn an_episode_that_completed_no_rung_is_not_remembered() {
        let proven = PastEpisode { attempts: vec![], ..past(0, Rung::Reboot, Phase::Healed) };
        check(&[proven.clone(), proven], HOUR, Rung::Reboot);
    }

    #[test]
    fn memory_never_lowers_the_rung() {
        let now = Timestamp::from_second(HOUR).unwrap();
        let history = [past(0, Rung::Reboot, Phase::Healed)];
        assert_eq!(entry(&history, Rung::Manual, now), (Rung::Manual, None));
    }
}
