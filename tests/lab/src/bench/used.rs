//! Resource usage of the lab's processes, read from /proc.

use anyhow::{Context, Result, ensure};

use crate::process;

/// Clock ticks per second in /proc/PID/stat (`getconf CLK_TCK`, the same on every Linux that we run
/// on).
const TICKS: f64 = 100.0;

/// Resident memory of the largest of these processes, in MiB.
pub fn resident(which: impl Fn(&str) -> bool) -> Result<f64> {
    let mut most = 0.0_f64;
    for status in process::texts_of(which, "status") {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS")?;
        most = most.max(kilobytes / 1024.0);
    }
    ensure!(most > 0.0, "no such process");
    Ok(most)
}

/// Seconds of CPU time of each of these processes.
pub fn processor_seconds(which: impl Fn(&str) -> bool) -> Result<Vec<f64>> {
    let seconds = process::texts_of(which, "stat").into_iter().map(|stat| {
        // The name is in parentheses; then follow the state, 10 other fields, user time and system
        // time.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok()).context("/proc/PID/stat");
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    });
    seconds.collect()
}
