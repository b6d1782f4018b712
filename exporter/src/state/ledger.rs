//! Current state of all checks, in memory: the tasks write it, each for its own check, and the
//! pages read it. No I/O.

use crate::facts::Facts;
use crate::inventory::{Expected, PciGpu};
use crate::run::Run;
use crate::state::fabric::FabricPort;
use crate::state::run_dir::Pause;
use crate::strikes::Standing;
use crate::verdict::{Check, Verdict};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Number of network runs stored for a lookup by their start.
const NETWORK_RUNS: usize = 64;

/// Values of a run older than this many intervals are stale: the checks are paused or delayed.
const FRESH_INTERVALS: u32 = 3;

#[derive(Debug)]
pub struct Ledger {
    started_at: Timestamp,
    entries: RwLock<Entries>,
}

#[derive(Debug)]
struct Entries {
    intervals: BTreeMap<Check, Duration>,
    pci: Option<Vec<PciGpu>>,
    fabric: Vec<FabricPort>,
    reload: Reload,
    standings: BTreeMap<Check, Standing>,
    network_runs: VecDeque<Run>,
    pause: Pause,
    inventory_unreadable: bool,
    expected: Option<Expected>,
    /// Checks that have passed since the configuration was read.
    passed: BTreeSet<Check>,
}

/// Result of the latest attempt to read the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    pub successful: bool,
    /// When the active configuration was read.
    pub at: Timestamp,
}

/// Everything the pages show, at one point in time.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub now: Timestamp,
    /// Whether the page goes to a file, where an age would not grow.
    pub is_stored: bool,
    pub started_at: Timestamp,
    pub checks: Vec<CheckView>,
    pub pause: Pause,
    pub inventory_unreadable: bool,
    pub expected_gpus: Option<u32>,
    pub state_write_failures: u64,
    /// The GPUs on the PCI bus; `None` if sysfs could not be read.
    pub pci: Option<Vec<PciGpu>>,
    pub fabric: Vec<FabricPort>,
    pub reload: Reload,
}

/// One check in a snapshot.
#[derive(Debug, Clone)]
pub struct CheckView {
    pub check: Check,
    pub interval: Duration,
    pub standing: Standing,
    fresh: bool,
}

impl CheckView {
    /// Returns the facts of the latest run, unless they are stale.
    pub fn facts(&self) -> Option<&Facts> {
        self.standing.latest.as_ref()?.facts.as_ref().filter(|_| self.fresh)
    }

    /// Returns the same facts if that run passed: the values of a failed check are withdrawn.
    pub fn values(&self) -> Option<&Facts> {
        let passed = self.standing.latest.as_ref()?.verdict() == Verdict::Passed;
        self.facts().filter(|_| passed)
    }
}

impl Ledger {
    /// `checks` are the configured checks, with their intervals and their state before the restart.
    pub fn new(started_at: Timestamp, checks: impl IntoIterator<Item = (Check, Duration, Standing)>) -> Ledger {
        let (mut intervals, mut standings) = (BTreeMap::new(), BTreeMap::new());
        for (check, interval, standing) in checks {
            intervals.insert(check, interval);
            standings.insert(check, standing);
        }
        let entries = Entries {
            intervals,
            pci: None,
            fabric: Vec::new(),
            reload: Reload { successful: true, at: started_at },
            standings,
            network_runs: VecDeque::new(),
            pause: Pause::No,
            inventory_unreadable: false,
            expected: None,
            passed: BTreeSet::new(),
        };
        Ledger { started_at, entries: RwLock::new(entries) }
    }

    pub fn standing(&self, check: Check) -> Standing {
        self.read().standings.get(&check).cloned().unwrap_or_default()
    }

    pub fn set_standing(&self, check: Check, standing: Standing) {
        self.write().standings.insert(check, standing);
    }

    /// Replaces the checks and their intervals. Checks that stay keep their state.
    pub fn set_checks(&self, checks: impl IntoIterator<Item = (Check, Duration, Standing)>) {
        let mut entries = self.write();
        let mut before = std::mem::take(&mut entries.standings);
        entries.intervals.clear();
        for (check, interval, standing) in checks {
            entries.intervals.insert(check, interval);
            entries.standings.insert(check, before.remove(&check).unwrap_or(standing));
        }
    }

    /// Returns the PCI bus as it was last read.
    pub fn pci(&self) -> Option<Vec<PciGpu>> {
        self.read().pci.clone()
    }

    pub fn set_pci(&self, pci: Option<Vec<PciGpu>>) {
        self.write().pci = pci;
    }

    pub fn set_fabric(&self, fabric: Vec<FabricPort>) {
        self.write().fabric = fabric;
    }

    /// Records whether the configuration could be read again.
    pub fn set_reload(&self, successful: bool, now: Timestamp) {
        let reload = &mut self.write().reload;
        reload.successful = successful;
        if successful {
            reload.at = now;
        }
    }

    /// Stores a periodic network run, and drops the oldest if there are too many.
    pub fn add_network_run(&self, run: Run) {
        let runs = &mut self.write().network_runs;
        if runs.len() == NETWORK_RUNS {
            runs.pop_front();
        }
        runs.push_back(run);
    }

    /// Returns the first stored network run that began after `since`.
    pub fn network_run_after(&self, since: Timestamp) -> Option<Run> {
        self.read().network_runs.iter().find(|run| run.started_at > since).cloned()
    }

    /// Records the content of the run directory, and the expected number of GPUs.
    pub fn set_run_dir(&self, pause: Pause, inventory_unreadable: bool, expected: Option<Expected>) {
        let mut entries = self.write();
        entries.pause = pause;
        entries.inventory_unreadable = inventory_unreadable;
        entries.expected = expected;
    }

    /// Returns the expected number of GPUs, as of the latest read of the run directory.
    pub fn expected(&self) -> Option<Expected> {
        self.read().expected
    }

    /// Returns whether this check is configured.
    pub fn runs(&self, check: Check) -> bool {
        self.read().intervals.contains_key(&check)
    }

    /// Returns whether a check has passed since the configuration was read.
    pub fn has_passed(&self, check: Check) -> bool {
        self.read().passed.contains(&check)
    }

    pub fn set_passed(&self, check: Check) {
        self.write().passed.insert(check);
    }

    /// Forgets which checks have passed: a new configuration may name tools that are not there.
    pub fn forget_passes(&self) {
        self.write().passed.clear();
    }

    /// Returns whether the periodic checks are paused, as of the latest read of the run directory.
    pub fn rests(&self, now: Timestamp) -> bool {
        matches!(self.read().pause, Pause::Until(until) if until > now)
    }

    pub fn snapshot(&self, now: Timestamp, state_write_failures: u64) -> Snapshot {
        let entries = self.read();
        let view = |(check, interval): (&Check, &Duration)| {
            let standing = entries.standings.get(check).cloned().unwrap_or_default();
            let age = standing.last_run.map(|last| now.duration_since(last).unsigned_abs());
            let fresh = age.is_some_and(|age| age <= *interval * FRESH_INTERVALS);
            CheckView { check: *check, interval: *interval, standing, fresh }
        };
        Snapshot {
            now,
            is_stored: false,
            started_at: self.started_at,
            checks: entries.intervals.iter().map(view).collect(),
            pci: entries.pci.clone(),
            fabric: entries.fabric.clone(),
            reload: entries.reload,
            pause: entries.pause.clone(),
            inventory_unreadable: entries.inventory_unreadable,
            expected_gpus: entries.expected.map(|expected| expected.gpus),
            state_write_failures,
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strikes::Trigger;
    use crate::verdict::{Fault, Judgement};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(started_at: i64, verdict: Verdict) -> Run {
        Run {
            check: Check::Network,
            started_at: at(started_at),
            seconds: 1.0,
            tool_ran: true,
            judgement: Judgement { verdict, detail: String::new() },
            facts: Some(Facts::Network(Default::default())),
            not_understood: Vec::new(),
            printed: None,
        }
    }

    fn ledger() -> Ledger {
        Ledger::new(at(0), [(Check::Network, Duration::from_secs(30), Standing::default())])
    }

    #[test]
    fn checks_that_stay_keep_their_standing() {
        let ledger = ledger();
        ledger.set_standing(Check::Network, Standing { consecutive_failures: 2, ..Standing::default() });
        let checks =
            [Check::Network, Check::Rocminfo].map(|check| (check, Duration::from_secs(5), Standing::default()));
        ledger.set_checks(checks);
        let strikes: Vec<u64> =
            ledger.snapshot(at(0), 0).checks.iter().map(|view| view.standing.consecutive_failures).collect();
        assert_eq!(strikes, [0, 2]);
        ledger.set_checks([]);
        assert!(ledger.snapshot(at(0), 0).checks.is_empty());
    }

    #[test]
    fn a_bad_configuration_keeps_the_time_of_the_good_one() {
        let ledger = ledger();
        ledger.set_reload(true, at(5));
        ledger.set_reload(false, at(9));
        assert_eq!(ledger.snapshot(at(9), 0).reload, Reload { successful: false, at: at(5) });
    }

    #[test]
    fn the_first_run_begun_after_a_time_is_found() {
        let ledger = ledger();
        for start in [10, 40, 70] {
            ledger.add_network_run(run(start, Verdict::Passed));
        }
        let after = |since| ledger.network_run_after(at(since)).map(|run| run.started_at);
        assert_eq!(after(9), Some(at(10)));
        assert_eq!(after(10), Some(at(40)));
        assert_eq!(after(70), None);
    }

    #[test]
    fn old_network_runs_are_dropped() {
        let ledger = ledger();
        for start in 0..100 {
            ledger.add_network_run(run(start, Verdict::Passed));
        }
        assert_eq!(ledger.network_run_after(at(-1)).map(|run| run.started_at), Some(at(36)));
    }

    #[test]
    fn values_of_a_failed_or_stale_run_are_withdrawn() {
        let ledger = ledger();
        let shows = |now| {
            let snapshot = ledger.snapshot(at(now), 0);
            (snapshot.checks[0].values().is_some(), snapshot.checks[0].facts().is_some())
        };
        let passed = Standing::default().after(&run(100, Verdict::Passed), Trigger::Interval, at(101));
        ledger.set_standing(Check::Network, passed.clone());
        assert_eq!(shows(191), (true, true));
        assert_eq!(shows(192), (false, false));
        let failed = passed.after(&run(130, Verdict::Failed(Fault::NetworkSlow)), Trigger::Interval, at(131));
        ledger.set_standing(Check::Network, failed);
        assert_eq!(shows(132), (false, true));
    }
}
