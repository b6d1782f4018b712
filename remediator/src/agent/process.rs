//! The only module that starts processes.
#![allow(clippy::disallowed_methods, reason = "this is the one module that starts processes")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// Why an operation on the host failed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("reading the boot ID from {path}")]
    BootID { path: String, source: std::io::Error },
    #[error("reading {path}")]
    Read { path: String, source: std::io::Error },
    #[error("writing {path}")]
    Write { path: String, source: std::io::Error },
    #[error("starting {what}")]
    Start { what: String, source: std::io::Error },
    #[error("{what}: systemd answered {message}")]
    Systemd { what: &'static str, message: String },
    /// The answer was lost: the request may have been carried out, or never arrived.
    #[error("{what}: no answer of systemd: {message}")]
    Unanswered { what: &'static str, message: String },
    #[error("the reboot is held off by {holders}")]
    Inhibited { holders: String },
    #[error("{what} took longer than {seconds} s")]
    TooLong { what: String, seconds: u64 },
}

impl HostError {
    /// Whether the request may have been carried out all the same.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Unanswered { .. })
    }

    /// Returns the error with its source: a reader of the record does not have the log.
    pub fn whole(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }
}

/// Limit of a command's stored output in bytes. Its end is stored; a command may print gigabytes.
const KEPT: usize = 2 << 20;

/// The exit status of a site's program that began nothing, because of something that passes by
/// itself: `EX_TEMPFAIL` of sysexits.h.
pub const TRY_LATER: i32 = 75;

/// The result of a command that has exited.
#[derive(Debug)]
pub struct Ended {
    /// `None`: killed by a signal.
    pub exit_status: Option<i32>,
    /// The end of the output: 2 to 4 MiB if there was more.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs `program` with `input` on its standard input, in a process group of its own that is killed
/// at the deadline. `what` names it in errors.
pub async fn run(
    what: &str,
    program: &str,
    arguments: &[&str],
    input: &[u8],
    deadline: Duration,
) -> Result<Ended, HostError> {
    let started = |source| HostError::Start { what: what.to_owned(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(started)?;
    let group = child.id();
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program may ignore its input; a failure shows in its exit status.
            let _ = stdin.write_all(input).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(feed, end_of(stdout), end_of(stderr), child.wait()) };
    match tokio::time::timeout(deadline, all).await {
        Ok(((), stdout, stderr, status)) => {
            let exit_status = status.map_err(started)?.code();
            Ok(Ended { exit_status, stdout: stdout.map_err(started)?, stderr: stderr.map_err(started)? })
        }
        Err(_) => {
            kill_group(group);
            Err(HostError::TooLong { what: what.to_owned(), seconds: deadline.as_secs() })
        }
    }
}

/// Reads to the end and returns the last part.
async fn end_of(from: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return Ok(kept) };
    while from.read_buf(&mut kept).await? > 0 {
        if kept.len() >= 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    Ok(kept)
}

fn kill_group(group: Option<u32>) {
    let pid = group.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // The group may have exited already.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_stored() {
        let says = "head -c 20000000 /dev/zero; echo the end";
        let ended = run("it", "/bin/sh", &["-c", says], b"", Duration::from_secs(60)).await.unwrap();
        assert_eq!(ended.exit_status, Some(0));
        assert!(ended.stdout.len() < 2 * KEPT + 100 && ended.stdout.ends_with(b"the end\n"), "{}", ended.stdout.len());
    }
}
