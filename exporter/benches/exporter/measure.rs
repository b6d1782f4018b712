//! Times of things, as people read them.

use std::fmt;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Long enough that the clock's grain does not matter.
const ENOUGH: Duration = Duration::from_millis(300);

/// Mean seconds of one call.
pub fn mean<T>(mut call: impl FnMut() -> T) -> f64 {
    for _ in 0..3 {
        black_box(call());
    }
    let (begun, mut calls) = (Instant::now(), 0u32);
    while begun.elapsed() < ENOUGH {
        black_box(call());
        calls += 1;
    }
    begun.elapsed().as_secs_f64() / f64::from(calls)
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

    /// Of p50 and of p99.
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
