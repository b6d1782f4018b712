//! Checks on demand, for a repair that needs a result now: runs the GPU checks, and looks up the
//! periodic network runs. One at a time and with a minimum gap, so that no caller overloads the
//! node. Serves no socket.

use crate::check::engine::Engine;
use crate::check::node::Node;
use crate::inventory;
use crate::run::Run;
use crate::state::errand::Errand;
use crate::state::run_dir::Pause;
use crate::state::sysfs;
use crate::strikes::Trigger;
use crate::verdict::Verdict;
use jiff::Timestamp;
use ossci_base::clock;
use ossci_base::contract::inventory::{Card, Inventory};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::Mutex;

/// Why there is no result. The words are sent to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A probe is in progress, or the last one ended less than `--probe.min-gap` ago.
    TooSoon,
    /// The network check is paused, so no run will come.
    Paused,
    /// No network run has begun since then; one will.
    NotYet,
    NoNetworkCheck,
    /// The run itself failed; there is no result.
    Interrupted,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::TooSoon => "too-soon",
            Refusal::Paused => "paused",
            Refusal::NotYet => "not-yet",
            Refusal::NoNetworkCheck => "no-network-check",
            Refusal::Interrupted => "interrupted",
        }
    }
}

#[derive(Debug)]
pub struct Probe {
    node: Arc<Node>,
    engine: Arc<Engine>,
    min_gap: Duration,
    /// The end of the last probe; locked during one.
    last: Arc<Mutex<Option<Instant>>>,
    looking: Errand<Pause>,
    slots: Errand<BTreeMap<String, String>>,
}

impl Probe {
    pub fn new(node: Arc<Node>, engine: Arc<Engine>, min_gap: Duration) -> Probe {
        Probe { node, engine, min_gap, last: Arc::default(), looking: Errand::default(), slots: Errand::default() }
    }

    /// Runs the GPU checks once, now, regardless of a pause. Continues if the caller disconnects,
    /// because its children must be reaped.
    pub async fn gpu(&self) -> Result<Vec<Run>, Refusal> {
        let mut last = Arc::clone(&self.last).try_lock_owned().map_err(|_| Refusal::TooSoon)?;
        if last.is_some_and(|last| last.elapsed() < self.min_gap) {
            return Err(Refusal::TooSoon);
        }
        let (checks, node) = (self.engine.gpu_checkers(), Arc::clone(&self.node));
        let probing = tokio::spawn(async move {
            let running: Vec<_> = checks
                .into_iter()
                .map(|check| tokio::spawn(async move { Some((check.run_once(Trigger::Probe).await?, check.beside)) }))
                .collect();
            let mut runs = Vec::new();
            for run in running {
                runs.push(run.await.ok().flatten().ok_or(Refusal::Interrupted)?);
            }
            *last = Some(clock::monotonic());
            // A check beside another one that says nothing holds no proof up, unless it has
            // strikes: then its word is what is asked for.
            let says = |(run, beside): (Run, bool)| {
                let silent = beside && matches!(run.verdict(), Verdict::Unknown(_));
                let struck = node.ledger.standing(run.check).consecutive_failures > 0;
                (!silent || struck).then_some(run)
            };
            Ok(runs.into_iter().filter_map(says).collect())
        });
        probing.await.unwrap_or(Err(Refusal::Interrupted))
    }

    /// Returns the GPUs that this node should show, with the known addresses if there are as many.
    /// Those of virtual machines are left out. A repair may erase what the checks were about to
    /// learn, so that counts, too.
    pub fn expected(&self) -> Option<Inventory> {
        let ledger = &self.node.ledger;
        let bus = ledger.pci().unwrap_or_default();
        let learned = self.node.memory.best_known(|check| ledger.runs(check));
        let pci: Option<Vec<String>> = learned
            .as_ref()
            .map(|learned| learned.pci.iter().filter(|address| !inventory::is_lent(address, &bus)).cloned().collect());
        let gpus = ledger.expected().map(|expected| expected.gpus).or(learned.map(|learned| learned.gpus))?;
        let pci = pci.filter(|pci| u32::try_from(pci.len()) == Ok(gpus));
        Some(Inventory { gpus, pci: pci.unwrap_or_default() })
    }

    /// Returns what names the GPUs that the node has or had, with the slots that the host knows.
    pub async fn cards(&self) -> Vec<Card> {
        let sysfs = self.node.sysfs.clone();
        let slots = self.slots.ask(move || sysfs::slots(&sysfs)).await.unwrap_or_default();
        let mut cards = self.node.memory.cards();
        for card in &mut cards {
            let place = card.pci.rsplit_once('.').map_or(card.pci.as_str(), |(place, _)| place);
            card.slot = slots.get(place).cloned();
        }
        cards
    }

    /// Returns the addresses of the GPUs that another driver than `amdgpu` has.
    pub fn lent(&self) -> Vec<String> {
        let bus = self.node.ledger.pci().unwrap_or_default();
        bus.into_iter().filter(inventory::PciGpu::is_foreign).map(|gpu| gpu.address).collect()
    }

    /// Returns the first periodic network run begun after `since`. Starts none.
    pub async fn network(&self, since: Timestamp) -> Result<Run, Refusal> {
        if !self.node.settings().tests_network {
            return Err(Refusal::NoNetworkCheck);
        }
        let run_dir = self.node.run_dir.clone();
        let pause = self.looking.ask(move || run_dir.pause(clock::now())).await;
        if pause.ok_or(Refusal::Interrupted)?.rests() {
            return Err(Refusal::Paused);
        }
        self.node.ledger.network_run_after(since).ok_or(Refusal::NotYet)
    }
}
