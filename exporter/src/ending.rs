//! How a tool ended, and what it printed until then.

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

/// What a tool printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Streams {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Streams {
    /// Puts what a later call printed behind what is there.
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
    /// By themselves.
    Exited(Exit, Streams),
    /// By us, at the deadline, after this output.
    TimedOut(Exit, Streams),
    /// By us, after printing too much.
    OutputLimit,
    /// Not at all: a process survived SIGKILL, or an earlier one still lives and nothing was started.
    Hung(String),
    /// There is no such tool.
    NotFound(String),
    /// The tool is there and could not be started.
    NotStarted(String),
}

/// At most this much of each stream goes into an answer.
const PRINTED_BYTES: usize = 64 << 10;

impl Ending {
    /// The ending of a tool that exited with this status.
    pub fn exited(status: i32, stdout: impl Into<Vec<u8>>, stderr: impl Into<Vec<u8>>) -> Self {
        Self::Exited(Exit::Status(status), Streams { stdout: stdout.into(), stderr: stderr.into() })
    }

    /// The output, bounded, for a probe that asks for it.
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

/// What a tool printed, bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Printed {
    /// Negative for a signal.
    pub exit_status: i32,
    pub stdout: String,
    pub stderr: String,
}
