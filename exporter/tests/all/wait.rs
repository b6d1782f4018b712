//! Polling for a condition with a deadline; the tests and the benchmark share it.

use std::time::{Duration, Instant};

/// Far longer than anything here takes; a test that reaches it fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until there is a value, and returns it.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
