//! The only module that starts processes. One call runs one child in its own process group, with a
//! deadline and an output limit. The call always returns: a child that cannot be killed is returned
//! as [`Abandoned`]. It does not interpret the output.
//!
//! It blocks its thread, which is why each run has one: a run then costs two thread switches, not
//! two per step.
#![allow(clippy::disallowed_methods, reason = "this is the one module that starts processes")]

use crate::ending::{Ending, Exit, Streams};
use crate::schedule::Budget;
use crate::start::group::Group;
use crate::start::leash::Leash;
use crate::start::streams::{Pipe, Volume};
use ossci_base::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, waitid};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The whole environment of a child. The locale keeps messages in English and lets Python print a
/// degree sign. Variables that hide GPUs are not inherited.
const ENVIRONMENT: [(&str, &str); 3] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/rocm/bin"),
    ("HOME", "/tmp"),
    ("LC_ALL", "C.UTF-8"),
];

/// The command to start.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Root directory of the tool, entered with chroot(1): the library call would need unsafe code.
    pub rootfs: Option<PathBuf>,
    /// Path of the tool, as seen from its own root.
    pub tool: PathBuf,
    pub arguments: Vec<OsString>,
}

/// How a child ended, and the child itself if it survived SIGKILL.
#[derive(Debug)]
pub struct Ended {
    pub ending: Ending,
    pub abandoned: Option<Abandoned>,
}

impl From<Ending> for Ended {
    fn from(ending: Ending) -> Self {
        Self { ending, abandoned: None }
    }
}

impl From<Abandoned> for Ended {
    fn from(abandoned: Abandoned) -> Self {
        Self { ending: Ending::Hung(abandoned.what()), abandoned: Some(abandoned) }
    }
}

/// A child that survived SIGKILL.
#[derive(Debug)]
pub struct Abandoned {
    child: Child,
    group: Group,
}

impl Abandoned {
    /// Returns whether no process of it is left. Zombies do not count.
    pub fn is_gone(&mut self) -> bool {
        let leader_gone = !matches!(self.child.try_wait(), Ok(None));
        leader_gone && !self.group.lives()
    }

    /// Describes the process in one sentence.
    pub fn what(&self) -> String {
        format!("process {} of an earlier run survived SIGKILL", self.group.0.as_raw_nonzero())
    }
}

/// Runs one child until it ends. `locate` and the start itself touch the disk and may block for any
/// time.
pub fn run(locate: impl FnOnce() -> Result<Invocation, Ending>, budget: Budget, leash: &Leash) -> Ended {
    try_run(locate, budget, leash).unwrap_or_else(Ended::from)
}

/// The error is the ending of a child that was never started.
fn try_run(
    locate: impl FnOnce() -> Result<Invocation, Ending>,
    budget: Budget,
    leash: &Leash,
) -> Result<Ended, Ending> {
    let begun = clock::monotonic();
    if !leash.start() {
        return Err(Ending::NotStarted("the run was cancelled".to_string()));
    }
    let mut running = locate().and_then(|invocation| Running::start(&invocation)).inspect_err(|_| leash.take_off())?;
    if !leash.put_on(running.group.0) {
        running.group.signal(Signal::KILL);
    }
    let first = running.within(budget.deadline.saturating_sub(begun.elapsed()));
    let stop = match first {
        Some(stop) => stop,
        None => {
            running.group.signal(Signal::TERM);
            running.within(budget.grace).unwrap_or(Stop::OutputLimit)
        }
    };
    if stop == Stop::OutputLimit {
        running.group.signal(Signal::KILL);
        if !running.exits_within(budget.grace) {
            leash.take_off();
            return Ok(running.abandon().into());
        }
    }
    leash.take_off();
    // Processes left in the group would hold the pipes and pile up with every run.
    running.group.signal(Signal::KILL);
    let status = running.child.wait().map_err(|error| Ending::NotStarted(error.to_string()))?;
    let timed_out = first.is_none();
    if (timed_out || stop == Stop::OutputLimit) && !running.group.ends_within(budget.grace) {
        return Ok(running.abandon().into());
    }
    let volume = running.drain();
    let (exit, streams) = (exit(status), running.into_streams());
    let ending = match (timed_out, stop) {
        (true, _) => Ending::TimedOut(exit, streams),
        (false, Stop::Exited) if volume == Volume::Within => Ending::Exited(exit, streams),
        (false, _) => Ending::OutputLimit,
    };
    Ok(ending.into())
}

fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// The leader exited; it is not reaped yet.
    Exited,
    OutputLimit,
}

/// A started child.
#[derive(Debug)]
struct Running {
    child: Child,
    group: Group,
    /// Readable when the leader has exited. Kernels before 5.3 have no pidfd.
    pidfd: Option<OwnedFd>,
    stdout: Pipe,
    stderr: Pipe,
}

/// Poll interval for the leader's exit if there is no pidfd.
const ASK_AGAIN: Duration = Duration::from_millis(20);

impl Running {
    fn start(invocation: &Invocation) -> Result<Running, Ending> {
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
        // Its file was there just before: what is not found is its interpreter.
        let mut child = command.spawn().map_err(|error| match &invocation.rootfs {
            None => Ending::NotStarted(format!("{tool}: {error}")),
            Some(_) => Ending::NotStarted(format!("chroot: {error}")),
        })?;
        let group = Group(Pid::from_child(&child));
        let pipes = child.stdout.take().zip(child.stderr.take());
        let pipes = pipes.and_then(|(out, err)| Pipe::new(out.into()).ok().zip(Pipe::new(err.into()).ok()));
        let Some((stdout, stderr)) = pipes else {
            group.signal(Signal::KILL);
            return Err(Ending::NotStarted(format!("{tool}: no pipes")));
        };
        let pidfd = pidfd_open(group.0, PidfdFlags::empty()).ok();
        Ok(Running { child, group, pidfd, stdout, stderr })
    }

    /// Reads until the leader exits, prints too much, or the time is up (`None`). The leader's exit
    /// ends a run, not the end of its output: a grandchild may hold the pipe for ever.
    fn within(&mut self, time: Duration) -> Option<Stop> {
        let begun = clock::monotonic();
        loop {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return None;
            }
            let streams = [&self.stdout, &self.stderr].into_iter().filter_map(Pipe::poll_fd);
            wait(streams.chain(self.exit_fd()), left.min(self.pulse()));
            if self.has_exited() {
                return Some(Stop::Exited);
            }
            if self.drain() == Volume::TooMuch {
                return Some(Stop::OutputLimit);
            }
        }
    }

    /// Waits for the leader alone.
    fn exits_within(&self, time: Duration) -> bool {
        let begun = clock::monotonic();
        while !self.has_exited() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return false;
            }
            wait(self.exit_fd().into_iter(), left.min(self.pulse()));
        }
        true
    }

    fn exit_fd(&self) -> Option<PollFd<'_>> {
        self.pidfd.as_ref().map(|pidfd| PollFd::new(pidfd, PollFlags::IN))
    }

    fn pulse(&self) -> Duration {
        if self.pidfd.is_some() { Duration::MAX } else { ASK_AGAIN }
    }

    /// Checks for the exit without reaping: the zombie keeps its pid, so a signal cannot hit
    /// another process.
    fn has_exited(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.group.0), look), Ok(None))
    }

    fn drain(&mut self) -> Volume {
        match (self.stdout.drain(), self.stderr.drain()) {
            (Volume::Within, Volume::Within) => Volume::Within,
            _ => Volume::TooMuch,
        }
    }

    fn into_streams(self) -> Streams {
        Streams { stdout: self.stdout.into_bytes(), stderr: self.stderr.into_bytes() }
    }

    fn abandon(self) -> Abandoned {
        Abandoned { child: self.child, group: self.group }
    }
}

/// Waits until a descriptor is ready or the time is up; a signal may end the wait early.
fn wait<'a>(ends: impl Iterator<Item = PollFd<'a>>, time: Duration) {
    let mut ends: Vec<PollFd<'_>> = ends.collect();
    // A time too long for the kernel means no timeout.
    let time = Timespec::try_from(time).ok();
    let _ = poll(&mut ends, time.as_ref());
}

/// Starts a process that stands for one that cannot be killed, for tests elsewhere.
#[cfg(test)]
pub fn abandoned_sleeper() -> (Abandoned, Group) {
    let invocation = Invocation { rootfs: None, tool: "/bin/sleep".into(), arguments: vec!["600".into()] };
    let running = Running::start(&invocation).unwrap();
    let group = running.group;
    (running.abandon(), group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    const BUDGET: Budget = Budget { deadline: Duration::from_secs(20), grace: Duration::from_secs(5) };
    /// A loaded host needs time to start a shell, which must be ready for the signal.
    const SHORT: Budget = Budget { deadline: Duration::from_millis(1500), grace: Duration::from_secs(5) };

    fn shell_within(script: &str, budget: Budget) -> Ending {
        let script = script.to_string();
        let locate = move || {
            Ok(Invocation { rootfs: None, tool: "/bin/sh".into(), arguments: vec!["-c".into(), script.into()] })
        };
        run(locate, budget, &Leash::default()).ending
    }

    fn shell(script: &str) -> Ending {
        shell_within(script, BUDGET)
    }

    fn text(streams: &Streams) -> (String, String) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&streams.stdout), text(&streams.stderr))
    }

    fn pid_in(streams: &Streams) -> Pid {
        text(streams).0.trim().parse().ok().and_then(Pid::from_raw).unwrap()
    }

    #[test]
    fn stdout_stderr_and_status_are_returned_separately() {
        let Ending::Exited(exit, streams) = shell("echo out; echo err >&2; exit 7") else { panic!() };
        assert_eq!((exit, text(&streams)), (Exit::Status(7), ("out\n".to_string(), "err\n".to_string())));
    }

    #[test]
    fn a_child_sees_three_variables_no_input_and_the_root_directory() {
        let Ending::Exited(_, streams) = shell("env | cut -d= -f1 | sort; cat; pwd") else { panic!() };
        let seen = text(&streams).0;
        let names: Vec<&str> = seen.lines().filter(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name)).collect();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "/"]);
    }

    #[test]
    fn a_crash_is_a_signal() {
        let Ending::Exited(exit, _) = shell("kill -SEGV $$") else { panic!() };
        assert_eq!(exit, Exit::Signal(11));
    }

    #[test]
    fn a_large_output_arrives_whole() {
        let Ending::Exited(_, streams) = shell("head -c 3000000 /dev/zero; echo end") else { panic!() };
        assert_eq!(streams.stdout.len(), 3_000_004);
        assert!(streams.stdout.ends_with(b"end\n"));
    }

    #[test]
    fn output_before_the_deadline_is_returned() {
        let Ending::TimedOut(exit, streams) = shell_within("echo begun; exec sleep 600", SHORT) else { panic!() };
        assert_eq!((exit, text(&streams).0), (Exit::Signal(15), "begun\n".to_string()));
    }

    #[test]
    fn output_on_sigterm_is_returned() {
        let script = "trap 'echo stopping; exit 3' TERM; echo begun; while :; do sleep 0.05; done";
        let Ending::TimedOut(exit, streams) = shell_within(script, SHORT) else { panic!() };
        assert_eq!((exit, text(&streams).0), (Exit::Status(3), "begun\nstopping\n".to_string()));
    }

    #[test]
    fn a_child_that_ignores_sigterm_is_killed_with_its_group() {
        let budget = Budget { grace: Duration::from_secs(2), ..SHORT };
        let script = "trap '' TERM; sleep 600 & echo $$; while :; do sleep 0.05; done";
        let Ending::TimedOut(exit, streams) = shell_within(script, budget) else { panic!() };
        assert_eq!(exit, Exit::Signal(9));
        assert!(!Group(pid_in(&streams)).lives());
    }

    #[test]
    fn a_child_that_prints_for_ever_is_stopped() {
        assert!(matches!(shell("exec cat /dev/zero"), Ending::OutputLimit));
        assert!(matches!(shell("exec cat /dev/zero >&2"), Ending::OutputLimit));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipe_does_not_delay_the_run() {
        let started = clock::monotonic();
        let Ending::Exited(_, streams) = shell("sleep 600 & echo $$; exit 0") else { panic!() };
        assert!(started.elapsed() < BUDGET.deadline);
        assert!(Group(pid_in(&streams)).ends_within(Duration::from_secs(10)));
    }

    #[test]
    fn a_child_that_closes_its_output_is_still_awaited() {
        let Ending::Exited(exit, _) = shell("exec >&- 2>&-; sleep 0.2; exit 5") else { panic!() };
        assert_eq!(exit, Exit::Status(5));
    }

    #[test]
    fn what_is_no_program_is_not_started() {
        for tool in ["/nonexistent/tool", "/tmp", "/etc/passwd"] {
            let locate = || Ok(Invocation { rootfs: None, tool: tool.into(), arguments: Vec::new() });
            let ending = run(locate, BUDGET, &Leash::default()).ending;
            assert!(matches!(&ending, Ending::NotStarted(said) if said.contains(tool)), "{ending:?}");
        }
    }

    #[test]
    fn an_abandoned_process_is_gone_once_killed() {
        let (mut abandoned, group) = abandoned_sleeper();
        assert!(!abandoned.is_gone());
        group.signal(Signal::KILL);
        assert!(group.ends_within(Duration::from_secs(20)) && abandoned.is_gone());
    }

    #[test]
    fn a_pulled_leash_ends_a_run_and_its_group() {
        let leash = Arc::new(Leash::default());
        let (sender, pid) = std::sync::mpsc::channel();
        let pulled = Arc::clone(&leash);
        let puller = std::thread::spawn(move || {
            let group: Group = pid.recv().unwrap();
            pulled.pull();
            group
        });
        let mut invocation = Invocation { rootfs: None, tool: "/bin/sh".into(), arguments: Vec::new() };
        invocation.arguments = vec!["-c".into(), "sleep 600 & sleep 600".into()];
        let mut running = Running::start(&invocation).unwrap();
        assert!(leash.put_on(running.group.0));
        sender.send(running.group).unwrap();
        assert_eq!(running.within(BUDGET.deadline), Some(Stop::Exited));
        assert!(running.child.wait().is_ok() && puller.join().unwrap().ends_within(Duration::from_secs(20)));
    }

    #[test]
    fn a_leash_pulled_before_the_start_prevents_it() {
        let leash = Leash::default();
        leash.pull();
        assert!(matches!(run(|| panic!(), BUDGET, &leash).ending, Ending::NotStarted(_)));
    }

    #[test]
    fn an_exit_is_noticed_without_a_pidfd() {
        let invocation = Invocation {
            rootfs: None,
            tool: "/bin/sh".into(),
            arguments: vec!["-c".into(), "echo out; sleep 0.1; exit 4".into()],
        };
        let mut running = Running { pidfd: None, ..Running::start(&invocation).unwrap() };
        assert_eq!(running.within(BUDGET.deadline), Some(Stop::Exited));
        assert_eq!(exit(running.child.wait().unwrap()), Exit::Status(4));
        assert_eq!(text(&running.into_streams()).0, "out\n");
    }
}
