//! The only module of the lab that starts and stops processes.
//!
//! Long-running processes log to their own file in the state directory and die with their handle.
//! Every process of a lab runs in the lab's own PID namespace (see `enclosure`), so it also dies if
//! the lab exits without running destructors.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpid};

use crate::wait;

/// A program with its arguments, not yet started.
#[derive(Debug, Clone)]
pub struct Program {
    name: String,
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    dir: Option<PathBuf>,
}

impl Program {
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { name: name.into(), path: path.into(), args: Vec::new(), env: Vec::new(), dir: None }
    }

    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: impl Into<String>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    #[expect(clippy::disallowed_methods, reason = "this is the module that starts processes")]
    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.path);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    /// Starts it in the background, with its output appended to `log`.
    pub fn start(self, log: &Path) -> Result<Process> {
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let out = OpenOptions::new().create(true).append(true).open(log);
        let out = out.with_context(|| format!("opening {}", log.display()))?;
        let err = out.try_clone().context("opening the log twice")?;
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {} ({})", self.name, self.path.display()))?;
        started().extend(child.id());
        Ok(Process { name: self.name, log: log.to_owned(), child })
    }

    /// Starts it in the background; it survives this process.
    pub fn detach(self, log: &Path) -> Result<()> {
        self.start_alone(log, |command| command.stdin(Stdio::null()).process_group(0)).map(drop)
    }

    /// Starts it with a pipe as standard input, which the caller holds. A lab that is started this
    /// way exits when the caller does.
    pub fn hold(self, log: &Path) -> Result<std::process::Child> {
        self.start_alone(log, |command| command.stdin(Stdio::piped()))
    }

    /// Starts it with a new `log`; the caller has to stop it.
    #[expect(clippy::disallowed_methods, reason = "this is the module that starts processes")]
    fn start_alone(
        self,
        log: &Path,
        change: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
    ) -> Result<std::process::Child> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let err = out.try_clone().context("opening the log twice")?;
        let mut command = std::process::Command::new(&self.path);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value))).stdout(out).stderr(err);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        change(&mut command).spawn().with_context(|| format!("starting {} ({})", self.name, self.path.display()))
    }

    /// Runs it and returns its standard output. If it fails, the error has its output.
    pub async fn output(self, deadline: Duration) -> Result<String> {
        let Some(finished) = self.finish(deadline).await? else {
            bail!("{} took longer than {} s", self.name, deadline.as_secs());
        };
        if !finished.status.success() {
            bail!("{} exited with {}: {}", self.name, finished.status, finished.said());
        }
        Ok(finished.stdout)
    }

    /// Runs it, whatever its exit status. Returns `None` if it was killed at the deadline, with its
    /// process group.
    pub async fn finish(&self, deadline: Duration) -> Result<Option<Finished>> {
        let child = self
            .command()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {} ({})", self.name, self.path.display()))?;
        let group = child.id();
        started().extend(group);
        match tokio::time::timeout(deadline, child.wait_with_output()).await {
            Ok(output) => {
                let output = output.with_context(|| format!("waiting for {}", self.name))?;
                Ok(Some(Finished {
                    status: output.status,
                    stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                    stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                }))
            }
            Err(_) => {
                signal_group(group, Signal::KILL);
                Ok(None)
            }
        }
    }
}

/// The result of a program that has exited.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Its last output: standard error, or standard output if that is empty.
    pub fn said(&self) -> &str {
        if self.stderr.trim().is_empty() { self.stdout.trim() } else { self.stderr.trim() }
    }
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: tokio::process::Child,
}

impl Process {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process ID; `None` once it has exited.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its exit status; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        match self.child.try_wait() {
            Ok(status) => status,
            Err(_) => Some(ExitStatus::from_raw(0)),
        }
    }

    /// Kills it and its process group.
    pub async fn kill(&mut self) {
        signal_group(self.child.id(), Signal::KILL);
        let _ = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
    }

    /// Asks it to exit, and kills it after `patience`.
    pub async fn stop(&mut self, patience: Duration) {
        if let Some(pid) = self.child.id().and_then(pid) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if tokio::time::timeout(patience, self.child.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Waits until `probe` succeeds. Fails at the deadline or when the process has exited, with the
    /// end of its log.
    pub async fn ready<T, F, Fut>(&mut self, deadline: Duration, probe: F) -> Result<T>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let name = self.name.clone();
        let log = self.log.clone();
        let child = &mut self.child;
        let answers = wait::until("it answers", deadline, probe);
        let result = tokio::select! {
            result = answers => result,
            status = child.wait() => Err(match status {
                Ok(status) => anyhow!("it exited with {status}"),
                Err(error) => anyhow!(error),
            }),
        };
        result.with_context(|| format!("{name} did not start; its log {} ends:\n{}", log.display(), tail(&log, 15)))
    }
}

/// The last lines of a log.
pub fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Kills every process of this PID namespace whose command line or environment satisfies the test,
/// and reaps those that became our children. Returns their number.
///
/// This is how a simulated machine loses its power: hung tools have no parent left that would kill
/// them.
pub fn kill_all(belongs: impl Fn(&str) -> bool) -> usize {
    signal_all(Signal::KILL, belongs)
}

/// The content of one /proc file of each process whose command line or environment matches.
pub fn texts_of(belongs: impl Fn(&str) -> bool, file: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let all = entries.flatten().filter_map(|entry| {
        let cmdline = fs::read(entry.path().join("cmdline")).ok()?;
        belongs(&String::from_utf8_lossy(&cmdline)).then(|| fs::read_to_string(entry.path().join(file)).ok()).flatten()
    });
    all.collect()
}

/// Sends a signal to the matching processes; returns their number.
pub fn signal_all(signal: Signal, belongs: impl Fn(&str) -> bool) -> usize {
    let me = std::process::id();
    let mut reached = 0;
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&[read("cmdline"), vec![0], read("environ")].concat()).into_owned();
        if id == me || id == 1 || !belongs(&text) {
            continue;
        }
        if let Some(pid) = pid(id) {
            let _ = kill_process(pid, signal);
            reached += 1;
        }
    }
    reached
}

/// Reaps orphans that exited: the lab is process 1 of its namespace, so it inherits them. Processes
/// that the lab started are left to the runtime, which waits for them.
pub fn collect_orphans() {
    if std::process::id() != 1 {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else { return };
    for entry in entries.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // pid (name) state ppid ...
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let orphan = fields.next() == Some("Z") && fields.next() == Some("1") && !started().contains(&id);
        if orphan && let Some(pid) = pid(id) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// The IDs of all processes that `Program` started.
fn started() -> MutexGuard<'static, BTreeSet<u32>> {
    static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    STARTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs this program again inside new PID and mount namespaces (and `further` ones) that die with
/// it. Its standard input is a pipe: the inner program exits when the returned child's end of it
/// closes.
#[expect(clippy::disallowed_methods, reason = "this is the module that starts processes")]
pub fn enclosed(
    unshare: &Path,
    program: &Path,
    args: &[OsString],
    env: &[(&str, &OsStr)],
    further: &[&str],
    out: Stdio,
) -> Result<tokio::process::Child> {
    tokio::process::Command::new(unshare)
        .args(["--pid", "--mount-proc", "--fork", "--kill-child"])
        .args(further)
        .arg("--")
        .arg(program)
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(out)
        .kill_on_drop(true)
        .spawn()
        .context("starting unshare")
}

/// Runs a build or a check in the foreground, with its output in a file. Blocks the caller.
#[expect(clippy::disallowed_methods, reason = "this is the module that starts processes")]
pub fn run_logged(program: &Path, args: &[&str], env: &[(&str, &str)], dir: &Path, log: &Path) -> Result<ExitStatus> {
    let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let err = out.try_clone().context("opening the log twice")?;
    std::process::Command::new(program)
        .args(args)
        .envs(env.iter().copied())
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .status()
        .with_context(|| format!("starting {}", program.display()))
}

fn signal_group(group: Option<u32>, signal: Signal) {
    if let Some(pid) = group.and_then(pid) {
        let _ = kill_process_group(pid, signal);
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}
