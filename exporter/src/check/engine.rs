//! Active checks and their tasks: starts them, replaces them when the configuration or the
//! installed tools change, and stops them. A check that stays keeps its state and any process that
//! it could not kill. Runs no tool itself.

use crate::check::checker::Checker;
use crate::check::node::{Node, Settings};
use crate::check::turn::Turn;
use crate::config::Config;
use crate::parse::{ToolName, amd_smi};
use crate::start::tool::Tool;
use crate::start::work::{Calls, DETAILS_EVERY, Servers, Work};
use crate::state::errand::Errand;
use crate::verdict::Check;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;
use tracing::{info, warn};

/// How long to wait for a run in progress when the checks are replaced: the longest time limit with
/// its grace periods.
const RUN_PATIENCE: Duration = Duration::from_secs(150);

/// How long to wait for an aborted task, which only has to drop its child.
const STOP_PATIENCE: Duration = Duration::from_millis(300);

/// The checks of this node.
#[derive(Debug)]
pub struct Engine {
    node: Arc<Node>,
    state: Mutex<State>,
    /// The current checks; the probe runs the same ones.
    checkers: RwLock<Vec<Arc<Checker>>>,
    ended: mpsc::UnboundedSender<String>,
    looking: Errand<Tools>,
}

#[derive(Debug, Default)]
struct State {
    tasks: BTreeMap<Check, Task>,
    turns: BTreeMap<Check, Arc<tokio::sync::Mutex<Turn>>>,
}

impl Engine {
    /// Creates an engine without checks. A task that ends by itself is a bug, and is reported
    /// through `ended`.
    pub fn new(node: Arc<Node>, ended: mpsc::UnboundedSender<String>) -> Engine {
        Engine { node, state: Mutex::default(), checkers: RwLock::default(), ended, looking: Errand::default() }
    }

    /// Returns the checks that look at GPUs.
    pub fn gpu_checkers(&self) -> Vec<Arc<Checker>> {
        let checkers = self.checkers.read().unwrap_or_else(PoisonError::into_inner);
        checkers.iter().filter(|checker| checker.check != Check::Network).cloned().collect()
    }

    /// Returns all checks.
    pub fn checkers(&self) -> Vec<Arc<Checker>> {
        self.checkers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Applies a configuration without starting tasks. Waits for runs in progress.
    pub async fn configure(&self, config: &Config) {
        // A disk that does not respond counts as one without tools: then rocm-smi runs, or the tool
        // that has passed here.
        let checks = choose(config, &self.node, self.tools(config).await.unwrap_or_default());
        let (tasks, turns) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut state.tasks), state.turns.clone())
        };
        for (check, task) in tasks {
            // Locked while the task is aborted, so that no run is interrupted.
            let turn = turns.get(&check).map(|turn| timeout(RUN_PATIENCE, turn.lock()));
            let _held = match turn {
                Some(turn) => turn.await.ok(),
                None => None,
            };
            task.check.abort();
            let _ = task.watcher.await;
        }
        let standing = |check: Check| self.node.memory.standing(check);
        self.node
            .ledger
            .set_checks(checks.iter().map(|check| (*check, interval(*check, config, &checks), standing(*check))));
        self.node.set_settings(Settings {
            bounds: config.bounds(),
            expected_gpus: config.gpus.expected,
            expected_partitions: config.gpus.expected_partitions,
            boot_grace: config.checks.boot_grace,
            tests_network: checks.contains(&Check::Network),
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let made = checks.iter().filter_map(|check| {
            let turn = Arc::clone(state.turns.entry(*check).or_default());
            Some(Arc::new(checker(*check, config, &self.node, turn, &checks)?))
        });
        *self.checkers.write().unwrap_or_else(PoisonError::into_inner) = made.collect();
        let names: Vec<&str> = checks.iter().map(|check| check.as_str()).collect();
        info!(checks = names.join(","), "checks selected");
    }

    /// Starts a task for each check.
    pub fn start(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for checker in self.checkers() {
            let check = checker.check;
            let task = tokio::spawn(async move { checker.run_for_ever().await });
            let abort = task.abort_handle();
            let watcher = tokio::spawn(watch(check, task, self.ended.clone()));
            state.tasks.insert(check, Task { check: abort, watcher });
        }
    }

    /// Returns whether other checks should run now, because a tool was installed or removed.
    pub async fn is_outdated(&self, config: &Config) -> bool {
        let running: Vec<Check> = self.checkers().iter().map(|checker| checker.check).collect();
        self.tools(config).await.is_some_and(|there| choose(config, &self.node, there) != running)
    }

    /// Returns which tools are installed; `None` if the disk does not respond.
    async fn tools(&self, config: &Config) -> Option<Tools> {
        let (rocm_smi, amd_smi) = (tool(ToolName::RocmSmi, config), tool(ToolName::AmdSmi, config));
        self.looking.ask(move || Tools { rocm_smi: rocm_smi.is_there(), amd_smi: amd_smi.is_there() }).await
    }

    /// Aborts all tasks; their children are killed with them.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).tasks);
        for task in tasks.values() {
            task.check.abort();
        }
        for (check, task) in tasks {
            if timeout(STOP_PATIENCE, task.watcher).await.is_err() {
                warn!(check = check.as_str(), "check task did not stop in time");
            }
        }
    }
}

/// A check's task, and the task that watches for its end.
#[derive(Debug)]
struct Task {
    check: AbortHandle,
    watcher: JoinHandle<()>,
}

/// Reports a check whose task ends by itself: a panic is a bug and must not look like a quiet node.
async fn watch(check: Check, task: JoinHandle<()>, ended: mpsc::UnboundedSender<String>) {
    match task.await {
        Err(error) if error.is_cancelled() => {}
        how => {
            let _ = ended.send(format!("{}: {how:?}", check.as_str()));
        }
    }
}

/// Which of the two tools for GPUs are installed.
#[derive(Debug, Clone, Copy, Default)]
struct Tools {
    rocm_smi: bool,
    amd_smi: bool,
}

/// Returns the checks of this configuration on this node.
fn choose(config: &Config, node: &Node, there: Tools) -> Vec<Check> {
    let wanted = |check| config.collectors.choice(check);
    let (rocm_smi, amd_smi) = match (wanted(Check::RocmSmi), wanted(Check::AmdSmi)) {
        (Some(rocm), Some(amd)) => (rocm, amd),
        (Some(false), None) => (false, true),
        (Some(true), None) => (true, there.amd_smi),
        (None, Some(true)) => (there.rocm_smi, true),
        (None, Some(false)) => (true, false),
        (None, None) => automatic(node, there),
    };
    let on = |check: Check, on: bool| on.then_some(check);
    let checks = [
        on(Check::RocmSmi, rocm_smi),
        on(Check::AmdSmi, amd_smi),
        on(Check::Rocminfo, wanted(Check::Rocminfo) != Some(false)),
        on(Check::Network, config.tests_network()),
    ];
    checks.into_iter().flatten().collect()
}

/// Selects the tools that are installed. If neither is, selects the one that has passed here, so
/// that its loss is noticed.
fn automatic(node: &Node, there: Tools) -> (bool, bool) {
    if there.rocm_smi || there.amd_smi {
        return (there.rocm_smi, there.amd_smi);
    }
    let known = |check| node.memory.passed_before(check);
    let amd = known(Check::AmdSmi) && !known(Check::RocmSmi);
    (!amd, amd)
}

/// Whether the check runs beside another one that judges the same GPUs: amd-smi beside rocm-smi.
fn is_beside(check: Check, checks: &[Check]) -> bool {
    check == Check::AmdSmi && checks.contains(&Check::RocmSmi)
}

/// The GPU tools belong to the host; those of the network come with the exporter, so that they use
/// its network and its resolver.
fn tool(name: ToolName, config: &Config) -> Tool {
    Tool {
        name: name.as_str(),
        rootfs: if name.check() == Check::Network { "/".into() } else { config.paths.rootfs.clone() },
        path: config.tools.path(name).map(Path::to_path_buf),
    }
}

fn interval(check: Check, config: &Config, checks: &[Check]) -> Duration {
    let often = config.checks.interval;
    match check {
        Check::Network => config.network_interval(),
        Check::AmdSmi if is_beside(check, checks) => config.checks.beside_interval.unwrap_or(often.max(DETAILS_EVERY)),
        Check::RocmSmi | Check::AmdSmi | Check::Rocminfo => often,
    }
}

/// Returns the checker; `None` for a network check without a target.
fn checker(
    check: Check,
    config: &Config,
    node: &Arc<Node>,
    turn: Arc<tokio::sync::Mutex<Turn>>,
    checks: &[Check],
) -> Option<Checker> {
    let name = match check {
        Check::RocmSmi => ToolName::RocmSmi,
        Check::AmdSmi => ToolName::AmdSmi,
        Check::Rocminfo => ToolName::Rocminfo,
        Check::Network => config.network.tool,
    };
    let beside = is_beside(check, checks);
    let work = match name {
        ToolName::Iperf3 => {
            let hosts = config.network.targets.clone();
            if hosts.is_empty() {
                return None;
            }
            Work::Iperf3(Servers { hosts, ports: config.network.ports, bytes: config.network.bytes.clone() })
        }
        ToolName::AmdSmi if beside => Work::Calls(Calls::new(&amd_smi::BESIDE, 1, &[])),
        ToolName::AmdSmi => Work::Calls(Calls::new(name.calls(), amd_smi::NEEDED, &amd_smi::DETAILS)),
        _ => Work::Calls(Calls::new(name.calls(), name.calls().len(), &[])),
    };
    let timeout = if check == Check::Network { config.network_timeout() } else { config.checks.timeout };
    let interval = interval(check, config, checks);
    let node = Arc::clone(node);
    Some(Checker { check, tool_name: name, tool: tool(name, config), work, beside, interval, timeout, node, turn })
}
