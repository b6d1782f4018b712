//! The enclosure: a lab runs as process 1 of its own PID namespace, with its own /proc.
//!
//! Ctrl-C, a panic, or SIGKILL of the inner or the outer process stops every process in the
//! enclosure. The namespaces and the mount vanish with the last process. The outer process waits,
//! forwards a request to stop, and removes the state directory. The rope between the two processes
//! is a pipe: the inner process exits when it reads the end of it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::{environment, process};

const INSIDE: &str = "OSSCI_LAB_STATE_DIR";
/// Timeout for the inner process to exit.
const PATIENCE: Duration = Duration::from_secs(15);

/// The state directory, if this process runs inside an enclosure.
pub fn inside() -> Option<PathBuf> {
    (std::process::id() == 1).then(|| environment::variable(INSIDE)).flatten().map(PathBuf::from)
}

/// Runs this program with the same arguments in an enclosure and returns its exit status.
pub async fn enter(state_dir: Option<&Path>, keep: bool) -> Result<i32> {
    attend(Enclosed::start(state_dir, Stdio::inherit())?, keep).await
}

/// Like `enter`, with a network namespace of its own, in which no interface is up yet.
pub async fn enter_alone(state_dir: Option<&Path>, keep: bool) -> Result<i32> {
    attend(Enclosed::start_with(state_dir, &["--net"], Stdio::inherit())?, keep).await
}

async fn attend(mut enclosed: Enclosed, keep: bool) -> Result<i32> {
    let rope = enclosed.child.stdin.take();
    let mut interrupts = Interrupts::listen()?;
    let own_rope = rope_end();
    let status = tokio::select! {
        status = enclosed.child.wait() => Some(status.context("waiting for the lab")?),
        () = interrupts.come() => None,
        () = own_rope => None,
    };
    drop(rope);
    let code = status.map_or(130, |status| status.code().unwrap_or(1));
    enclosed.end(status, keep).await?;
    Ok(code)
}

/// A new state directory. All have names of one length: the path of a node's socket is in mails,
/// which cut long lines, and expected mails are compared.
pub fn new_state_dir() -> PathBuf {
    let name = uuid::Uuid::new_v4().simple().to_string();
    environment::temp_dir().join(format!("ossci-lab-{}", &name[..6]))
}

/// This program with the same arguments in an enclosure. It exits when its standard input is
/// closed.
pub struct Enclosed {
    pub child: tokio::process::Child,
    dir: PathBuf,
}

impl Enclosed {
    pub fn start(state_dir: Option<&Path>, out: Stdio) -> Result<Self> {
        Self::start_with(state_dir, &[], out)
    }

    fn start_with(state_dir: Option<&Path>, namespaces: &[&str], out: Stdio) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a lab needs root for its namespaces: run it with sudo");
        }
        let Some(unshare) = environment::on_path("unshare") else {
            bail!("`unshare` is missing: install it with `apt-get install util-linux`");
        };
        let dir = match state_dir {
            Some(dir) => dir.to_owned(),
            None => new_state_dir(),
        };
        if dir.join("lab.json").exists() {
            bail!("{} belongs to another lab: remove it or choose another --state-dir", dir.display());
        }
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        let dir = dir.canonicalize().with_context(|| format!("finding {}", dir.display()))?;
        let args: Vec<OsString> = std::env::args_os().skip(1).collect();
        let env: [(&str, &OsStr); 1] = [(INSIDE, dir.as_os_str())];
        let child = process::enclosed(&unshare, &environment::this_program()?, &args, &env, namespaces, out)?;
        Ok(Self { child, dir })
    }

    /// Waits until it has exited, and removes its state directory unless `keep` is set.
    pub async fn end(mut self, status: Option<ExitStatus>, keep: bool) -> Result<()> {
        drop(self.child.stdin.take());
        if status.is_none() && tokio::time::timeout(PATIENCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        if keep {
            println!("kept: {}", self.dir.display());
            return Ok(());
        }
        fs::remove_dir_all(&self.dir).with_context(|| format!("removing {}", self.dir.display()))
    }
}

/// Signals from outside that ask the lab to stop.
pub struct Interrupts([Signal; 3]);

impl Interrupts {
    pub fn listen() -> Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt()).context("listening for Ctrl-C")?,
            signal(SignalKind::terminate()).context("listening for SIGTERM")?,
            signal(SignalKind::hangup()).context("listening for SIGHUP")?,
        ]))
    }

    pub async fn come(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Inside: the receiver becomes true when the lab should stop.
pub fn end_wanted() -> Result<watch::Receiver<bool>> {
    Ok(jobs()?.end)
}

/// Returns the result of the work, unless the lab is asked to stop first.
pub async fn unless_ended<T>(end: &mut watch::Receiver<bool>, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        _ = end.wait_for(|end| *end) => bail!("interrupted"),
    }
}

/// The lines from the rope, until its other end is closed.
pub struct Jobs {
    pub lines: mpsc::UnboundedReceiver<String>,
    /// Becomes true when the lab should stop.
    pub end: watch::Receiver<bool>,
}

/// Inside: reads the rope.
pub fn jobs() -> Result<Jobs> {
    let (send, end) = watch::channel(false);
    let (line_send, lines) = mpsc::unbounded_channel();
    let mut interrupts = Interrupts::listen()?;
    let by_signal = send.clone();
    tokio::spawn(async move {
        interrupts.come().await;
        by_signal.send_replace(true);
    });
    std::thread::spawn(move || {
        // If the receiver is dropped, the lines are discarded.
        std::io::stdin().lines().map_while(Result::ok).for_each(|line| drop(line_send.send(line)));
        send.send_replace(true);
    });
    Ok(Jobs { lines, end })
}

/// Outside: waits for the end of standard input if a test holds its other end. A terminal, a file
/// or /dev/null is ignored.
async fn rope_end() {
    use rustix::fs::{FileType, fstat};
    let is_pipe = fstat(std::io::stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo);
    if !is_pipe || environment::variable("OSSCI_LAB_ROPE").is_none() {
        return std::future::pending().await;
    }
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        read_to_end();
        let _ = send.send(());
    });
    let _ = receive.await;
}

fn read_to_end() {
    let mut buffer = [0u8; 256];
    let mut stdin = std::io::stdin();
    while matches!(stdin.read(&mut buffer), Ok(read) if read > 0) {}
}
