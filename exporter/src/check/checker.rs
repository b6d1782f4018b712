//! One check: its task runs it in each of its slots, and a probe runs it on demand. Passes the
//! ending of a run to [`crate::judge`] and the verdict to the ledger; judges nothing and formats
//! nothing.
//!
//! A run has its own thread from its first disk access to its verdict, since any step may hang. The
//! task waits for the thread with a timeout, and only the task records the result.

use crate::check::calls::{self, Extent, Made};
use crate::check::node::Node;
use crate::check::servers;
use crate::check::turn::{Details, Done, Lost, Place, Turn};
use crate::ending::{Ending, Exit, Streams};
use crate::facts::{Facts, Gpu};
use crate::inventory::{self, PciGpu};
use crate::judge::{Finding, Known, believed, judge};
use crate::parse;
use crate::parse::ToolName;
use crate::run::Run;
use crate::schedule;
use crate::schedule::Budget;
use crate::start::leash::Leash;
use crate::start::tool::Tool;
use crate::start::work::Work;
use crate::state::boot;
use crate::state::sysfs;
use crate::strikes::{Standing, Trigger};
use crate::verdict::{Check, Fault, Verdict};
use ossci_base::clock;
use ossci_base::contract::inventory::Inventory;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// One check with its tool.
#[derive(Debug)]
pub struct Checker {
    pub check: Check,
    pub tool_name: ToolName,
    pub node: Arc<Node>,
    pub tool: Tool,
    pub work: Work,
    /// Runs beside a check that judges the same GPUs: only its verdict on their memory counts.
    pub beside: bool,
    pub interval: Duration,
    pub timeout: Duration,
    /// Locked during a run: a check never runs twice at a time, even if its configuration was
    /// replaced.
    pub turn: Arc<Mutex<Turn>>,
}

/// What requested a run, which decides whether a pause and the boot grace apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The interval: the checks may be paused, and during the boot grace a failure is no strike.
    BySlot,
    /// A caller that counts the run as this trigger.
    Now(Trigger),
}

/// Strikes are in a row only if no more than this many intervals lie between them; the alert rules
/// take no older run either. Values are shown for a shorter time.
const STRIKES_LAST: u32 = 10;

/// Time for a run after its children have ended: it only parses 8 MiB at most.
const THINKING_TIME: Duration = Duration::from_secs(5);

impl Checker {
    /// Runs the check in each of its slots, except while the checks are paused. Returns only when
    /// its task is aborted.
    pub async fn run_for_ever(self: Arc<Self>) {
        let offset = schedule::offset(&self.node.name, self.check, self.interval);
        let mut previous: Option<Instant> = None;
        loop {
            sleep(schedule::wait(clock::now(), self.interval, offset, previous.map(|before| before.elapsed()))).await;
            previous = Some(clock::monotonic());
            if self.run(Asked::BySlot).await.is_none() {
                debug!(check = self.check.as_str(), "checks paused, run skipped");
            }
        }
    }

    /// Runs the check once, now, after a run in progress and regardless of a pause. `None` means
    /// paused, which only a run by slot can be.
    pub async fn run_once(self: &Arc<Self>, trigger: Trigger) -> Option<Run> {
        self.run(Asked::Now(trigger)).await
    }

    async fn run(self: &Arc<Self>, asked: Asked) -> Option<Run> {
        let mut turn = self.turn.lock().await;
        turn.runs += 1;
        let (started_at, started) = (clock::now(), clock::monotonic());
        let Done { trigger, ending, mut finding, lost, spare, details } = self.on_a_thread(asked, &mut turn).await?;
        if let Some(process) = lost {
            turn.lost = Some(Lost::Process(process));
        }
        turn.spare = turn.spare.take().or(spare);
        if let Some(gpus) = details {
            turn.details = Details { asked_at: Some(started), gpus };
        }
        if let Some(Facts::Gpus(gpus)) = finding.facts.as_mut().filter(|_| !self.beside) {
            turn.details.add_to(gpus);
        }
        let run = Run {
            check: self.check,
            started_at,
            seconds: started.elapsed().as_secs_f64(),
            tool_ran: finding.tool_ran,
            judgement: finding.judgement,
            facts: finding.facts,
            not_understood: finding.not_understood,
            printed: if trigger == Trigger::Probe { ending.printed() } else { None },
        };
        self.record(&run, trigger).await;
        Some(run)
    }

    /// Starts the tool, unless an earlier one still lives: a hung tool is never joined by a second
    /// one.
    async fn on_a_thread(self: &Arc<Self>, asked: Asked, turn: &mut Turn) -> Option<Done> {
        if let Some(ending) = turn.still_there().await {
            return self.without_output(asked, ending);
        }
        let (checker, number, budget) = (Arc::clone(self), turn.runs, schedule::budget(self.timeout, self.interval));
        // Pulled when this task ends, by itself or with the program.
        let leash = Held(Arc::default());
        let theirs = Arc::clone(&leash.0);
        let extent = Extent { bare: turn.spare.is_some(), with_details: turn.details.are_due() };
        let mut thread = tokio::task::spawn_blocking(move || checker.do_run(asked, number, extent, budget, &theirs));
        let mut back = timeout(budget.deadline + budget.grace, &mut thread).await;
        if back.is_err() && !leash.0.is_starting() {
            back = timeout(budget.grace + THINKING_TIME, &mut thread).await;
        }
        match back {
            Ok(Ok(done)) => done,
            Ok(Err(broken)) => self.without_output(asked, Ending::NotStarted(broken.to_string())),
            Err(_) => {
                let place = if leash.0.is_starting() { Place::Tool } else { Place::Ours };
                turn.lost = Some(Lost::Thread(thread, place));
                self.without_output(asked, place.ending())
            }
        }
    }

    /// Builds the result without touching a disk, which may be what hangs.
    fn without_output(&self, asked: Asked, ending: Ending) -> Option<Done> {
        if asked == Asked::BySlot && self.node.ledger.rests(clock::now()) {
            return None;
        }
        let uptime = boot::uptime(&self.node.procfs);
        let (node, settings) = (&self.node, self.node.settings());
        let (pci, named) = (node.ledger.pci(), node.memory.best_known(|check| node.ledger.runs(check)));
        let known = Known {
            expected: node.ledger.expected().or(inventory::expected(settings.expected_gpus, None, None)),
            addresses: named.as_ref().map(|named| named.pci.as_slice()),
            passed_before: node.memory.passed_before(self.check),
            passed_recently: node.ledger.has_passed(self.check),
            beside: self.beside,
            pci: pci.as_deref(),
            ..Known::default()
        };
        let judgement = judge(self.tool_name, &ending, None, known, settings.bounds);
        let finding = Finding::new(believed(judgement, self.check, known), &ending, None);
        let trigger = self.trigger(asked, uptime, finding.judgement.verdict);
        Some(Done { trigger, ending, finding, lost: None, spare: None, details: None })
    }

    /// Does the whole run except its record. Blocks.
    fn do_run(&self, asked: Asked, number: u64, extent: Extent, budget: Budget, leash: &Leash) -> Option<Done> {
        if asked == Asked::BySlot && self.node.run_dir.pause(clock::now()).rests() {
            return None;
        }
        let uptime = boot::uptime(&self.node.procfs);
        let Made { ended, spare, details } = match &self.work {
            Work::Calls(calls) => calls::make(&self.tool, calls, extent, budget, leash),
            Work::Iperf3(servers) => {
                let calls = servers.calls(&self.node.name, number, budget.deadline);
                Made {
                    ended: servers::ask(&self.tool, self.tool_name, calls, budget, leash),
                    spare: None,
                    details: None,
                }
            }
        };
        let finding = self.judge(&ended.ending);
        let trigger = self.trigger(asked, uptime, finding.judgement.verdict);
        let details = details.map(|streams| self.details(&streams));
        Some(Done { trigger, ending: ended.ending, finding, lost: ended.abandoned, spare, details })
    }

    fn details(&self, streams: &Streams) -> Vec<Gpu> {
        let parsed = parse::parse(self.tool_name, parse::Output::new(Exit::Status(0), streams));
        match parsed.reading.into_facts() {
            Some(Facts::Gpus(gpus)) => gpus,
            _ => Vec::new(),
        }
    }

    /// Returns the trigger of a run that began at this uptime: during the boot grace a failure is
    /// no strike. A driver that an operator builds or loads from a pod may take twice as long.
    fn trigger(&self, asked: Asked, uptime: Option<Duration>, verdict: Verdict) -> Trigger {
        let grace = self.node.settings().boot_grace;
        let grace = if verdict == Verdict::Failed(Fault::DriverNotLoaded) { grace * 2 } else { grace };
        match (asked, uptime) {
            (Asked::Now(trigger), _) => trigger,
            (Asked::BySlot, Some(uptime)) if uptime < grace => Trigger::BootGrace,
            (Asked::BySlot, _) => Trigger::Interval,
        }
    }

    fn judge(&self, ending: &Ending) -> Finding {
        let (node, settings) = (&self.node, self.node.settings());
        let learned = node.memory.learned(self.check);
        let seen = node.memory.known(self.check);
        let named = node.memory.best_known(|check| node.ledger.runs(check));
        let file = node.run_dir.inventory().unwrap_or_default();
        let known = Known {
            expected: inventory::expected(settings.expected_gpus, file, learned.as_ref()),
            expected_partitions: settings.expected_partitions,
            seen: seen.as_ref(),
            addresses: named.as_ref().map(|named| named.pci.as_slice()),
            suspected: node.memory.suspected(self.check),
            passed_before: node.memory.passed_before(self.check),
            passed_recently: node.ledger.has_passed(self.check),
            sensors_wanted: true,
            beside: self.beside,
            pci: None,
        };
        let mut parsed = parse::Output::of(ending).map(|output| parse::parse(self.tool_name, output));
        let mut judged = |pci: Option<&[PciGpu]>| {
            if let Some(parsed) = &mut parsed {
                inventory::add_limits(parsed.reading.gpus_mut(), pci.unwrap_or_default());
            }
            let known = Known { pci, ..known };
            let judgement = judge(self.tool_name, ending, parsed.as_ref(), known, settings.bounds);
            believed(judgement, self.check, known)
        };
        let before = node.ledger.pci();
        let mut judgement = judged(before.as_deref());
        if self.check != Check::Network && judgement.verdict != Verdict::Passed {
            // Only the PCI bus shows why a GPU is missing. What was read of it a while ago is
            // enough only for a pass.
            let mut pci = sysfs::pci_gpus(&node.sysfs);
            judgement = judged(pci.as_deref());
            node.ledger.set_pci(pci.clone());
            // Another tool may have woken a GPU between the run and this look.
            for gpu in pci.iter_mut().flatten() {
                let slept = |at: &PciGpu| at.address == gpu.address && at.suspended;
                gpu.suspended |= before.iter().flatten().any(slept);
            }
            if judgement.verdict == Verdict::Failed(Fault::GpuNotResponding) {
                judgement = judged(pci.as_deref());
            }
        }
        Finding::new(judgement, ending, parsed)
    }

    /// Records a run: disk first, then the metrics. A restart never loses a strike that the metrics
    /// showed.
    async fn record(&self, run: &Run, trigger: Trigger) {
        let Node { ledger, memory, .. } = &*self.node;
        let now = clock::now();
        let before = ledger.standing(self.check).unless_old(now, self.interval * STRIKES_LAST);
        let standing = before.after(run, trigger, now);
        if run.verdict() == Verdict::Passed {
            let gpus = run.facts.as_ref().and_then(Facts::gpus).unwrap_or_default();
            let learned = memory.best_learned(|check| ledger.runs(check));
            let pci = ledger.pci().unwrap_or_default();
            // Beside another check this one passes with fewer GPUs, too.
            let is_fewer = |all: &Inventory| self.beside && u32::try_from(gpus.len()).is_ok_and(|gpus| gpus < all.gpus);
            let is_lent = |all: &Inventory| all.pci.iter().any(|address| inventory::is_lent(address, &pci));
            let away = learned.is_some_and(|all| is_lent(&all) || is_fewer(&all));
            memory.keep_pass(self.check, gpus, away).await;
            ledger.set_passed(self.check);
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

/// The leash as held by the waiting task; dropping it pulls the leash.
struct Held(Arc<Leash>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.pull();
    }
}

/// Logs each failure; logs passes and unknown runs only if the verdict changed.
fn log(run: &Run, trigger: Trigger, before: &Standing, standing: &Standing) {
    let (check, verdict, detail) = (run.check.as_str(), run.verdict().as_str(), run.judgement.detail.as_str());
    let reason = run.verdict().reason().unwrap_or_default();
    let strikes = standing.consecutive_failures;
    let news = before.latest.as_ref().map(Run::verdict) != Some(run.verdict());
    match run.verdict() {
        Verdict::Failed(_) => warn!(check, verdict, reason, strikes, ?trigger, detail, "check failed"),
        Verdict::Unknown(_) if news => {
            warn!(check, verdict, reason, strikes, ?trigger, detail, "check without a verdict")
        }
        Verdict::Passed if news => info!(check, verdict, strikes, ?trigger, detail, "check passed"),
        _ => debug!(check, verdict, reason, strikes, ?trigger, detail),
    }
    if !run.not_understood.is_empty() {
        debug!(check, not_understood = ?run.not_understood);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::node::Settings;
    use crate::scratch::scratch;
    use crate::start::child;
    use crate::start::work::Calls;
    use crate::state::ledger::Ledger;
    use crate::state::memory::Memory;
    use crate::state::run_dir::RunDir;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use rustix::process::Signal;
    use std::path::Path;
    use std::sync::RwLock;

    fn checker(directory: &Path) -> Arc<Checker> {
        let node = Node {
            name: "gpu-017".to_string(),
            run_dir: RunDir::new(&directory.join("run")),
            ledger: Ledger::new(clock::now(), [(Check::RocmSmi, Duration::from_secs(30), Standing::default())]),
            memory: Arc::new(Memory::of_disk(directory, "gpu-017", Some("boot-1".to_string()))),
            sysfs: "/nonexistent".into(),
            procfs: "/nonexistent".into(),
            // So that a check that never passed can fail.
            settings: RwLock::new(Settings { expected_gpus: Some(8), ..Settings::default() }),
        };
        let tool = Tool { name: "rocm-smi", rootfs: "/".into(), path: Some("/nonexistent/rocm-smi".into()) };
        let (node, turn) = (Arc::new(node), Arc::default());
        let (check, tool_name, work) = (Check::RocmSmi, ToolName::RocmSmi, Work::Calls(Calls::new(&[&[]], 1, &[])));
        let (interval, timeout) = (Duration::from_millis(100), Duration::from_millis(50));
        Arc::new(Checker { check, tool_name, node, tool, work, beside: false, interval, timeout, turn })
    }

    async fn reason(checker: &Arc<Checker>) -> Option<&'static str> {
        checker.run_once(Trigger::Interval).await.unwrap().verdict().reason()
    }

    /// Repeats the run until its reason differs.
    async fn until_not(checker: &Arc<Checker>, reason_before: &str) {
        let other = async {
            while reason(checker).await == Some(reason_before) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), other).await.unwrap();
    }

    #[tokio::test]
    async fn an_unkillable_process_is_a_strike_and_blocks_a_second_one() {
        let checker = checker(&scratch("checker"));
        let (abandoned, group) = child::abandoned_sleeper();
        checker.turn.lock().await.lost = Some(Lost::Process(abandoned));
        for strikes in 1..=3 {
            assert_eq!(reason(&checker).await, Some("hung"));
            assert_eq!(checker.node.ledger.standing(Check::RocmSmi).consecutive_failures, strikes);
        }
        group.signal(Signal::KILL);
        until_not(&checker, "hung").await;
        // The tool does not exist: this reason proves that the run tried to start it.
        assert_eq!(reason(&checker).await, Some("own-trouble"));
    }

    #[tokio::test]
    async fn a_start_that_does_not_return_is_a_strike_until_it_does() {
        let checker = checker(&scratch("start"));
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let thread = tokio::task::spawn_blocking(move || {
            let _ = wait.recv();
            None
        });
        checker.turn.lock().await.lost = Some(Lost::Thread(thread, Place::Tool));
        assert_eq!((reason(&checker).await, reason(&checker).await), (Some("hung"), Some("hung")));
        release.send(()).unwrap();
        until_not(&checker, "hung").await;
        assert_eq!(reason(&checker).await, Some("own-trouble"));
    }

    #[tokio::test]
    async fn a_hung_run_directory_is_no_strike_and_costs_one_thread() {
        let directory = scratch("dead-run-dir");
        std::fs::create_dir_all(directory.join("run")).unwrap();
        // Opening a FIFO blocks until a writer opens it.
        let pause = directory.join("run/pause");
        mknodat(CWD, &pause, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let checker = checker(&directory);
        let asked = || checker.run(Asked::BySlot);
        let said = asked().await.unwrap().judgement.detail;
        assert_eq!(said, "the run directory or sysfs does not respond");
        assert_eq!(asked().await.unwrap().judgement.detail, said);
        assert_eq!(checker.node.ledger.standing(Check::RocmSmi).consecutive_failures, 0);
        std::fs::write(&pause, "2999-01-01T00:00:00Z\n").unwrap();
        std::fs::remove_file(&pause).unwrap();
        let other = async {
            while asked().await.unwrap().judgement.detail == said {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), other).await.unwrap();
    }
}
