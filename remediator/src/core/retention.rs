//! The retention of a record after its last change.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::Record;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// A record of an existing node is stored for this time.
const KEPT: Duration = DAY.saturating_mul(30);
/// A record of a deleted node is stored for this time: the node may come back under its name.
const KEPT_GONE: Duration = DAY.saturating_mul(7);

/// Whether the record may be deleted: nothing in it is open, and its last entry is old enough.
pub fn is_due(record: &Record, node_exists: bool, now: Timestamp) -> bool {
    let repair = &record.repair;
    let open = repair.episode.as_ref().is_some_and(|episode| !episode.phase.is_over())
        || repair.network.as_ref().is_some_and(|track| !track.phase.is_over())
        || record.complaints.iter().any(|complaint| complaint.firing)
        || record.order.is_some();
    let last = repair
        .history
        .iter()
        .map(|past| past.ended_at)
        .chain(repair.network.as_ref().map(|track| track.since))
        .chain(record.complaints.iter().map(|complaint| complaint.seen))
        .max();
    let kept = SignedDuration::try_from(if node_exists { KEPT } else { KEPT_GONE }).unwrap_or(SignedDuration::MAX);
    !open && last.is_some_and(|last| now.duration_since(last) > kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::{PastEpisode, Phase, Repair, Rung};
    use crate::core::why::{Reason, Why};

    fn record(ended: Timestamp) -> Record {
        let past = PastEpisode {
            number: 1,
            started_at: ended,
            ended_at: ended,
            rung: Rung::Reboot,
            outcome: Phase::Healed,
            why: Reason::new(Why::ProofPassed, "passed"),
            pool: None,
            attempts: vec![],
            slowest_boot_seconds: None,
            by_person: false,
            mailed: false,
        };
        Record { repair: Repair { history: vec![past], ..Repair::default() }, ..Record::default() }
    }

    #[test]
    fn a_record_lives_a_month_and_a_week_without_its_node() {
        let day = |day: i64| Timestamp::from_second(day * 24 * 3600).unwrap();
        let due = |exists, now| is_due(&record(day(0)), exists, day(now));
        assert_eq!([due(true, 30), due(true, 31), due(false, 7), due(false, 8)], [false, true, false, true]);
        assert!(!is_due(&Record::default(), true, day(100)), "a record that was just created");
    }
}
