//! The power supply of a virtual machine: it runs qemu, switches it off and on through its monitor
//! (QMP), and counts every reset. It is independent of what runs in the machine.

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

/// Seconds within which a repeated reset event counts as the same reset; no machine boots in that
/// time.
const TOLD_AGAIN: i64 = 3;
/// Timeout for qemu to open its sockets, and to exit.
const OPENS: Duration = Duration::from_secs(30);

/// The switch of a machine, and its count of resets.
#[derive(Debug, Clone)]
pub struct PowerSwitch {
    says: Arc<Mutex<OwnedWriteHalf>>,
    resets: Arc<AtomicU32>,
    cut: Arc<AtomicBool>,
}

/// The task that runs a machine; dropping it stops the machine.
pub type Current = JoinSet<()>;

impl PowerSwitch {
    /// Starts qemu, whose monitor (QMP) opens at `socket`, and follows its events; `log` has all of
    /// them.
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
                // One reset causes several events within milliseconds, because a kernel tries
                // several methods.
                if said["event"] == "RESET" && at > last.saturating_add(TOLD_AGAIN) {
                    self.resets.fetch_add(1, Ordering::Relaxed);
                    last = at;
                }
            }
            if !self.cut.swap(false, Ordering::Relaxed) {
                tracing::error!("{} has exited by itself", process.name());
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

    /// Number of resets since the machine was switched on, from any cause.
    pub fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    /// Switches the power off and on, so that the machine boots from any state. A reset by qemu
    /// (`system_reset`) is not enough: its NVMe disk may stop responding in the next boot.
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

    /// Pauses the machine, as if its power were off; its memory is preserved.
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
        bail!("the monitor closed without a greeting");
    }
    write.write_all(b"{\"execute\": \"qmp_capabilities\"}\n").await.context("greeting the monitor")?;
    Ok((process, lines, write))
}
