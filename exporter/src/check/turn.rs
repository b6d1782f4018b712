//! What one run of a check leaves for the next: whatever it could not end, and details that are not
//! read in each run. Starts nothing.

use crate::ending::Ending;
use crate::facts::Gpu;
use crate::judge::Finding;
use crate::start::child::Abandoned;
use crate::start::work::DETAILS_EVERY;
use crate::strikes::Trigger;
use std::time::Instant;
use tokio::task::JoinHandle;

/// State that one run leaves for the next.
#[derive(Debug, Default)]
pub struct Turn {
    pub lost: Option<Lost>,
    /// A call that only adds facts and that nothing could end. It says nothing about the next run;
    /// as long as it lives, no call that only adds facts is started.
    pub spare: Option<Abandoned>,
    pub details: Details,
    pub runs: u64,
}

/// What the calls for details last showed.
#[derive(Debug, Default)]
pub struct Details {
    pub asked_at: Option<Instant>,
    pub gpus: Vec<Gpu>,
}

impl Details {
    pub fn are_due(&self) -> bool {
        self.asked_at.is_none_or(|at| at.elapsed() >= DETAILS_EVERY)
    }

    /// Adds wear, links and throttling to the GPUs with the same address, unless they are old: the
    /// calls may not be made any more.
    pub fn add_to(&self, gpus: &mut [Gpu]) {
        if self.asked_at.is_none_or(|at| at.elapsed() > DETAILS_EVERY * 3) {
            return;
        }
        for gpu in gpus.iter_mut().filter(|gpu| gpu.pci_bus.is_some()) {
            if let Some(more) = self.gpus.iter().find(|more| more.pci_bus == gpu.pci_bus) {
                gpu.health.add(more.health.clone());
                gpu.throttled = gpu.throttled.or(more.throttled);
            }
        }
    }
}

/// What a run could not end. As long as it exists, nothing else is started.
#[derive(Debug)]
pub enum Lost {
    Process(Abandoned),
    Thread(JoinHandle<Option<Done>>, Place),
}

/// The file system in which a thread hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The one with the tool: the node is at fault.
    Tool,
    /// The one with the exporter's own files, or sysfs: this proves nothing about the node.
    Ours,
}

impl Place {
    pub fn ending(self) -> Ending {
        match self {
            Place::Tool => Ending::Hung("the start of the tool does not return".to_string()),
            Place::Ours => Ending::NotStarted("the run directory or sysfs does not respond".to_string()),
        }
    }
}

impl Turn {
    /// Returns the ending of this run if something of an earlier run still exists.
    pub async fn still_there(&mut self) -> Option<Ending> {
        self.spare = self.spare.take().and_then(|mut spare| (!spare.is_gone()).then_some(spare));
        match self.lost.take()? {
            Lost::Thread(thread, place) if !thread.is_finished() => {
                self.lost = Some(Lost::Thread(thread, place));
                return Some(place.ending());
            }
            // The thread itself may have lost a process.
            Lost::Thread(thread, _) => {
                let done = thread.await.ok().flatten()?;
                self.lost = done.lost.map(Lost::Process);
                self.spare = self.spare.take().or(done.spare);
            }
            process => self.lost = Some(process),
        }
        let Some(Lost::Process(process)) = &mut self.lost else { return None };
        let ending = Ending::Hung(process.what());
        if process.is_gone() {
            self.lost = None;
            return None;
        }
        Some(ending)
    }
}

/// Result of a run, as its thread returns it.
#[derive(Debug)]
pub struct Done {
    pub trigger: Trigger,
    pub ending: Ending,
    pub finding: Finding,
    /// A child that survived the run.
    pub lost: Option<Abandoned>,
    /// A child of a call that only adds facts, which survived it.
    pub spare: Option<Abandoned>,
    /// `None` if the calls for details were not made.
    pub details: Option<Vec<Gpu>>,
}
