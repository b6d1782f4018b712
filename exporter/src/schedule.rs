//! Pure: when a check runs. Each node has its own slot of the interval, by a hash of its name, so that a fleet does not ask one
//! network target at once, and a restarted exporter keeps the slot: restarting it never adds runs. Reads no clock.

use crate::verdict::Check;
use jiff::Timestamp;
use std::time::Duration;

/// FNV-1a. Written out because the slot of a node must be the same in every release of the compiler.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The place of a node's check in its interval: at least zero, below the interval.
pub fn offset(node: &str, check: Check, interval: Duration) -> Duration {
    // The high bits: the low ones of FNV-1a differ little between names that end alike.
    let share = (hash(&[node, check.as_str()]) >> 11) as f64 / (1u64 << 53) as f64;
    interval.mul_f64(share)
}

/// How long to wait for the next slot: slots lie at `offset` after each multiple of the interval since 1970. Never longer than one and
/// a half intervals, whatever the wall clock does. A slot less than half an interval after the start of the previous run is left out:
/// it is the same slot seen twice by a clock that was set back.
pub fn wait(now: Timestamp, interval: Duration, offset: Duration, since_previous: Option<Duration>) -> Duration {
    let interval_nanos = interval.as_nanos().max(1) as i128;
    let past = (now.as_nanosecond() - offset.as_nanos() as i128).rem_euclid(interval_nanos);
    let until = Duration::from_nanos(u64::try_from(interval_nanos - past).unwrap_or(u64::MAX));
    match since_previous {
        Some(since) if since + until < interval / 2 => until + interval,
        _ => until,
    }
}

/// Two graces of at most this long follow the deadline: one for SIGTERM, one for SIGKILL.
const LONGEST_GRACE: Duration = Duration::from_secs(1);

/// The time of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Until SIGTERM.
    pub deadline: Duration,
    /// From SIGTERM to SIGKILL, and again from there to giving up.
    pub grace: Duration,
}

/// The whole of a run, graces included, stays within its interval.
pub fn budget(timeout: Duration, interval: Duration) -> Budget {
    let grace = (interval / 10).min(LONGEST_GRACE);
    Budget { deadline: timeout.min(interval - grace * 2), grace }
}

/// The server port of a run. A server process serves one client at a time: nodes start at different ports of the range, and a node that
/// met a busy one meets another the next time.
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
