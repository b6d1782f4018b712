//! The only process starter. One call is one child in a process group of its own, with a deadline and an output limit. Whatever the
//! child does, the call returns: what cannot be killed is handed back as [`Abandoned`]. It does not look at what was printed.
#![allow(clippy::disallowed_methods, reason = "this is the one module that starts processes")]

use crate::parse::Exit;
use crate::schedule::Budget;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::ffi::OsString;
use std::future::Future;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Each stream of a run may hold this much. The largest healthy output (64 partitions) is below 1 MB.
const OUTPUT_BYTES: usize = 8 << 20;

/// The whole environment of a child. The locale keeps messages English and lets Python print a degree sign; no variable that hides
/// GPUs is handed down.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/rocm/bin"),
    ("HOME", "/tmp"),
    ("LC_ALL", "C.UTF-8"),
];

/// What to start.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The tool sees this directory as `/`; started by chroot(1), because the library call would need unsafe code.
    pub rootfs: Option<PathBuf>,
    /// As the tool's own root sees it.
    pub tool: PathBuf,
    pub arguments: Vec<OsString>,
}

/// Nothing was started.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum StartError {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NotStarted(String),
}

/// What a child printed.
#[derive(Debug, Default)]
pub struct Streams {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Streams {
    /// Puts what a later child printed behind what is there.
    pub fn append(&mut self, later: Streams) {
        for (here, more) in [(&mut self.stdout, later.stdout), (&mut self.stderr, later.stderr)] {
            match here.is_empty() {
                true => *here = more,
                false => here.extend(more),
            }
        }
    }
}

/// How a child ended.
#[derive(Debug)]
pub enum Ended {
    Exited(Exit, Streams),
    TimedOut(Exit, Streams),
    OutputLimit,
    Abandoned(Abandoned),
}

/// A child that outlived SIGKILL, or a start that never came back (the program lies on a dead file system).
#[derive(Debug)]
pub enum Abandoned {
    Starting(JoinHandle<Result<Running, StartError>>),
    Running { child: Child, group: Pid },
}

impl Abandoned {
    /// Whether nothing of it is left. Zombies are nothing.
    pub fn is_gone(&mut self) -> bool {
        match self {
            Abandoned::Starting(start) => start.is_finished(),
            Abandoned::Running { child, group } => {
                let leader_gone = !matches!(child.try_wait(), Ok(None));
                leader_gone && !group_lives(*group)
            }
        }
    }

    /// For a sentence: which process it is.
    pub fn what(&self) -> String {
        match self {
            Abandoned::Starting(_) => "the start of the tool does not come back".to_string(),
            Abandoned::Running { group, .. } => {
                format!("process {} of an earlier run outlives SIGKILL", group.as_raw_nonzero())
            }
        }
    }
}

/// Runs one child. `locate` touches the disk and may block as long as it likes.
pub async fn run(
    locate: impl FnOnce() -> Result<Invocation, StartError> + Send + 'static,
    budget: Budget,
) -> Result<Ended, StartError> {
    let deadline = sleep(budget.deadline);
    tokio::pin!(deadline);
    let mut start = tokio::task::spawn_blocking(move || locate().and_then(|invocation| Running::start(&invocation)));
    let mut running = tokio::select! {
        started = &mut start => started.map_err(|error| StartError::NotStarted(error.to_string()))??,
        () = &mut deadline => return Ok(Ended::Abandoned(Abandoned::Starting(start))),
    };

    let first = within(&mut running, &mut deadline).await;
    let stop = match first {
        Some(stop) => stop,
        None => {
            running.group.signal(Signal::TERM);
            match within(&mut running, sleep(budget.grace)).await {
                Some(Stop::Exited(status)) => Stop::Exited(status),
                _ => Stop::OutputLimit,
            }
        }
    };
    let timed_out = first.is_none();
    let status = match stop {
        Stop::Exited(status) => status,
        Stop::OutputLimit => {
            running.group.signal(Signal::KILL);
            match timeout(budget.grace, running.child.wait()).await {
                Ok(Ok(status)) => status,
                _ => return Ok(Ended::Abandoned(running.abandon())),
            }
        }
    };
    // What the leader left behind in its group would hold the pipes and pile up run by run.
    running.group.signal(Signal::KILL);
    if (timed_out || matches!(stop, Stop::OutputLimit)) && !running.group.ends_within(budget.grace).await {
        return Ok(Ended::Abandoned(running.abandon()));
    }
    let (exit, within_limit) = (exit(status), running.drain());
    let streams = running.finish();
    Ok(match (timed_out, stop) {
        (true, _) => Ended::TimedOut(exit, streams),
        (false, Stop::Exited(_)) if within_limit => Ended::Exited(exit, streams),
        (false, _) => Ended::OutputLimit,
    })
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy)]
enum Stop {
    Exited(ExitStatus),
    OutputLimit,
}

/// Reads until the leader exits, prints too much, or the time is over. It is the leader's exit that ends a run, not the end of its
/// output: a grandchild may hold the pipe for ever.
async fn within(running: &mut Running, time: impl Future<Output = ()>) -> Option<Stop> {
    tokio::pin!(time);
    let Running { child, stdout, stderr, streams, .. } = running;
    loop {
        let full = tokio::select! {
            status = child.wait() => return status.ok().map(Stop::Exited),
            () = &mut time => return None,
            full = read_some(stdout, &mut streams.stdout), if stdout.is_some() => full,
            full = read_some(stderr, &mut streams.stderr), if stderr.is_some() => full,
        };
        if full {
            return Some(Stop::OutputLimit);
        }
    }
}

/// Reads what is there; closes the stream at its end. True when there is more than the limit.
async fn read_some<R: AsyncRead + Unpin>(stream: &mut Option<R>, into: &mut Vec<u8>) -> bool {
    let Some(reader) = stream else { return false };
    match reader.read_buf(into).await {
        Ok(0) | Err(_) => *stream = None,
        Ok(_) => {}
    }
    into.len() > OUTPUT_BYTES
}

/// A started child. Dropped before its end (the exporter stops), it takes its group with it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Group,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    streams: Streams,
}

impl Running {
    fn start(invocation: &Invocation) -> Result<Running, StartError> {
        let tool = invocation.tool.display();
        let mut command = match &invocation.rootfs {
            Some(rootfs) => {
                let mut chroot = Command::new("chroot");
                chroot.arg(rootfs).arg(&invocation.tool);
                chroot
            }
            None => Command::new(&invocation.tool),
        };
        command
            .args(&invocation.arguments)
            .current_dir("/")
            .env_clear()
            .envs(ENVIRONMENT)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|error| match (error.kind(), &invocation.rootfs) {
            (ErrorKind::NotFound, None) => StartError::NotFound(format!("{tool}: {error}")),
            (_, None) => StartError::NotStarted(format!("{tool}: {error}")),
            (_, Some(_)) => StartError::NotStarted(format!("chroot: {error}")),
        })?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else {
            return Err(StartError::NotStarted(format!("{tool}: no process id")));
        };
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        // Room for what most tools print: a vector that starts empty is read into in dozens of small steps.
        let streams = Streams { stdout: Vec::with_capacity(32 << 10), stderr: Vec::with_capacity(4 << 10) };
        Ok(Running { child, group: Group { pid, armed: true }, stdout, stderr, streams })
    }

    /// Takes what is left in the pipes without waiting for more. False when that is more than the limit.
    fn drain(&mut self) -> bool {
        drain(&self.stdout, &mut self.streams.stdout) & drain(&self.stderr, &mut self.streams.stderr)
    }

    fn finish(mut self) -> Streams {
        self.group.armed = false;
        std::mem::take(&mut self.streams)
    }

    fn abandon(mut self) -> Abandoned {
        self.group.armed = false;
        Abandoned::Running { child: self.child, group: self.group.pid }
    }
}

/// The pipe is in non-blocking mode, so the kernel itself says when it is empty; the event loop might not know yet what came last.
fn drain<S: AsFd>(stream: &Option<S>, into: &mut Vec<u8>) -> bool {
    let Some(stream) = stream else { return true };
    let mut chunk = [0; 16 << 10];
    while into.len() <= OUTPUT_BYTES {
        match rustix::io::read(stream.as_fd(), &mut chunk) {
            Ok(0) => return true,
            Ok(count) => into.extend_from_slice(&chunk[..count]),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
    false
}

/// The process group of a child: its leader's pid.
#[derive(Debug)]
struct Group {
    pid: Pid,
    armed: bool,
}

impl Group {
    /// An error means that nobody is left.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.pid, signal);
    }

    /// Death by SIGKILL takes a moment, and only its own end tells it from never.
    async fn ends_within(&self, time: Duration) -> bool {
        let ended = async {
            while group_lives(self.pid) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(time, ended).await.is_ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.armed {
            self.signal(Signal::KILL);
        }
    }
}

/// Whether a process of the group still runs. Zombies answer signals: when they are all that answers, somebody else has yet to reap them.
fn group_lives(group: Pid) -> bool {
    if test_kill_process_group(group) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes.flatten().any(|process| {
        let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        is_living_member(&stat, group)
    })
}

/// Reads a line of proc_pid_stat(5): `pid (name) state ppid pgrp ...`, where the name may hold anything.
fn is_living_member(stat: &str, group: Pid) -> bool {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    let (state, member) = (fields.next(), fields.nth(1).and_then(|pgrp| pgrp.parse::<i32>().ok()));
    !matches!(state, Some("Z" | "X")) && member == Some(group.as_raw_nonzero().get())
}

/// A living process in the place of one that cannot be killed, for tests elsewhere.
#[cfg(test)]
pub fn abandoned_sleeper() -> (Abandoned, Pid) {
    let invocation = Invocation { rootfs: None, tool: "/bin/sleep".into(), arguments: vec!["600".into()] };
    let running = Running::start(&invocation).unwrap();
    let group = running.group.pid;
    (running.abandon(), group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;

    const BUDGET: Budget = Budget { deadline: Duration::from_secs(20), grace: Duration::from_secs(5) };
    const SHORT: Budget = Budget { deadline: Duration::from_millis(300), grace: Duration::from_secs(5) };

    async fn shell_within(script: &str, budget: Budget) -> Ended {
        let script = script.to_string();
        let locate = move || {
            Ok(Invocation { rootfs: None, tool: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] })
        };
        run(locate, budget).await.unwrap()
    }

    async fn shell(script: &str) -> Ended {
        shell_within(script, BUDGET).await
    }

    fn text(streams: &Streams) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&streams.stdout), text(&streams.stderr))
    }

    fn pid_in(streams: &Streams) -> Pid {
        text(streams).0.trim().parse().ok().and_then(Pid::from_raw).unwrap()
    }

    #[tokio::test]
    async fn streams_and_status_come_back_apart() {
        let Ended::Exited(exit, streams) = shell("echo out; echo err >&2; exit 7").await else { panic!() };
        assert_eq!((exit, text(&streams)), (Exit::Status(7), ("out\n".to_string(), "err\n".to_string())));
    }

    #[tokio::test]
    async fn a_child_sees_three_variables_no_input_and_the_root_directory() {
        let Ended::Exited(_, streams) = shell("env | cut -d= -f1 | sort; cat; pwd").await else { panic!() };
        let seen = text(&streams).0;
        let names: Vec<&str> = seen.lines().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "/"]);
    }

    #[tokio::test]
    async fn a_crash_is_a_signal() {
        let Ended::Exited(exit, _) = shell("kill -SEGV $$").await else { panic!() };
        assert_eq!(exit, Exit::Signal(11));
    }

    #[tokio::test]
    async fn a_large_output_arrives_whole() {
        let Ended::Exited(_, streams) = shell("head -c 3000000 /dev/zero; echo end").await else { panic!() };
        assert_eq!(streams.stdout.len(), 3_000_004);
        assert!(streams.stdout.ends_with(b"end\n"));
    }

    #[tokio::test]
    async fn a_sleeper_is_ended_at_its_deadline_and_keeps_what_it_printed() {
        let Ended::TimedOut(exit, streams) = shell_within("echo begun; exec sleep 600", SHORT).await else { panic!() };
        assert_eq!((exit, text(&streams).0), (Exit::Signal(15), "begun\n".to_string()));
    }

    #[tokio::test]
    async fn what_a_child_prints_on_sigterm_is_kept() {
        let script = "trap 'echo told; exit 3' TERM; echo begun; while :; do sleep 0.05; done";
        let Ended::TimedOut(exit, streams) = shell_within(script, SHORT).await else { panic!() };
        assert_eq!((exit, text(&streams).0), (Exit::Status(3), "begun\ntold\n".to_string()));
    }

    #[tokio::test]
    async fn one_that_ignores_sigterm_is_killed_with_its_group() {
        let budget = Budget { grace: Duration::from_millis(500), ..SHORT };
        let script = "trap '' TERM; sleep 600 & echo $$; while :; do sleep 0.05; done";
        let Ended::TimedOut(exit, streams) = shell_within(script, budget).await else { panic!() };
        assert_eq!(exit, Exit::Signal(9));
        assert!(!group_lives(pid_in(&streams)));
    }

    #[tokio::test]
    async fn one_that_prints_for_ever_is_cut() {
        assert!(matches!(shell("exec cat /dev/zero").await, Ended::OutputLimit));
        assert!(matches!(shell("exec cat /dev/zero >&2").await, Ended::OutputLimit));
    }

    #[tokio::test]
    async fn a_grandchild_that_holds_the_pipe_does_not_keep_the_run_open() {
        let started = Moment::now();
        let Ended::Exited(_, streams) = shell("sleep 600 & echo $$; exit 0").await else { panic!() };
        assert!(started.elapsed() < BUDGET.deadline);
        let group = Group { pid: pid_in(&streams), armed: false };
        assert!(group.ends_within(Duration::from_secs(10)).await);
    }

    #[tokio::test]
    async fn one_that_closes_its_output_and_goes_on_is_still_waited_for() {
        let Ended::Exited(exit, _) = shell("exec >&- 2>&-; sleep 0.2; exit 5").await else { panic!() };
        assert_eq!(exit, Exit::Status(5));
    }

    #[tokio::test]
    async fn a_missing_tool_and_one_that_is_a_directory_are_told_apart() {
        let start = |tool: &'static str| {
            run(move || Ok(Invocation { rootfs: None, tool: tool.into(), arguments: Vec::new() }), BUDGET)
        };
        assert!(matches!(start("/nonexistent/tool").await, Err(StartError::NotFound(_))));
        assert!(matches!(start("/tmp").await, Err(StartError::NotStarted(_))));
    }

    #[tokio::test]
    async fn a_start_that_does_not_come_back_is_abandoned_until_it_does() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let locate = move || {
            let _ = wait.recv();
            Err(StartError::NotFound("gone".to_string()))
        };
        let Ok(Ended::Abandoned(mut abandoned)) = run(locate, SHORT).await else { panic!() };
        assert!(!abandoned.is_gone());
        release.send(()).unwrap();
        let gone = async {
            while !abandoned.is_gone() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.unwrap();
    }

    #[tokio::test]
    async fn an_abandoned_process_is_there_until_it_is_not() {
        let (mut abandoned, group) = abandoned_sleeper();
        assert!(!abandoned.is_gone());
        kill_process_group(group, Signal::KILL).unwrap();
        let gone = async {
            while !abandoned.is_gone() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_takes_its_group_with_it() {
        let invocation = Invocation {
            rootfs: None,
            tool: "/bin/sh".into(),
            arguments: vec!["-c".into(), "sleep 600 & sleep 600".into()],
        };
        let running = Running::start(&invocation).unwrap();
        let group = Group { pid: running.group.pid, armed: false };
        assert!(group_lives(group.pid));
        drop(running);
        assert!(group.ends_within(Duration::from_secs(20)).await);
    }

    #[test]
    fn a_zombie_is_no_living_member() {
        let group = Pid::from_raw(77).unwrap();
        assert!(is_living_member("80 (a) b) S 1 77 77 0", group));
        assert!(!is_living_member("80 (a) Z 1 77 77 0", group));
        assert!(!is_living_member("80 (a) S 1 78 77 0", group));
        assert!(!is_living_member("", group));
    }
}
