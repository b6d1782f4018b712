//! Output of a finished tool, and how far it can be read. No parsing.

use crate::ending::{Ending, Exit, Streams};
use crate::facts::{Facts, Gpu};

/// Output of a finished tool. The exit status is only a hint: with these tools it proves nothing in
/// either direction.
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

    /// Returns the output of a tool that ran, whether it exited by itself or was ended at the
    /// deadline.
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
    /// The output is complete.
    Whole(Facts),
    /// A complete output that lists only some of the node's GPUs by design: it can prove a fault,
    /// never that a GPU is missing.
    Excerpt(Facts),
    /// The output stops before its end.
    Cut,
    /// No part of a result was printed.
    Nothing,
    /// The tool reports that the GPU driver is not loaded.
    DriverNotLoaded(String),
    /// The tool reports that it lacks a permission.
    Denied(String),
    /// The tool ended before it asked a GPU: a part of it or a library is missing.
    NeverAsked(String),
    /// The tool reports that it failed.
    ToolFailed(String),
    /// A network test that failed because of the network.
    Unreachable(String),
    /// A network test that failed because the server refused it, was busy or disconnected.
    FarEnd(String),
    /// A network test ended at the deadline, with what it had received.
    Unfinished(Facts),
    /// A complete output in an unknown format.
    Foreign(String),
}

impl Reading {
    /// Returns the GPUs that the output lists, to add facts from elsewhere.
    pub fn gpus_mut(&mut self) -> &mut [Gpu] {
        match self {
            Self::Whole(Facts::Gpus(gpus)) | Self::Excerpt(Facts::Gpus(gpus)) => gpus,
            _ => &mut [],
        }
    }

    /// Returns the facts about the node, if the output has any.
    pub fn into_facts(self) -> Option<Facts> {
        match self {
            Self::Whole(facts) | Self::Excerpt(facts) => Some(facts),
            Self::Unfinished(facts @ Facts::Network(_)) => Some(facts),
            _ => None,
        }
    }
}

/// A reading, and the items in it that could not be parsed: they cost a series, never a run.
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
