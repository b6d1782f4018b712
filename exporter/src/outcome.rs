//! What a run came to, before it is judged. Judges nothing.

use crate::child::StartError;
use crate::judge::Ending;
use crate::parse::{Exit, Output};
use crate::streams::Streams;
use crate::verdict::Printed;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    Ended(Exit, Streams),
    TimedOut(Exit, Streams),
    OutputLimit,
    Hung(String),
    NotStarted(StartError),
}

/// At most this much of each stream goes into an answer.
const PRINTED_BYTES: usize = 64 << 10;

impl Outcome {
    pub fn printed(&self) -> Option<Printed> {
        let (Outcome::Ended(exit, streams) | Outcome::TimedOut(exit, streams)) = self else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(PRINTED_BYTES)]).into_owned();
        let exit_status = match exit {
            Exit::Status(status) => *status,
            Exit::Signal(signal) => -signal,
        };
        Some(Printed { exit_status, stdout: text(&streams.stdout), stderr: text(&streams.stderr) })
    }

    pub fn ending(&self) -> Ending<'_> {
        fn output(exit: Exit, streams: &Streams) -> Output<'_> {
            Output { stdout: &streams.stdout, stderr: &streams.stderr, exit }
        }
        match self {
            Outcome::Ended(exit, streams) => Ending::Ended(output(*exit, streams)),
            Outcome::TimedOut(exit, streams) => Ending::TimedOut(output(*exit, streams)),
            Outcome::OutputLimit => Ending::OutputLimit,
            Outcome::Hung(what) => Ending::Hung(what),
            Outcome::NotStarted(StartError::NotFound(what)) => Ending::NotFound(what),
            Outcome::NotStarted(StartError::NotStarted(what)) => Ending::NotStarted(what),
        }
    }
}
