//! Runs checks: one [`Checker`] a check, one task each on its own interval, and the probe through the same door. It carries what happened
//! to [`crate::judge`] and the verdict to the ledger; it judges nothing and formats nothing.

use crate::boot;
use crate::child::{self, Abandoned, Ended, StartError, Streams};
use crate::clock::{self, Moment};
use crate::inventory;
use crate::judge::{Bounds, Ending, Finding, Known, judge};
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::parse::{Exit, Output, iperf3};
use crate::run_dir::{Pause, RunDir};
use crate::schedule::{self, Budget};
use crate::strikes::{Standing, Trigger};
use crate::sysfs;
use crate::tool::Tool;
use crate::verdict::{Check, Facts, Printed, Run, ToolName, Verdict};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{debug, info, warn};

/// What all checks of a node share.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub run_dir: RunDir,
    pub ledger: Ledger,
    pub memory: Memory,
    pub sysfs: PathBuf,
    pub procfs: PathBuf,
    pub settings: RwLock<Settings>,
}

/// What a reload may change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    pub bounds: Bounds,
    /// By configuration; the run directory and earlier runs may say it too.
    pub expected_gpus: Option<u32>,
    pub expected_partitions: Option<u32>,
    /// So long after the boot a failure is no strike.
    pub boot_grace: Duration,
    pub tests_network: bool,
}

impl Node {
    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// The far end of the network check.
#[derive(Debug, Clone)]
pub struct Target {
    pub host: String,
    /// First and last of the ports that have a server.
    pub ports: (u16, u16),
    /// Volume of a run, as iperf3 reads it.
    pub bytes: String,
}

/// What a run starts.
#[derive(Debug, Clone)]
pub enum Work {
    /// These calls one after the other; their outputs are read as one. All but the first two may be refused.
    Calls(Vec<Vec<OsString>>),
    /// One call, with another port each time.
    Iperf3(Target),
}

impl Work {
    pub fn calls(calls: &[&[&str]]) -> Work {
        Work::Calls(calls.iter().map(|call| call.iter().map(OsString::from).collect()).collect())
    }
}

/// The calls of one run without which it says nothing; later ones add to it.
const NEEDED_CALLS: usize = 2;

/// One check with its tool.
#[derive(Debug)]
pub struct Checker {
    pub check: Check,
    pub tool_name: ToolName,
    pub node: Arc<Node>,
    pub tool: Tool,
    pub work: Work,
    pub interval: Duration,
    pub timeout: Duration,
    /// Held during a run: a check never runs twice at a time, whoever asks, and whatever became of its configuration.
    pub turn: Arc<Mutex<Turn>>,
}

/// What one run leaves for the next.
#[derive(Debug, Default)]
pub struct Turn {
    abandoned: Option<Abandoned>,
    runs: u64,
}

impl Checker {
    /// Runs the check in each of its slots, except while the checks rest. Ends only with its task.
    pub async fn run_for_ever(&self) {
        let offset = schedule::offset(&self.node.name, self.check, self.interval);
        let mut previous: Option<Moment> = None;
        loop {
            sleep(schedule::wait(clock::now(), self.interval, offset, previous.map(Moment::elapsed))).await;
            previous = Some(Moment::now());
            let pause = self.node.run_dir.pause(clock::now()).await;
            if pause.rests() {
                debug!(check = self.check.as_str(), "the checks rest");
            } else {
                self.run_once(self.trigger()).await;
            }
        }
    }

    /// Early in a boot a failure is no strike yet.
    fn trigger(&self) -> Trigger {
        let grace = self.node.settings().boot_grace;
        match boot::uptime(&self.node.procfs) {
            Some(uptime) if uptime < grace => Trigger::BootGrace,
            _ => Trigger::Interval,
        }
    }

    /// Runs the check once, now, after a run that is under way.
    pub async fn run_once(&self, trigger: Trigger) -> Run {
        let mut turn = self.turn.lock().await;
        turn.runs += 1;
        let (started_at, started) = (clock::now(), Moment::now());
        let outcome = self.start_and_wait(&mut turn).await;
        let finding = self.judge(&outcome).await;
        let run = Run {
            check: self.check,
            started_at,
            seconds: started.elapsed().as_secs_f64(),
            judgement: finding.judgement,
            facts: finding.facts,
            not_understood: finding.not_understood,
            printed: if trigger == Trigger::Probe { outcome.printed() } else { None },
        };
        self.record(&run, trigger).await;
        run
    }

    /// Starts the tool, unless an earlier one of it still lives: what hangs once is not joined by a second one.
    async fn start_and_wait(&self, turn: &mut Turn) -> Outcome {
        if let Some(abandoned) = &mut turn.abandoned {
            if !abandoned.is_gone() {
                return Outcome::Hung(abandoned.what());
            }
            info!(check = self.check.as_str(), "the abandoned process is gone");
            turn.abandoned = None;
        }
        let budget = schedule::budget(self.timeout, self.interval);
        let started = Moment::now();
        let calls = self.calls(turn.runs);
        let mut all = Streams::default();
        for (number, arguments) in calls.into_iter().enumerate() {
            // The calls of a run share its time.
            let left = Budget { deadline: budget.deadline.saturating_sub(started.elapsed()), ..budget };
            let tool = self.tool.clone();
            match child::run(move || tool.invocation(arguments), left).await {
                Ok(Ended::Exited(Exit::Status(0), streams)) => all.append(streams),
                Ok(Ended::Exited(..)) if number >= NEEDED_CALLS => {}
                Ok(Ended::Exited(exit, streams)) => return Outcome::Ended(exit, streams),
                Ok(Ended::TimedOut(exit, streams)) => return Outcome::TimedOut(exit, streams),
                Ok(Ended::OutputLimit) => return Outcome::OutputLimit,
                Ok(Ended::Abandoned(abandoned)) => {
                    let what = abandoned.what();
                    turn.abandoned = Some(abandoned);
                    return Outcome::Hung(what);
                }
                Err(error) => return Outcome::NotStarted(error),
            }
        }
        Outcome::Ended(Exit::Status(0), all)
    }

    fn calls(&self, run: u64) -> Vec<Vec<OsString>> {
        match &self.work {
            Work::Calls(calls) => calls.clone(),
            Work::Iperf3(target) => {
                let port = schedule::port(&self.node.name, target.ports, run);
                let arguments = iperf3::arguments(&target.host, port, &target.bytes);
                vec![arguments.into_iter().map(OsString::from).collect()]
            }
        }
    }

    async fn judge(&self, outcome: &Outcome) -> Finding {
        let (node, settings) = (&self.node, self.node.settings());
        let learned = node.memory.learned();
        let file = node.run_dir.inventory().await.unwrap_or_default();
        let known = Known {
            expected: inventory::expected(settings.expected_gpus, file, learned.as_ref()),
            expected_partitions: settings.expected_partitions,
            learned: learned.as_ref(),
            passed_before: node.memory.passed_before(self.check),
            sensors_wanted: true,
            pci: None,
        };
        let finding = judge(self.tool_name, outcome.ending(), known, settings.bounds);
        if self.check == Check::Network || finding.judgement.verdict == Verdict::Passed {
            return finding;
        }
        // The bus says more about a missing GPU; it is not asked where nothing is missing.
        let pci = sysfs::pci_gpus(&node.sysfs);
        let finding = judge(self.tool_name, outcome.ending(), Known { pci: pci.as_deref(), ..known }, settings.bounds);
        node.ledger.set_pci(pci);
        finding
    }

    /// Disk first, then the metrics: a strike that was seen is never forgotten by a restart.
    async fn record(&self, run: &Run, trigger: Trigger) {
        let Node { ledger, memory, .. } = &*self.node;
        let before = ledger.standing(self.check);
        let standing = before.after(run, trigger, clock::now());
        if run.verdict() == Verdict::Passed {
            let gpus = run.facts.as_ref().and_then(Facts::gpus).unwrap_or_default();
            memory.keep_pass(self.check, gpus).await;
        }
        if standing != before {
            memory.keep_standing(self.check, &standing).await;
            ledger.set_standing(self.check, standing.clone());
        }
        if self.check == Check::Network && trigger != Trigger::Probe {
            ledger.add_network_run(run.clone());
        }
        log(run, trigger, &before, &standing);
    }
}

/// What a run came to, before it is judged.
#[derive(Debug)]
enum Outcome {
    Ended(Exit, Streams),
    TimedOut(Exit, Streams),
    OutputLimit,
    Hung(String),
    NotStarted(StartError),
}

/// At most this much of each stream goes into an answer.
const PRINTED_BYTES: usize = 64 << 10;

impl Outcome {
    fn printed(&self) -> Option<Printed> {
        let (Outcome::Ended(exit, streams) | Outcome::TimedOut(exit, streams)) = self else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(PRINTED_BYTES)]).into_owned();
        let exit_status = match exit {
            Exit::Status(status) => *status,
            Exit::Signal(signal) => -signal,
        };
        Some(Printed { exit_status, stdout: text(&streams.stdout), stderr: text(&streams.stderr) })
    }

    fn ending(&self) -> Ending<'_> {
        fn output(exit: Exit, streams: &Streams) -> Output<'_> {
            Output { stdout: &streams.stdout, stderr: &streams.stderr, exit }
        }
        match self {
            Outcome::Ended(exit, streams) => Ending::Ended(output(*exit, streams)),
            Outcome::TimedOut(exit, streams) => Ending::TimedOut(output(*exit, streams)),
            Outcome::OutputLimit => Ending::OutputLimit,
            Outcome::Hung(what) => Ending::Hung(what),
            Outcome::NotStarted(StartError::NotFound(what)) => Ending::NotFound(what),
            Outcome::NotStarted(StartError::NotStarted(what)) => Ending::NotStarted(what),
        }
    }
}

/// Each strike is a line; passes and troubles are lines when they are news.
fn log(run: &Run, trigger: Trigger, before: &Standing, standing: &Standing) {
    let (check, verdict, detail) = (run.check.as_str(), run.verdict().as_str(), run.judgement.detail.as_str());
    let reason = run.verdict().reason().unwrap_or_default();
    let strikes = standing.consecutive_failures;
    let news = before.latest.as_ref().map(Run::verdict) != Some(run.verdict());
    match run.verdict() {
        Verdict::Failed(_) => warn!(check, verdict, reason, strikes, ?trigger, detail),
        Verdict::Unknown(_) if news => warn!(check, verdict, reason, strikes, ?trigger, detail),
        Verdict::Passed if news => info!(check, verdict, strikes, ?trigger, detail),
        _ => debug!(check, verdict, reason, strikes, ?trigger, detail),
    }
    if !run.not_understood.is_empty() {
        debug!(check, not_understood = ?run.not_understood);
    }
}

/// How often the files of the run directory are looked at, for the metrics.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// The bus changes with a boot, a reset or a hand; one look in so many is enough.
const LOOKS_A_BUS_LOOK: u32 = 60;

/// Keeps what the run directory says in the ledger, and says when that changes. Ends only with its task.
pub async fn watch_run_dir(node: &Node) {
    let mut said = (Pause::No, None);
    let mut looks = 0;
    loop {
        if looks % LOOKS_A_BUS_LOOK == 0 {
            node.ledger.set_pci(sysfs::pci_gpus(&node.sysfs));
        }
        looks += 1;
        let pause = node.run_dir.pause(clock::now()).await;
        let inventory = node.run_dir.inventory().await;
        let (file, bad) = match inventory {
            Ok(file) => (file, None),
            Err(error) => (None, Some(error)),
        };
        let learned = node.memory.learned();
        let expected = inventory::expected(node.settings().expected_gpus, file, learned.as_ref());
        node.ledger.set_run_dir(pause.clone(), bad.is_some(), expected.map(|expected| expected.gpus));
        if said.0 != pause {
            match &pause {
                Pause::No => info!("the checks run"),
                Pause::Until(until) => info!(%until, "the checks rest"),
                Pause::Unreadable(error) => warn!(error, "the pause file pauses nothing"),
            }
        }
        if let Some(error) = bad.as_ref().filter(|_| said.1 != bad) {
            warn!(error, "the inventory file expects nothing");
        }
        said = (pause, bad);
        sleep(WATCH_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;
    use rustix::process::{Signal, kill_process_group};
    use std::path::Path;

    fn checker(state: &Path) -> Checker {
        let node = Node {
            name: "gpu-017".to_string(),
            run_dir: RunDir::new(Path::new("/nonexistent")),
            ledger: Ledger::new(clock::now(), [(Check::RocmSmi, Duration::from_secs(30), Standing::default())]),
            memory: Memory::load(state, Some("boot-1".to_string())),
            sysfs: "/nonexistent".into(),
            procfs: "/nonexistent".into(),
            settings: RwLock::default(),
        };
        let tool = Tool { name: "rocm-smi", rootfs: "/".into(), path: Some("/nonexistent/rocm-smi".into()) };
        let (interval, timeout) = (Duration::from_secs(30), Duration::from_secs(10));
        let (node, turn) = (Arc::new(node), Arc::default());
        let (check, tool_name, work) = (Check::RocmSmi, ToolName::RocmSmi, Work::calls(&[&[]]));
        Checker { check, tool_name, node, tool, work, interval, timeout, turn }
    }

    #[tokio::test]
    async fn a_process_that_cannot_be_killed_is_a_strike_each_interval_and_never_gets_a_second_beside_it() {
        let state = scratch("runner");
        let checker = checker(&state);
        let (abandoned, group) = child::abandoned_sleeper();
        checker.turn.lock().await.abandoned = Some(abandoned);
        for strikes in 1..=3 {
            let run = checker.run_once(Trigger::Interval).await;
            assert_eq!(run.verdict().reason(), Some("hung"), "{run:?}");
            assert_eq!(checker.node.ledger.standing(Check::RocmSmi).consecutive_failures, strikes);
        }
        kill_process_group(group, Signal::KILL).unwrap();
        let started_again = async {
            while checker.run_once(Trigger::Interval).await.verdict().reason() == Some("hung") {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), started_again).await.unwrap();
        // The tool is not there, so the next run could only say so by having tried to start it.
        assert_eq!(checker.run_once(Trigger::Interval).await.verdict().reason(), Some("own-trouble"));
    }
}
