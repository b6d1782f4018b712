//! What a finished tool left behind, and how far it can be read.

use crate::ending::{Ending, Exit, Streams};
use crate::facts::Facts;

/// What a finished tool left behind. A hint only: exit statuses of these tools prove nothing in either direction.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    pub stdout: &'a [u8],
    pub stderr: &'a [u8],
    pub exit: Exit,
}

impl<'a> Output<'a> {
    pub fn new(exit: Exit, Streams { stdout, stderr }: &'a Streams) -> Self {
        Self { stdout, stderr, exit }
    }

    /// The output of a tool that ran, whether it ended by itself or by our deadline.
    pub fn of(ending: &'a Ending) -> Option<Self> {
        match ending {
            Ending::Exited(exit, streams) | Ending::TimedOut(exit, streams) => Some(Self::new(*exit, streams)),
            _ => None,
        }
    }
}

/// How far an output can be read.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// The output is there up to its end.
    Whole(Facts),
    /// A whole output that names only some of the node's GPUs by its nature: it can prove a fault, never that a GPU is missing.
    Excerpt(Facts),
    /// It began and stops before its end.
    Cut,
    /// Nothing was printed that belongs to a result.
    Nothing,
    /// The tool says that the GPU driver is not there.
    DriverNotLoaded(String),
    /// The tool says that it may not look.
    Denied(String),
    /// The tool says that its work failed.
    ToolFailed(String),
    /// A network test: the network did not carry it.
    Unreachable(String),
    /// A network test: the far end refused it, was busy or broke off.
    FarEnd(String),
    /// A network test ended by our deadline, with what it had received until then.
    Unfinished(Facts),
    /// A whole output, but not one that we know.
    Foreign(String),
}

impl Reading {
    /// What the tool said about the node, where it said it.
    pub fn into_facts(self) -> Option<Facts> {
        match self {
            Self::Whole(facts) | Self::Excerpt(facts) => Some(facts),
            Self::Unfinished(facts @ Facts::Network(_)) => Some(facts),
            _ => None,
        }
    }
}

/// A reading, and the single things in it that were not understood: they cost a series, never a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub reading: Reading,
    pub not_understood: Vec<String>,
}

impl From<Reading> for Parsed {
    fn from(reading: Reading) -> Parsed {
        Parsed { reading, not_understood: Vec::new() }
    }
}
