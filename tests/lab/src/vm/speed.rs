//! How fast this machine emulates others. The first boot measures it, and every deadline and wait is scaled by it: a story fails
//! for what happens, not for how fast the emulator is.

use std::sync::OnceLock;
use std::time::Duration;

/// What two machines that boot side by side need to become nodes where the deadlines were chosen.
const USUAL: Duration = Duration::from_secs(90);
/// A machine that is slower than this shows nothing any more.
const SLOWEST: f64 = 6.0;

static FACTOR: OnceLock<f64> = OnceLock::new();

/// How much slower this machine is, from the time that its first boot took. Never below 1: a faster one needs no shorter times.
fn factor(first_boot: Duration) -> f64 {
    (first_boot.as_secs_f64() / USUAL.as_secs_f64()).clamp(1.0, SLOWEST)
}

/// Takes the measure of the first boot; later ones change nothing.
pub fn measure(first_boot: Duration) -> f64 {
    *FACTOR.get_or_init(|| factor(first_boot))
}

/// A time that was chosen for the usual machine, on this one.
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
