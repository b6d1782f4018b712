//! A simulated machine: power and boots. It has no access to Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, watch};

use crate::fault::Fault;
use crate::node_dir::{BootEnd, NodeDir};
use crate::{clock, process};

/// Interval at which it polls for requests.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The power state that every process of the node follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Power {
    pub on: bool,
    pub boot_id: String,
}

#[derive(Clone)]
pub struct Machine {
    dir: NodeDir,
    power: Arc<watch::Sender<Power>>,
    /// How long a reboot keeps the machine dark.
    downtime: Duration,
    rebooting: Arc<Mutex<()>>,
}

impl Machine {
    /// Switches on a machine whose first boot has begun.
    pub fn switch_on(dir: NodeDir, downtime: Duration) -> Result<Self> {
        let boot_id = dir.boot_id().context("reading the first boot id")?;
        let (power, _) = watch::channel(Power { on: true, boot_id });
        Ok(Self { dir, power: Arc::new(power), downtime, rebooting: Arc::default() })
    }

    pub fn power(&self) -> watch::Receiver<Power> {
        self.power.subscribe()
    }

    /// Carries out the requested reboots until the lab stops.
    pub async fn run(self) {
        loop {
            let carried_out = async {
                if let Some(request) = self.dir.reboot_request()? {
                    self.reboot(&request.order).await?;
                }
                anyhow::Ok(())
            };
            if let Err(error) = carried_out.await {
                tracing::error!("machine {}: {error:#}", self.dir.path().display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Ends this boot and begins the next one.
    pub async fn reboot(&self, by: &str) -> Result<()> {
        let _one_at_a_time = self.rebooting.lock().await;
        let boot_id = self.dir.boot_id().context("reading the boot id")?;
        self.power.send_replace(Power { on: false, boot_id: boot_id.clone() });
        // A further request is void: the machine is going down already.
        self.dir.record_boot_end(&BootEnd { at: clock::now(), boot_id, by: by.to_owned() })?;
        self.end_processes();
        tokio::time::sleep(self.downtime).await;
        while self.dir.faults()?.has(Fault::StaysDark) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.end_processes();
        self.dir.clear_reboot_request()?;
        let reimaged = self.dir.take_reimaged()? | self.dir.take_new_disk()?;
        self.dir.set_faults(&self.dir.faults()?.after_reboot(reimaged))?;
        let boot_id = self.dir.begin_boot()?;
        self.power.send_replace(Power { on: true, boot_id });
        Ok(())
    }

    /// A hardware reset: it ends this boot, or boots a machine that hangs during shutdown.
    pub async fn force(&self) -> Result<()> {
        if self.power.borrow().on {
            return self.reboot("bmc").await;
        }
        self.dir.set_faults(&self.dir.faults()?.after_reboot(false))
    }

    pub fn has(&self, fault: Fault) -> Result<bool> {
        Ok(self.dir.faults()?.has(fault))
    }

    /// Cuts the power, then boots a new system without the data of the old one.
    pub async fn install(&self, by: &str) -> Result<()> {
        self.dir.mark_new_disk()?;
        self.reboot(by).await
    }

    /// Kills the processes of this node. Each has the node's directory in its command line or
    /// environment.
    pub fn end_processes(&self) {
        let root = self.dir.path().display().to_string();
        process::kill_all(|text| {
            text.match_indices(&root)
                .any(|(at, _)| !text[at + root.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '-'))
        });
        process::collect_orphans();
    }
}
