//! The monitor (QMP) of a virtual machine: its power switch, and the witness of every reset. It knows nothing of what runs in
//! the machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Mutex;

use crate::wait;

/// Seconds within which a reset that is told again is the same one; no machine boots so fast.
const TOLD_AGAIN: i64 = 3;

/// How long a reset may take to be told.
const RESETS: Duration = Duration::from_secs(30);

/// A connection that stays open for as long as the machine's resets are counted.
#[derive(Debug, Clone)]
pub struct Monitor {
    says: Arc<Mutex<OwnedWriteHalf>>,
    resets: Arc<AtomicU32>,
}

impl Monitor {
    /// Connects, and follows what it tells; all of that is in `log` too.
    pub async fn attend(socket: &Path, log: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("connecting to the monitor")?;
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        if lines.next_line().await.context("the monitor's greeting")?.is_none() {
            bail!("the monitor said nothing");
        }
        write.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").await.context("greeting the monitor")?;
        let resets = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&resets);
        let mut log = tokio::fs::File::create(log).await.with_context(|| format!("creating {}", log.display()))?;
        tokio::spawn(async move {
            let mut last = i64::MIN;
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
                let said: Value = serde_json::from_str(&line).unwrap_or_default();
                let at = said["timestamp"]["seconds"].as_i64().unwrap_or_default();
                // One reset is told several times within some milliseconds: a kernel tries all that it knows.
                if said["event"] == "RESET" && at > last.saturating_add(TOLD_AGAIN) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    last = at;
                }
            }
        });
        Ok(Self { says: Arc::new(Mutex::new(write)), resets })
    }

    /// How often the machine was reset since it was switched on, by whoever did it.
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    /// The machine begins again, whatever it does, and runs. What was on its way to its disk arrives first: qemu's NVMe disk may
    /// answer nothing any more when a reset cuts that off.
    pub async fn reset(&self) -> Result<()> {
        let before = self.resets();
        self.stop().await?;
        self.say("system_reset").await?;
        wait::until("the machine is reset", RESETS, || async {
            ensure!(self.resets() > before, "not yet");
            Ok(())
        })
        .await?;
        self.say("cont").await
    }

    /// The machine does nothing any more, as one whose power is off; what it has in memory stays.
    pub async fn stop(&self) -> Result<()> {
        self.say("stop").await
    }

    async fn say(&self, command: &str) -> Result<()> {
        let line = format!("{}\n", json!({ "execute": command }));
        self.says.lock().await.write_all(line.as_bytes()).await.with_context(|| format!("saying {command}"))
    }
}
