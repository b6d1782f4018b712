//! Time measurement of a call, and percentiles of many times. Knows no exporter.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Duration of one measurement.
const ENOUGH: Duration = Duration::from_millis(500);

/// Long enough that the clock's resolution does not matter, short enough that some batches run
/// undisturbed.
const BATCH: Duration = Duration::from_millis(5);

/// Returns the seconds of one call: the mean of the fastest batch. Other load on the host only
/// makes a batch slower.
pub fn seconds<T>(mut call: impl FnMut() -> T) -> f64 {
    let (begun, mut best) = (Instant::now(), f64::INFINITY);
    while begun.elapsed() < ENOUGH {
        let (batch, mut calls) = (Instant::now(), 0u32);
        while batch.elapsed() < BATCH {
            black_box(call());
            calls += 1;
        }
        best = best.min(batch.elapsed().as_secs_f64() / f64::from(calls));
    }
    best
}

/// Percentiles of many times.
pub struct Spread {
    pub p50: Duration,
    pub p99: Duration,
}

impl Spread {
    pub fn of(mut times: Vec<Duration>) -> Spread {
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
        Spread { p50: at(0.5), p99: at(0.99) }
    }

    /// Returns the ratios of p50 and of p99.
    pub fn share_of(&self, other: &Spread) -> (f64, f64) {
        let share = |one: Duration, two: Duration| one.as_secs_f64() / two.as_secs_f64();
        (share(self.p50, other.p50), share(self.p99, other.p99))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        write!(out, "p50 {:.0} us, p99 {:.0} us", micros(self.p50), micros(self.p99))
    }
}
