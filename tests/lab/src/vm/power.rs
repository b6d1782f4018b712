//! The power supply of a virtual machine: it holds qemu, switches it off and on through its monitor (QMP), and is the witness of
//! every reset. It knows nothing of what runs in the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::process::{Process, Program};
use crate::{clock, wait};

/// Seconds within which a reset that is told again is the same one; no machine boots so fast.
const TOLD_AGAIN: i64 = 3;
/// How long qemu may take to open its sockets, and to end.
const OPENS: Duration = Duration::from_secs(30);

/// The switch of a machine, and its memory of resets.
#[derive(Debug, Clone)]
pub struct PowerSwitch {
    says: Arc<Mutex<OwnedWriteHalf>>,
    resets: Arc<AtomicU32>,
    cut: Arc<AtomicBool>,
}

/// What keeps a machine running; without it the machine is gone.
pub type Current = JoinSet<()>;

impl PowerSwitch {
    /// Starts qemu, whose monitor (QMP) opens at `socket`, and follows what it tells; all of that is in `log`, too.
    pub async fn switch_on(qemu: Program, socket: &Path, log: &Path) -> Result<(Self, Current)> {
        let socket = socket.to_owned();
        let (process, lines, says) = begin(&qemu, &socket).await?;
        let log = File::create(log).await.with_context(|| format!("creating {}", log.display()))?;
        let (says, resets, cut) = (Arc::new(Mutex::new(says)), Arc::default(), Arc::default());
        let switch = Self { says, resets, cut };
        let mut current = Current::new();
        current.spawn(switch.clone().keep_on(qemu, socket, log, process, lines));
        Ok((switch, current))
    }

    async fn keep_on(self, qemu: Program, socket: PathBuf, mut log: File, mut process: Process, mut lines: Told) {
        let mut last = i64::MIN;
        loop {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
                let said: Value = serde_json::from_str(&line).unwrap_or_default();
                let at = said["timestamp"]["seconds"].as_i64().unwrap_or_default();
                // One reset is told several times within some milliseconds: a kernel tries all that it knows.
                if said["event"] == "RESET" && at > last.saturating_add(TOLD_AGAIN) {
                    self.resets.fetch_add(1, Ordering::Relaxed);
                    last = at;
                }
            }
            if !self.cut.swap(false, Ordering::Relaxed) {
                tracing::error!("{} has ended by itself", process.name());
                return;
            }
            process.stop(OPENS).await;
            match begin(&qemu, &socket).await {
                Ok((begun, told, says)) => {
                    (process, lines) = (begun, told);
                    *self.says.lock().await = says;
                    self.resets.fetch_add(1, Ordering::Relaxed);
                    last = clock::now().as_second();
                }
                Err(error) => {
                    tracing::error!("{error:#}");
                    return;
                }
            }
        }
    }

    /// How often the machine was reset since it was switched on, by whoever did it.
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Power off and on: the machine begins again, whatever it did. A reset of qemu's own (`system_reset`) is not enough, its
    /// NVMe disk may answer nothing any more in the boot that follows.
    pub async fn reset(&self) -> Result<()> {
        let before = self.resets();
        self.cut.store(true, Ordering::Relaxed);
        self.say("quit").await?;
        wait::until("the machine is switched on again", OPENS * 2, || async {
            ensure!(self.resets() > before, "not yet");
            Ok(())
        })
        .await
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

type Told = Lines<BufReader<OwnedReadHalf>>;

async fn begin(qemu: &Program, socket: &Path) -> Result<(Process, Told, OwnedWriteHalf)> {
    let _ = std::fs::remove_file(socket);
    let mut process = qemu.clone().start(&socket.with_file_name("qemu.log"))?;
    let stream = process
        .ready(OPENS, || async { UnixStream::connect(socket).await.context("connecting to the monitor") })
        .await?;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    if lines.next_line().await.context("the monitor's greeting")?.is_none() {
        bail!("the monitor said nothing");
    }
    write.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").await.context("greeting the monitor")?;
    Ok((process, lines, write))
}
