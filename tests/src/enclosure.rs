//! The enclosure: a lab runs as process 1 of its own pid namespace, with its own /proc.
//!
//! Whatever ends it (Ctrl-C, a panic, kill -9 of the inner or of the outer process) ends every process in it, and the
//! namespaces and the mount go with the last one. The outer process waits, passes on a wish to end, and removes the
//! state directory. The rope between the two is a pipe: the inner one goes when it reads its end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::{environment, process};

const INSIDE: &str = "OSSCI_LAB_STATE_DIR";
/// How long the inner process may take to say goodbye.
const PATIENCE: Duration = Duration::from_secs(15);

/// The state directory, when this process runs inside an enclosure.
pub fn inside() -> Option<PathBuf> {
    (std::process::id() == 1).then(|| environment::variable(INSIDE)).flatten().map(PathBuf::from)
}

/// Runs this program with the same arguments in an enclosure and returns its exit status.
pub async fn enter(state_dir: Option<&Path>, keep: bool) -> Result<i32> {
    if !rustix::process::geteuid().is_root() {
        bail!("a lab needs root for its namespaces: run it with sudo");
    }
    let Some(unshare) = environment::on_path("unshare") else {
        bail!("`unshare` is missing: install it with `apt-get install util-linux`");
    };
    let dir = match state_dir {
        Some(dir) => dir.to_owned(),
        None => {
            let name = uuid::Uuid::new_v4().simple().to_string();
            environment::temp_dir().join(format!("ossci-lab-{}", &name[..6]))
        }
    };
    if dir.join("lab.json").exists() {
        bail!("{} holds another lab: remove it or choose another --state-dir", dir.display());
    }
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let dir = dir.canonicalize().with_context(|| format!("finding {}", dir.display()))?;
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let env: [(&str, &OsStr); 1] = [(INSIDE, dir.as_os_str())];
    let mut child = process::enclosed(&unshare, &environment::this_program()?, &args, &env)?;
    let rope = child.stdin.take();

    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let own_rope = rope_end();
    let status = tokio::select! {
        status = child.wait() => Some(status.context("waiting for the lab")?),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        _ = hangup.recv() => None,
        () = own_rope => None,
    };
    drop(rope);
    let code = match status {
        Some(status) => status.code().unwrap_or(1),
        None => {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            130
        }
    };
    if keep {
        println!("kept: {}", dir.display());
    } else {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    Ok(code)
}

/// Inside: turns true when the lab should end.
pub fn end_wanted() -> Result<watch::Receiver<bool>> {
    let (send, receive) = watch::channel(false);
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let by_signal = send.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        by_signal.send_replace(true);
    });
    std::thread::spawn(move || {
        read_to_end();
        send.send_replace(true);
    });
    Ok(receive)
}

/// Outside, when a test holds the other end of our standard input: its end is ours. A terminal, a file or /dev/null
/// says nothing.
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
