//! State that survives a restart: the strikes of this boot, and the GPUs that healthy runs showed
//! on any boot. Held in memory and written to disk. A full, broken or hung disk is logged and
//! counted; only the next restart loses state by it.

use crate::facts::Gpu;
use crate::inventory::{self, Learning};
use crate::state::state_file::{
    Durability, INVENTORY, InventoryFile, STRIKES, StateError, StrikesEntry, StrikesFile, load, store,
};
use crate::strikes::Standing;
use crate::verdict::Check;
use jiff::{SignedDuration, Timestamp};
use ossci_base::clock;
use ossci_base::contract::inventory::{Card, Inventory};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::time::Instant;
use tokio::time::timeout;
use tracing::{info, warn};

/// How long the times of a healthy check may lag behind on disk. The next run after a restart
/// renews them.
const CALM: Duration = Duration::from_secs(300);

/// Timeout of a write. It continues in the background, and the next write follows it.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// A clock may be set back by this much between two runs, and a file hold a time that has not come.
const CLOCK_STEP_SECONDS: i64 = 60;

/// The checks of GPUs, from the one whose tool names most about them.
const BEST: [Check; 3] = [Check::RocmSmi, Check::AmdSmi, Check::Rocminfo];

#[derive(Debug)]
pub struct Memory {
    directory: PathBuf,
    content: Mutex<Content>,
    /// Held by the write itself, so that older content never replaces newer content.
    disk: Arc<tokio::sync::Mutex<()>>,
    failing: AtomicBool,
    write_failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Content {
    node: String,
    /// Without it the counts of two boots could not be distinguished, so none are stored.
    boot_id: Option<String>,
    /// Whether the files were read. Nothing is written before: it would replace what they hold.
    read: bool,
    standings: BTreeMap<Check, StrikesEntry>,
    learning: BTreeMap<Check, Learning>,
    passed: BTreeSet<Check>,
    /// What names the GPUs, by bus address.
    cards: BTreeMap<String, Card>,
    /// When each check was last written.
    written: BTreeMap<Check, Instant>,
}

impl Memory {
    /// An empty memory of this node and boot.
    pub fn new(directory: &Path, node: &str, boot_id: Option<String>) -> Memory {
        Memory {
            directory: directory.to_path_buf(),
            content: Mutex::new(Content { node: node.to_string(), boot_id, ..Content::default() }),
            disk: Arc::default(),
            failing: AtomicBool::new(false),
            write_failures: AtomicU64::new(0),
        }
    }

    /// A memory of what the directory holds.
    #[cfg(test)]
    pub fn of_disk(directory: &Path, node: &str, boot_id: Option<String>) -> Memory {
        let memory = Self::new(directory, node, boot_id);
        memory.read(clock::now());
        memory
    }

    /// Reads both files; blocks while the disk does. An unreadable file is logged and ignored. What
    /// a run has found meanwhile stays, but for the GPUs: the file's were learned in more runs.
    pub fn read(&self, now: Timestamp) {
        if let Err(error) = std::fs::create_dir_all(&self.directory) {
            warn!(directory = %self.directory.display(), %error, "cannot create the state directory");
        }
        let strikes = load_or_say::<StrikesFile>(&self.directory.join(STRIKES));
        let inventory = load_or_say::<InventoryFile>(&self.directory.join(INVENTORY));
        let mut content = self.content();
        content.read = true;
        if let Some(file) = strikes {
            content.take_strikes(file, now);
        }
        match inventory {
            Some(file) if !file.node.is_empty() && file.node != content.node => {
                warn!(file = INVENTORY, node = file.node, "the GPUs of another node, starting without them");
            }
            Some(file) => content.take_inventory(file),
            None => {}
        }
    }

    /// Returns the stored state of a check.
    pub fn standing(&self, check: Check) -> Standing {
        let entry = self.content().standings.get(&check).cloned().unwrap_or_default();
        Standing {
            consecutive_failures: entry.consecutive_failures,
            last_strike: entry.last_strike,
            last_run: entry.last_run,
            last_success: entry.last_success,
            ..Standing::default()
        }
    }

    /// Returns whether this check has passed on this node, on any boot.
    pub fn passed_before(&self, check: Check) -> bool {
        self.content().passed.contains(&check)
    }

    /// Returns the GPUs that this check has learned.
    pub fn learned(&self, check: Check) -> Option<Inventory> {
        self.content().learning.get(&check)?.learned.clone()
    }

    /// Returns the number that the last runs of this check have shown, while nothing is learned.
    pub fn suspected(&self, check: Check) -> Option<u32> {
        self.content().learning.get(&check)?.suspected()
    }

    /// Returns the GPUs that this check knows: those that it has learned or is about to learn.
    pub fn known(&self, check: Check) -> Option<Inventory> {
        self.content().learning.get(&check)?.known().cloned()
    }

    /// Returns what is learned by that check which names most about its GPUs, of those that run
    /// now.
    pub fn best_learned(&self, runs: impl Fn(Check) -> bool) -> Option<Inventory> {
        BEST.into_iter().filter(|check| runs(*check)).find_map(|check| self.learned(check))
    }

    /// Returns what is known to that check which names most about its GPUs, of those that run now.
    pub fn best_known(&self, runs: impl Fn(Check) -> bool) -> Option<Inventory> {
        BEST.into_iter().filter(|check| runs(*check)).find_map(|check| self.known(check))
    }

    /// Returns what names the GPUs that this node has or had.
    pub fn cards(&self) -> Vec<Card> {
        self.content().cards.values().cloned().collect()
    }

    /// Returns the number of writes that failed or timed out since the start.
    pub fn write_failures(&self) -> u64 {
        self.write_failures.load(Ordering::Relaxed)
    }

    /// Stores the state of a check: strikes immediately, the times of a healthy check every 5 min.
    /// Waits for the disk for at most 1 s.
    pub async fn keep_standing(&self, check: Check, standing: &Standing) {
        let entry = StrikesEntry {
            consecutive_failures: standing.consecutive_failures,
            last_strike: standing.last_strike,
            last_run: standing.last_run,
            last_success: standing.last_success,
        };
        let news = {
            let mut content = self.content();
            let lasting = content.written.get(&check).is_some_and(|written| written.elapsed() < CALM);
            let healthy = |entry: &StrikesEntry| entry.consecutive_failures == 0 && entry.last_success.is_some();
            let calm = lasting && healthy(&entry) && content.standings.get(&check).is_some_and(healthy);
            content.standings.insert(check, entry);
            if !calm {
                content.written.insert(check, clock::monotonic());
            }
            content.boot_id.is_some() && !calm
        };
        if news {
            self.write(STRIKES, Durability::ThisBoot, Content::strikes_file).await;
        }
    }

    /// Stores the GPUs of a passed run, once several runs in a row have shown them. If some are
    /// `away`, such as lent to a virtual machine, nothing is learned: they are expected back.
    pub async fn keep_pass(&self, check: Check, gpus: &[Gpu], away: bool) {
        let news = {
            let mut content = self.content();
            let first = content.passed.insert(check);
            let shown = inventory::of_run(check, gpus).filter(|_| !away);
            let learned = content.learning.entry(check).or_default().hear(shown);
            let named = content.name(gpus);
            first || learned || named
        };
        if news {
            self.write(INVENTORY, Durability::AcrossBoots, Content::inventory_file).await;
        }
    }

    /// Stores one file; returns what went wrong.
    async fn try_write<T: Serialize + Send + 'static>(
        &self,
        name: &str,
        durability: Durability,
        file: fn(&Content) -> T,
    ) -> Option<String> {
        let silent = || Some("the disk does not respond".to_string());
        if !self.content().read {
            return silent();
        }
        let outcome = timeout(DISK_PATIENCE, async {
            let turn = Arc::clone(&self.disk).lock_owned().await;
            let (path, content) = (self.directory.join(name), file(&self.content()));
            let write = tokio::task::spawn_blocking(move || {
                let written = store(&path, &content, durability);
                drop(turn);
                written
            });
            write.await
        });
        match outcome.await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(chain(&error)),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => silent(),
        }
    }

    async fn write<T: Serialize + Send + 'static>(&self, name: &str, durability: Durability, file: fn(&Content) -> T) {
        let trouble = self.try_write(name, durability, file).await;
        if trouble.is_some() {
            self.write_failures.fetch_add(1, Ordering::Relaxed);
        }
        // Every run writes; only the first failure and the recovery are logged.
        match (self.failing.swap(trouble.is_some(), Ordering::Relaxed), trouble) {
            (false, Some(error)) => {
                warn!(file = name, error, "state file not written, its content would be lost in a restart")
            }
            (true, None) => info!(file = name, "state file written again after a failure"),
            _ => {}
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    /// Strikes of another boot do not count, nor those of a time that has not come, whose age
    /// is not known.
    fn take_strikes(&mut self, file: StrikesFile, now: Timestamp) {
        if Some(&file.boot_id) != self.boot_id.as_ref() {
            info!("the node was rebooted, strikes start at zero");
            return;
        }
        let latest = now + SignedDuration::from_secs(CLOCK_STEP_SECONDS);
        for (name, entry) in file.checks {
            let Some(check) = Check::from_name(&name) else { continue };
            if [entry.last_strike, entry.last_run, entry.last_success].into_iter().flatten().any(|at| at > latest) {
                warn!(file = STRIKES, check = name, "a time in the future, strikes start at zero");
            } else {
                self.standings.entry(check).or_insert(entry);
            }
        }
    }

    fn take_inventory(&mut self, file: InventoryFile) {
        self.passed.extend(file.passed.iter().filter_map(|name| Check::from_name(name)));
        let named = |(name, learning): (String, _)| Some((Check::from_name(&name)?, learning));
        let earlier = file.learned.filter(|_| file.checks.is_empty());
        let earlier = earlier.map(|learned| of_earlier_release(learned, &self.passed)).unwrap_or_default();
        self.learning.extend(earlier.into_iter().chain(file.checks.into_iter().filter_map(named)));
        for card in file.cards {
            self.cards.entry(card.pci.clone()).or_insert(card);
        }
    }

    fn strikes_file(&self) -> StrikesFile {
        let named = |(check, entry): (&Check, &StrikesEntry)| (check.as_str().to_string(), entry.clone());
        StrikesFile {
            boot_id: self.boot_id.clone().unwrap_or_default(),
            checks: self.standings.iter().map(named).collect(),
        }
    }

    fn inventory_file(&self) -> InventoryFile {
        let named = |(check, learning): (&Check, &Learning)| (check.as_str().to_string(), learning.clone());
        InventoryFile {
            node: self.node.clone(),
            checks: self.learning.iter().map(named).collect(),
            learned: BEST.into_iter().find_map(|check| self.learning.get(&check)?.learned.clone()),
            passed: self.passed.iter().map(|check| check.as_str().to_string()).collect(),
            cards: self.cards.values().cloned().collect(),
        }
    }

    /// Stores what names the GPUs of a passed run; returns whether anything is new. GPUs that no
    /// check knows any more are forgotten.
    fn name(&mut self, gpus: &[Gpu]) -> bool {
        let mut news = false;
        for gpu in gpus {
            let Some(pci) = &gpu.pci_bus else { continue };
            let (model, serial, unique_id) = (gpu.name.clone(), gpu.serial.clone(), gpu.unique_id.clone());
            let card = Card { pci: pci.clone(), model, serial, unique_id, slot: None };
            if card == (Card { pci: pci.clone(), ..Card::default() }) {
                continue;
            }
            match self.cards.get_mut(pci) {
                Some(known) => news |= known.hear(card),
                None => news |= self.cards.insert(pci.clone(), card).is_none(),
            }
        }
        let known: BTreeSet<&String> =
            self.learning.values().filter_map(Learning::known).flat_map(|of| &of.pci).collect();
        let shown = |pci: &String| gpus.iter().any(|gpu| gpu.pci_bus.as_ref() == Some(pci));
        let before = self.cards.len();
        self.cards.retain(|pci, _| shown(pci) || known.contains(pci));
        news || self.cards.len() != before
    }
}

/// Returns what follows from the number that an earlier release learned for all checks. A device
/// without an address was no GPU for sure. rocminfo may count fewer, so its number is a suspicion.
fn of_earlier_release(learned: Inventory, passed: &BTreeSet<Check>) -> BTreeMap<Check, Learning> {
    let whole = learned.pci.len() == usize::try_from(learned.gpus).unwrap_or(usize::MAX);
    let learning = |check: &Check| match check {
        Check::RocmSmi | Check::AmdSmi if whole => Some((*check, Learning::of(learned.clone()))),
        Check::Rocminfo if whole || learned.pci.is_empty() => {
            let shown = Inventory { gpus: learned.gpus, pci: Vec::new() };
            Some((*check, Learning::suspecting(shown)))
        }
        _ => None,
    };
    passed.iter().filter_map(learning).collect()
}

fn load_or_say<T: DeserializeOwned>(path: &Path) -> Option<T> {
    load(path).unwrap_or_else(|error: StateError| {
        warn!(error = chain(&error), "state file unreadable, starting without it");
        None
    })
}

/// Formats an error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;

    fn load(directory: &Path, boot_id: &str) -> Memory {
        Memory::of_disk(directory, "gpu-1", Some(boot_id.to_string()))
    }

    fn strikes(consecutive_failures: u64) -> Standing {
        Standing { consecutive_failures, ..Standing::default() }
    }

    fn gpus(count: usize) -> Vec<Gpu> {
        let gpu = |index| Gpu { pci_bus: Some(format!("0000:0{index}:00.0")), ..Gpu::default() };
        (0..count).map(gpu).collect()
    }

    async fn learn(memory: &Memory, count: usize) {
        for _ in 0..inventory::EQUAL_RUNS {
            memory.keep_pass(Check::RocmSmi, &gpus(count), false).await;
        }
    }

    #[tokio::test]
    async fn the_inventory_of_an_earlier_release_is_read() {
        let directory = scratch("earlier");
        let read = |gpus: u32| {
            let learned = format!(r#"{{"gpus": {gpus}, "pci": ["0000:05:00.0"]}}"#);
            let file = format!(r#"{{"learned": {learned}, "passed": ["rocm-smi", "rocminfo"]}}"#);
            std::fs::write(directory.join(INVENTORY), file).unwrap();
            let memory = load(&directory, "a");
            let number = |check| memory.learned(check).map(|learned| learned.gpus);
            ([Check::RocmSmi, Check::AmdSmi, Check::Rocminfo].map(number), memory.suspected(Check::Rocminfo))
        };
        assert_eq!(read(1), ([Some(1), None, None], Some(1)));
        assert_eq!(read(2), ([None, None, None], None), "one device had no address");
    }

    #[tokio::test]
    async fn nothing_is_learned_while_a_gpu_is_lent() {
        let memory = load(&scratch("lent"), "a");
        learn(&memory, 8).await;
        for _ in 0..inventory::EQUAL_RUNS {
            memory.keep_pass(Check::RocmSmi, &gpus(7), true).await;
        }
        assert_eq!(memory.learned(Check::RocmSmi).map(|learned| learned.gpus), Some(8));
    }

    #[tokio::test]
    async fn strikes_survive_a_restart_and_end_with_the_boot() {
        let directory = scratch("boots");
        load(&directory, "a").keep_standing(Check::RocmSmi, &strikes(2)).await;
        assert_eq!(load(&directory, "a").standing(Check::RocmSmi).consecutive_failures, 2);
        assert_eq!(load(&directory, "b").standing(Check::RocmSmi).consecutive_failures, 0);
    }

    #[tokio::test]
    async fn inventory_and_passes_survive_a_reboot() {
        let directory = scratch("inventory");
        learn(&load(&directory, "a"), 8).await;
        let later = load(&directory, "b");
        assert_eq!(later.learned(Check::RocmSmi).map(|learned| learned.gpus), Some(8));
        assert_eq!(later.learned(Check::Rocminfo), None);
        assert!(later.passed_before(Check::RocmSmi));
        assert!(!later.passed_before(Check::Rocminfo));
    }

    #[tokio::test]
    async fn the_gpus_of_another_node_are_not_believed() {
        let directory = scratch("other-node");
        learn(&load(&directory, "a"), 8).await;
        let other = Memory::of_disk(&directory, "gpu-2", Some("a".to_string()));
        assert_eq!((other.learned(Check::RocmSmi), other.passed_before(Check::RocmSmi)), (None, false));
        // Its own replace them.
        learn(&other, 4).await;
        assert!(!load(&directory, "b").passed_before(Check::RocmSmi));
    }

    #[tokio::test]
    async fn strikes_of_a_time_that_has_not_come_do_not_count() {
        let directory = scratch("future");
        let now = clock::now();
        for (ahead, strikes_read) in [(3600, 0), (30, 2)] {
            let at = Some(now + SignedDuration::from_secs(ahead));
            let standing = Standing { last_strike: at, last_run: at, ..strikes(2) };
            load(&directory, "a").keep_standing(Check::RocmSmi, &standing).await;
            assert_eq!(load(&directory, "a").standing(Check::RocmSmi).consecutive_failures, strikes_read);
        }
    }

    #[tokio::test]
    async fn what_is_read_late_is_not_replaced_before() {
        let directory = scratch("late");
        learn(&load(&directory, "a"), 8).await;
        let late = Memory::new(&directory, "gpu-1", Some("b".to_string()));
        learn(&late, 7).await;
        assert!(late.write_failures() > 0);
        assert_eq!(load(&directory, "b").learned(Check::RocmSmi).map(|learned| learned.gpus), Some(8));
        late.read(clock::now());
        assert_eq!(late.learned(Check::RocmSmi).map(|learned| learned.gpus), Some(8));
    }

    #[tokio::test]
    async fn a_corrupted_file_does_not_affect_the_other() {
        let directory = scratch("corrupted");
        let memory = load(&directory, "a");
        learn(&memory, 8).await;
        memory.keep_standing(Check::RocmSmi, &strikes(1)).await;
        std::fs::write(directory.join(STRIKES), b"\0\xff{").unwrap();
        let later = load(&directory, "a");
        assert_eq!(later.standing(Check::RocmSmi).consecutive_failures, 0);
        assert_eq!(later.learned(Check::RocmSmi).map(|learned| learned.gpus), Some(8));
        later.keep_standing(Check::RocmSmi, &strikes(2)).await;
        assert_eq!(load(&directory, "a").standing(Check::RocmSmi).consecutive_failures, 2);
    }

    #[tokio::test]
    async fn a_failed_write_is_counted_and_memory_is_kept() {
        let memory = load(Path::new("/dev/null/state"), "a");
        memory.keep_standing(Check::Network, &strikes(3)).await;
        assert_eq!(memory.write_failures(), 1);
        assert_eq!(memory.standing(Check::Network).consecutive_failures, 3);
    }

    #[tokio::test]
    async fn without_a_boot_id_no_strikes_are_stored() {
        let directory = scratch("nameless");
        Memory::of_disk(&directory, "gpu-1", None).keep_standing(Check::RocmSmi, &strikes(2)).await;
        assert!(!directory.join(STRIKES).exists());
    }

    #[tokio::test]
    async fn a_strike_is_written_at_once_and_a_pass_only_sometimes() {
        let directory = scratch("calm");
        let memory = load(&directory, "a");
        let at = |second| jiff::Timestamp::from_second(second).ok();
        let passed = |second| Standing { last_run: at(second), last_success: at(second), ..Standing::default() };
        let on_disk = || load(&directory, "a").standing(Check::RocmSmi);
        memory.keep_standing(Check::RocmSmi, &passed(1)).await;
        memory.keep_standing(Check::RocmSmi, &passed(2)).await;
        assert_eq!(on_disk().last_run, at(1));
        memory.keep_standing(Check::RocmSmi, &Standing { consecutive_failures: 1, ..passed(3) }).await;
        assert_eq!((on_disk().consecutive_failures, on_disk().last_run), (1, at(3)));
        memory.keep_standing(Check::RocmSmi, &passed(4)).await;
        assert_eq!((on_disk().consecutive_failures, on_disk().last_run), (0, at(4)));
    }
}
