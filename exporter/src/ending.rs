//! Ending of a tool's run: how its processes ended, and what they printed.

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

/// Output of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Streams {
    /// Appends the output of a later call.
    pub fn append(&mut self, later: Self) {
        for (here, more) in [(&mut self.stdout, later.stdout), (&mut self.stderr, later.stderr)] {
            match here.is_empty() {
                true => *here = more,
                false => here.extend(more),
            }
        }
    }
}

/// How the processes of a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// They exited by themselves.
    Exited(Exit, Streams),
    /// The exporter ended them at the deadline, after this output.
    TimedOut(Exit, Streams),
    /// The exporter ended them because they printed too much.
    OutputLimit,
    /// A process survived SIGKILL or a start never returned. If this was in an earlier run, nothing
    /// was started.
    Hung(String),
    /// The tool does not exist.
    NotFound(String),
    /// The tool could not be started.
    NotStarted(String),
}

/// Maximum bytes of each stream in a probe's response.
const PRINTED_BYTES: usize = 64 << 10;

impl Ending {
    /// Returns the ending of a tool that exited with this status.
    pub fn exited(status: i32, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Self {
        Self::Exited(Exit::Status(status), Streams { stdout: stdout.into(), stderr: stderr.into() })
    }

    /// Returns the truncated output, for a probe with `debug=true`.
    pub fn printed(&self) -> Option<Printed> {
        let (Self::Exited(exit, streams) | Self::TimedOut(exit, streams)) = self else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(PRINTED_BYTES)]).into_owned();
        let exit_status = match exit {
            Exit::Status(status) => *status,
            Exit::Signal(signal) => -signal,
        };
        Some(Printed { exit_status, stdout: text(&streams.stdout), stderr: text(&streams.stderr) })
    }
}

/// Truncated output of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Printed {
    /// Negative for a signal.
    pub exit_status: i32,
    pub stdout: String,
    pub stderr: String,
}
