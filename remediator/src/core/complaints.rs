//! The complaint board of a node: how alerts become complaints, and which repair they ask for.

use jiff::Timestamp;

use super::record::{Ask, Complaint, Rung};

/// Limit of complaints per node. More alerts than this on one node tell nothing new.
pub const BOARD_SIZE: usize = 32;

/// Adds received complaints to the board. One alert (by fingerprint) is one complaint; an older
/// state of an alert changes nothing. When the board is full, the longest resolved go first, then
/// the oldest.
pub fn receive(board: &[Complaint], received: impl IntoIterator<Item = Complaint>) -> Vec<Complaint> {
    let mut next = board.to_vec();
    for complaint in received {
        match next.iter_mut().find(|known| known.fingerprint == complaint.fingerprint) {
            Some(known) if complaint.since >= known.since => {
                // A poll knows only the address that we ask, which may be of no use to a person.
                let external_url = complaint.external_url.clone().or(known.external_url.take());
                *known = Complaint { external_url, ..complaint };
            }
            Some(_) => {}
            None => next.push(complaint),
        }
    }
    if next.len() > BOARD_SIZE {
        next.sort_by_key(|complaint| (!complaint.firing, std::cmp::Reverse(complaint.seen)));
        next.truncate(BOARD_SIZE);
    }
    next
}

/// De-duplicates the alerts of one delivery by fingerprint. The later `since` wins; for the same
/// `since`, resolved wins over firing, because a firing ends only once.
pub fn hear(received: &mut Vec<Complaint>, complaint: Complaint) {
    match received.iter_mut().find(|known| known.fingerprint == complaint.fingerprint) {
        Some(known) if (complaint.since, !complaint.firing) > (known.since, !known.firing) => *known = complaint,
        Some(_) => {}
        None => received.push(complaint),
    }
}

/// The end of the last episode, and until when alerts that began before it are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastEnd {
    pub at: Timestamp,
    pub grace_ends: Timestamp,
}

/// Whether a complaint counts: it fires, and it began after the last end or was received after the
/// grace. An older firing may have ended with its `resolved` lost, so it starts nothing.
fn count(complaint: &Complaint, last: Option<LastEnd>) -> bool {
    complaint.firing && last.is_none_or(|last| complaint.since > last.at || complaint.seen >= last.grace_ends)
}

/// Whether a complaint fires, even one that does not count yet.
pub fn fires(board: &[Complaint], network: bool) -> bool {
    board.iter().any(|complaint| complaint.firing && complaint.ask.rung().is_none() == network)
}

/// Returns the complaint that asks for the highest rung; of several, the one that has fired
/// longest.
pub fn asked(board: &[Complaint], last: Option<LastEnd>) -> Option<(Rung, &Complaint)> {
    board
        .iter()
        .filter(|complaint| count(complaint, last))
        .filter_map(|complaint| complaint.ask.rung().map(|rung| (rung, complaint)))
        .max_by_key(|(rung, complaint)| (*rung, std::cmp::Reverse(complaint.since)))
}

/// Returns the network complaint that counts; of several, the one that has fired longest.
pub fn slow(board: &[Complaint], last: Option<LastEnd>) -> Option<&Complaint> {
    board
        .iter()
        .filter(|complaint| complaint.ask == Ask::SlowNetwork && count(complaint, last))
        .min_by_key(|complaint| complaint.since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn complaint(fingerprint: &str, ask: Ask, since: i64, firing: bool) -> Complaint {
        Complaint {
            fingerprint: fingerprint.into(),
            ask,
            check: "rocm-smi".into(),
            since: at(since),
            seen: at(since + 1),
            firing,
            summary: String::new(),
            labels: Default::default(),
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        }
    }

    #[test]
    fn the_same_alert_is_one_complaint() {
        let board = receive(&[], [complaint("a", Ask::Reboot, 10, true)]);
        let board = receive(&board, [complaint("a", Ask::Reboot, 10, false)]);
        assert_eq!(board.len(), 1);
        assert!(!board[0].firing);
    }

    #[test]
    fn two_states_of_an_alert_in_one_delivery_become_one() {
        let firing = |since| complaint("a", Ask::Reboot, since, true);
        let over = |since| complaint("a", Ask::Reboot, since, false);
        for (one, other, expected) in [(firing(10), over(10), over(10)), (over(10), firing(20), firing(20))] {
            for received in [[one.clone(), other.clone()], [other.clone(), one.clone()]] {
                let mut heard = Vec::new();
                received.into_iter().for_each(|complaint| hear(&mut heard, complaint));
                assert_eq!(heard, std::slice::from_ref(&expected));
            }
        }
    }

    #[test]
    fn a_late_state_of_an_earlier_firing_changes_nothing() {
        let board = receive(&[], [complaint("a", Ask::Reboot, 20, true)]);
        assert!(receive(&board, [complaint("a", Ask::Reboot, 10, false)])[0].firing);
    }

    #[test]
    fn the_highest_rung_wins() {
        let board = [complaint("a", Ask::Reboot, 1, true), complaint("b", Ask::Manual, 2, true)];
        assert_eq!(asked(&board, None).map(|(rung, _)| rung), Some(Rung::Manual));
    }

    #[test]
    fn an_old_alert_counts_again_only_after_the_grace() {
        let last = |end| Some(LastEnd { at: at(end), grace_ends: at(end + 600) });
        let told_at = |seen| [Complaint { seen: at(seen), ..complaint("a", Ask::Reboot, 10, true) }];
        assert!(asked(&told_at(11), last(20)).is_none());
        assert!(asked(&told_at(619), last(20)).is_none());
        assert!(asked(&told_at(620), last(20)).is_some());
        assert!(asked(&told_at(11), last(5)).is_some());
    }

    #[test]
    fn a_resolved_complaint_asks_for_nothing() {
        assert!(asked(&[complaint("a", Ask::Reboot, 10, false)], None).is_none());
        assert!(slow(&[complaint("a", Ask::SlowNetwork, 10, false)], None).is_none());
    }

    #[test]
    fn a_full_board_keeps_what_fires() {
        let resolved = (0..40).map(|n| complaint(&format!("r{n}"), Ask::Reboot, n, false));
        let board = receive(&receive(&[], resolved), [complaint("f", Ask::Reboot, 0, true)]);
        assert_eq!(board.len(), BOARD_SIZE);
        assert!(board.iter().any(|complaint| complaint.firing));
    }
}
