//! State that all checks of a node share: paths, ledger, memory, and the settings that a reload may
//! change. Its only activity is a watcher that copies the run directory and the PCI bus to the
//! ledger.

use crate::config::Config;
use crate::inventory::{self, Expected};
use crate::judge::Bounds;
use crate::state::boot;
use crate::state::errand::Errand;
use crate::state::fabric;
use crate::state::ledger::Ledger;
use crate::state::memory::Memory;
use crate::state::run_dir::{Pause, RunDir};
use crate::state::sysfs;
use ossci_base::clock;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio::time::sleep;
use tracing::{info, warn};

/// The thread that reads the state directory panicked.
#[derive(Debug, Error)]
#[error("cannot read the state directory")]
pub struct LoadError(#[source] tokio::task::JoinError);

/// State that all checks of a node share.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub run_dir: RunDir,
    pub ledger: Ledger,
    pub memory: Arc<Memory>,
    pub sysfs: PathBuf,
    pub procfs: PathBuf,
    pub settings: RwLock<Settings>,
}

/// Settings that a reload may change.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Settings {
    pub bounds: Bounds,
    /// From the configuration; the run directory and earlier runs are other sources.
    pub expected_gpus: Option<u32>,
    pub expected_partitions: Option<u32>,
    /// For this long after the boot a failure is no strike.
    pub boot_grace: Duration,
    pub tests_network: bool,
}

/// How long the start waits for the state directory.
const STATE_PATIENCE: Duration = Duration::from_secs(5);

impl Node {
    /// Creates the state, with what the state directory holds of this boot. That directory may be
    /// on a dead disk, so it is read on its own thread, and is waited for for 5 s.
    pub async fn load(config: &Config) -> Result<Arc<Self>, LoadError> {
        let boot_id = boot::boot_id(&config.paths.procfs)
            .inspect_err(|error| warn!(%error, "boot ID unreadable: a restart will reset the strikes"))
            .ok();
        let name = config.node_name().or_else(|| boot::hostname(&config.paths.procfs)).unwrap_or_default();
        if name.is_empty() {
            warn!("no node name: nodes without one all test the network at the same moment");
        }
        let memory = Arc::new(Memory::new(&config.paths.state_dir, &name, boot_id));
        let reading = Arc::clone(&memory);
        let reading = tokio::task::spawn_blocking(move || reading.read(clock::now()));
        match tokio::time::timeout(STATE_PATIENCE, reading).await {
            Ok(read) => read.map_err(LoadError)?,
            Err(_) => warn!("the state directory does not respond, starting without it"),
        }
        Ok(Arc::new(Self {
            name,
            run_dir: RunDir::new(&config.paths.run_dir),
            ledger: Ledger::new(clock::now(), []),
            memory,
            sysfs: config.paths.sysfs.clone(),
            procfs: config.paths.procfs.clone(),
            settings: RwLock::new(Settings::default()),
        }))
    }

    pub fn settings(&self) -> Settings {
        *self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
    }
}

/// How often the files of the run directory are read for the metrics. Each run reads them as well.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// One read of the PCI bus and of the fabric's ports per this many reads of the run directory: they
/// change only with a boot, a reset or manual work.
const LOOKS_A_BUS_LOOK: u32 = 12;

/// Copies the run directory to the ledger, and logs its changes. Returns only when its task is
/// aborted.
pub async fn watch_run_dir(node: Arc<Node>) {
    let mut said = (Pause::No, None);
    let mut looks = 0;
    let asking = Errand::default();
    loop {
        let looking = Arc::clone(&node);
        let bus_too = looks % LOOKS_A_BUS_LOOK == 0;
        // One thread for all of these reads, since any of them may hang.
        let look = move || {
            if bus_too {
                looking.ledger.set_pci(sysfs::pci_gpus(&looking.sysfs));
            }
            (looking.run_dir.pause(clock::now()), looking.run_dir.inventory())
        };
        looks += 1;
        if bus_too {
            // Ports that cannot be read have no values, rather than old ones.
            let sysfs = node.sysfs.clone();
            node.ledger.set_fabric(asking.ask(move || fabric::ports(&sysfs)).await.unwrap_or_default());
        }
        let Ok((pause, inventory)) = tokio::task::spawn_blocking(look).await else { continue };
        let (file, bad) = match inventory {
            Ok(file) => (file, None),
            Err(error) => (None, Some(error)),
        };
        let learned = node.memory.best_learned(|check| node.ledger.runs(check));
        let expected = inventory::expected(node.settings().expected_gpus, file, learned.as_ref());
        let (addresses, pci) = (learned.map(|learned| learned.pci), node.ledger.pci());
        let of_ours = |expected: Expected| {
            let gpus = inventory::wanted(expected, addresses.as_deref(), pci.as_deref()).all;
            Expected { gpus, ..expected }
        };
        node.ledger.set_run_dir(pause.clone(), bad.is_some(), expected.map(of_ours));
        if said.0 != pause {
            match &pause {
                Pause::No => info!("checks no longer paused"),
                Pause::Until(until) => info!(%until, "checks paused"),
                Pause::Unreadable(error) => warn!(error, "pause file invalid, checks not paused"),
            }
        }
        if let Some(error) = bad.as_ref().filter(|_| said.1 != bad) {
            warn!(error, "inventory file invalid, ignored");
        }
        said = (pause, bad);
        sleep(WATCH_INTERVAL).await;
    }
}
