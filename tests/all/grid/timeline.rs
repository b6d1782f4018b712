//! Timeline of one simulated node: what its exporter exposes at each scrape, and when an alert is
//! due. Contains no PromQL.

/// The check's interval, in seconds.
pub const INTERVAL: i64 = 30;
/// Number of strikes that ask for a repair.
const STRIKES: u32 = 3;
/// A count is fresh while its last run is younger than this number of intervals.
const FRESH_INTERVALS: i64 = 10;
/// Prometheus' lookback for a sample, in seconds.
const LOOKBACK: i64 = 300;
/// Seconds that the exporter is down for a restart or a reboot.
const RESTART: i64 = 4;
const REBOOT: i64 = 75;
/// Seconds without a run after the last one, so that the count becomes stale.
pub const TAIL: i64 = 360;

/// An event within a check interval, or between two intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    Failed,
    Passed,
    /// A run that is neither a strike nor a pass.
    Unknown,
    /// The exporter restarts after the last run; its count survives.
    Restart,
    /// The node reboots; the count starts at zero.
    Reboot,
}

/// The result of one scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// The count, the time of the last run (if this boot had one), and the number of failures since
    /// the exporter started. No rule reads that last number; a plausible wrong expression would.
    Shown { count: u32, last_run: Option<i64>, failures: u32 },
    /// The target is down: Prometheus marks its series stale.
    Stale,
    /// No scrape happened at all, because Prometheus itself was down.
    Missing,
}

/// The exporter's samples over time: the last change at or before a time applies.
#[derive(Debug, Clone)]
pub struct Timeline {
    changes: Vec<(i64, Sample)>,
    /// The time at which the last event has finished.
    pub end: i64,
}

impl Timeline {
    /// Builds the timeline of these events; the first run begins at `phase` seconds.
    pub fn play(events: &[Event], phase: i64) -> Self {
        let (mut count, mut last_run, mut failures) = (0, None, 0);
        let mut changes = vec![(0, Sample::Shown { count, last_run, failures })];
        let (mut slot, mut away_until, mut latest) = (phase, 0, phase);
        for event in events {
            match event {
                Event::Restart | Event::Reboot => {
                    let down = latest + 1;
                    let up = down + if *event == Event::Restart { RESTART } else { REBOOT };
                    failures = 0;
                    if *event == Event::Reboot {
                        (count, last_run) = (0, None);
                    }
                    changes.push((down, Sample::Stale));
                    changes.push((up, Sample::Shown { count, last_run, failures }));
                    away_until = up;
                    latest = up;
                }
                run => {
                    while slot < away_until {
                        slot += INTERVAL;
                    }
                    match run {
                        Event::Failed => (count, failures) = (count + 1, failures + 1),
                        Event::Passed => count = 0,
                        _ => {}
                    }
                    last_run = Some(slot);
                    changes.push((slot, Sample::Shown { count, last_run, failures }));
                    latest = slot;
                    slot += INTERVAL;
                }
            }
        }
        Self { changes, end: latest }
    }

    /// Whether there were ever three strikes in a row.
    pub fn strikes(&self) -> bool {
        self.changes.iter().any(|(_, sample)| matches!(sample, Sample::Shown { count: STRIKES.., .. }))
    }

    fn at(&self, time: i64) -> Sample {
        self.changes.iter().rev().find(|(since, _)| *since <= time).map_or(Sample::Stale, |(_, sample)| *sample)
    }

    /// Results of the scrapes at the multiples of `scrape`, up to `until`.
    pub fn scraped(&self, scrape: i64, until: i64) -> Vec<Sample> {
        (0..=until / scrape).map(|n| self.at(n * scrape)).collect()
    }
}

/// The count that a due alert shows at `time`: the newest sample is fresh and at least three.
pub fn due(samples: &[Sample], scrape: i64, time: i64) -> Option<u32> {
    let newest = (0..=time / scrape).rev().find_map(|n| {
        let sample = samples.get(usize::try_from(n).unwrap()).copied().unwrap_or(Sample::Missing);
        (sample != Sample::Missing).then_some((n * scrape, sample))
    });
    match newest {
        Some((at, Sample::Shown { count, last_run: Some(last_run), .. }))
            if time - at < LOOKBACK && count >= STRIKES && time - last_run < FRESH_INTERVALS * INTERVAL =>
        {
            Some(count)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Event::{Failed, Reboot, Restart};
    use super::*;

    #[test]
    fn a_restart_preserves_the_count_and_a_reboot_resets_it() {
        let end = |events: &[Event]| Timeline::play(events, 5).at(1_000);
        assert!(matches!(end(&[Failed, Failed, Restart, Failed]), Sample::Shown { count: 3, .. }));
        assert!(matches!(end(&[Failed, Failed, Reboot, Failed]), Sample::Shown { count: 1, .. }));
    }

    #[test]
    fn an_alert_is_due_from_the_third_strike_until_it_is_stale() {
        let samples = Timeline::play(&[Failed, Failed, Failed], 0).scraped(15, 600);
        assert_eq!(due(&samples, 15, 45), None);
        assert_eq!(due(&samples, 15, 60), Some(3));
        assert_eq!(due(&samples, 15, 359), Some(3));
        assert_eq!(due(&samples, 15, 360), None);
    }
}
