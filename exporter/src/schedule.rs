//! Schedule of the checks. A hash of the node's name gives each node its own slot in the interval,
//! so that a fleet does not test one network server at the same moment. A restarted exporter keeps
//! the slot: a restart never adds runs. Pure: it reads no clock.

use crate::verdict::Check;
use jiff::Timestamp;
use std::time::Duration;

/// FNV-1a. Written out because a node's slot must be the same with every compiler release.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Returns the offset of a node's check in its interval: at least zero, below the interval.
pub fn offset(node: &str, check: Check, interval: Duration) -> Duration {
    // Use the high bits: the low bits of FNV-1a differ little between names with the same end.
    let share = (hash(&[node, check.as_str()]) >> 11) as f64 / (1u64 << 53) as f64;
    interval.mul_f64(share)
}

/// Returns the time until the next slot. Slots start `offset` after each multiple of the interval
/// since 1970. The result never exceeds one and a half intervals, whatever the wall clock does. A
/// slot less than half an interval after the previous start is skipped: it is the same slot, and
/// the clock was set back.
pub fn wait(now: Timestamp, interval: Duration, offset: Duration, since_previous: Option<Duration>) -> Duration {
    let interval_nanos = interval.as_nanos().max(1) as i128;
    let past = (now.as_nanosecond() - offset.as_nanos() as i128).rem_euclid(interval_nanos);
    let until = Duration::from_nanos(u64::try_from(interval_nanos - past).unwrap_or(u64::MAX));
    match since_previous {
        Some(since) if since + until < interval / 2 => until + interval,
        _ => until,
    }
}

/// Longest grace period. Two follow the deadline: one for SIGTERM, one for SIGKILL.
const LONGEST_GRACE: Duration = Duration::from_secs(1);

/// Time limits of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Until SIGTERM.
    pub deadline: Duration,
    /// From SIGTERM to SIGKILL, and from SIGKILL until the run gives up.
    pub grace: Duration,
}

/// Returns the limits of a run. The whole run, grace periods included, fits in its interval.
pub fn budget(timeout: Duration, interval: Duration) -> Budget {
    let grace = (interval / 10).min(LONGEST_GRACE);
    Budget { deadline: timeout.min(interval - grace * 2), grace }
}

/// Returns which of `count` servers run number `run` of this node begins with.
pub fn turn(node: &str, count: usize, run: u64) -> usize {
    let count = u64::try_from(count).unwrap_or(1).max(1);
    usize::try_from((hash(&[node]) % count + run % count) % count).unwrap_or_default()
}

/// Returns the server port of a run. A server process serves one client at a time: nodes start at
/// different ports of the range, and the next run of a node uses another port.
pub fn port(node: &str, ports: (u16, u16), run: u64) -> u16 {
    let (first, last) = ports;
    let count = u64::from(last.saturating_sub(first)) + 1;
    let step = (hash(&[node]) % count + run % count) % count;
    u16::try_from(u64::from(first) + step).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(milliseconds).unwrap()
    }

    #[test]
    fn slots_of_a_fleet_fill_the_interval_evenly() {
        let mut tenths = [0u32; 10];
        for node in 0..1000 {
            let offset = offset(&format!("gpu-{node:03}"), Check::Network, INTERVAL);
            tenths[(offset.as_secs_f64() / 3.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (60..140).contains(count)), "{tenths:?}");
    }

    #[test]
    fn checks_of_one_node_have_slots_of_their_own() {
        let slots = Check::ALL.map(|check| offset("gpu-017", check, INTERVAL));
        assert!(slots[0] != slots[1] && slots[1] != slots[2] && slots[0] != slots[2], "{slots:?}");
    }

    #[test]
    fn the_slot_is_the_same_after_a_restart() {
        let offset = Duration::from_secs(7);
        assert_eq!(wait(at(60_000), INTERVAL, offset, None), Duration::from_secs(7));
        assert_eq!(wait(at(66_000), INTERVAL, offset, None), Duration::from_secs(1));
        assert_eq!(wait(at(67_000), INTERVAL, offset, None), INTERVAL);
    }

    #[test]
    fn a_clock_set_back_does_not_run_a_slot_twice() {
        let offset = Duration::from_secs(7);
        let since = Some(Duration::from_millis(3));
        assert_eq!(wait(at(66_998), INTERVAL, offset, since), INTERVAL + Duration::from_millis(2));
        assert!(wait(at(-5_000_000_000), INTERVAL, offset, Some(INTERVAL)) <= INTERVAL);
    }

    #[test]
    fn a_run_with_its_graces_fits_its_interval() {
        for seconds in [0.2, 1.0, 2.0, 5.0, 12.0, 30.0, 300.0] {
            let interval = Duration::from_secs_f64(seconds);
            let budget = budget(Duration::from_secs(10), interval);
            assert!(budget.deadline + budget.grace * 2 <= interval, "{interval:?} {budget:?}");
            assert!(budget.deadline <= Duration::from_secs(10));
        }
    }

    #[test]
    fn a_node_goes_through_all_ports() {
        let mut ports: Vec<u16> = (0..10).map(|run| port("gpu-017", (5201, 5210), run)).collect();
        ports.sort_unstable();
        assert_eq!(ports, (5201..=5210).collect::<Vec<_>>());
        assert_eq!(port("gpu-017", (5201, 5201), 7), 5201);
    }
}
