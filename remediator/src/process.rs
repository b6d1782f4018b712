//! The only module that starts processes.
#![allow(clippy::disallowed_methods, reason = "this is the one module that starts processes")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::agent::host::HostError;

/// What a command that ended left behind.
#[derive(Debug)]
pub struct Ended {
    /// `None`: ended by a signal.
    pub exit_status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs `program` with `input` on its standard input, as a process group of its own that is killed at the deadline.
/// `what` names it in errors.
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
            // A program that does not read its input has its reasons; its exit status tells.
            let _ = stdin.write_all(input).await;
        }
    };
    let both = async { tokio::join!(feed, child.wait_with_output()).1 };
    match tokio::time::timeout(deadline, both).await {
        Ok(output) => {
            let output = output.map_err(started)?;
            Ok(Ended { exit_status: output.status.code(), stdout: output.stdout, stderr: output.stderr })
        }
        Err(_) => {
            kill_group(group);
            Err(HostError::TooLong { what: what.to_owned(), seconds: deadline.as_secs() })
        }
    }
}

fn kill_group(group: Option<u32>) {
    let pid = group.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // A group that is gone already needs no signal.
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}
