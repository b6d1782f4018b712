//! The speed of emulation on this machine. The first boot measures it, and every deadline and wait
//! is scaled by it, so that no story fails because the emulator is slow.

use std::sync::OnceLock;
use std::time::Duration;

/// The time that two machines need to become nodes, on the machine for which the deadlines were
/// chosen.
const USUAL: Duration = Duration::from_secs(90);
/// The largest factor: on a slower machine the stories are meaningless.
const SLOWEST: f64 = 6.0;

static FACTOR: OnceLock<f64> = OnceLock::new();

/// The factor by which this machine is slower, from the duration of its first boot. It is at least
/// 1: a faster machine needs no shorter times.
fn factor(first_boot: Duration) -> f64 {
    (first_boot.as_secs_f64() / USUAL.as_secs_f64()).clamp(1.0, SLOWEST)
}

/// Measures with the first boot; later calls change nothing.
pub fn measure(first_boot: Duration) -> f64 {
    *FACTOR.get_or_init(|| factor(first_boot))
}

/// Scales a time that was chosen for the usual machine.
pub fn scaled(usual: Duration) -> Duration {
    usual.mul_f64(FACTOR.get().copied().unwrap_or(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_machine_has_longer_times_and_a_faster_one_the_same() {
        let seconds = Duration::from_secs;
        for (boot, expected) in [(40, 1.0), (90, 1.0), (180, 2.0), (2000, SLOWEST)] {
            assert!((factor(seconds(boot)) - expected).abs() < 1e-9, "{boot}");
        }
    }
}
