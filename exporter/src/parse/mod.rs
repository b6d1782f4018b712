//! Pure: tool outputs to facts, one file a tool. A parser never panics, never does I/O, takes linear time and decides nothing:
//! it says how far the output can be read, and [`crate::judge`] says what that means for the node.

pub mod amd_smi;
mod amd_smi_text;
mod blame;
mod devices;
mod documents;
pub mod iperf3;
mod leaf;
pub mod librespeed_cli;
pub mod rocm_smi;
mod rocm_smi_json;
mod rocm_smi_text;
pub mod rocminfo;
pub mod speedtest;
pub mod speedtest_cli;

use crate::verdict::{Facts, ToolName};
use std::borrow::Cow;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Status(i32),
    Signal(i32),
}

/// What a finished tool left behind. A hint only: exit statuses of these tools prove nothing in either direction.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    pub stdout: &'a [u8],
    pub stderr: &'a [u8],
    pub exit: Exit,
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

/// Reads the output of a tool.
pub fn parse(tool: ToolName, output: Output<'_>) -> Parsed {
    let mut parsed = match tool {
        ToolName::RocmSmi => rocm_smi::parse(output),
        ToolName::AmdSmi => amd_smi::parse(output),
        ToolName::Rocminfo => rocminfo::parse(output),
        ToolName::Speedtest => speedtest::parse(output),
        ToolName::SpeedtestCli => speedtest_cli::parse(output),
        ToolName::LibrespeedCli => librespeed_cli::parse(output),
        ToolName::Iperf3 => iperf3::parse(output),
    };
    bound(&mut parsed.not_understood);
    parsed
}

/// More complaints about one output help nobody and would fill a log.
const COMPLAINTS: usize = 50;

fn bound(not_understood: &mut Vec<String>) {
    let more = not_understood.len().saturating_sub(COMPLAINTS);
    if more > 0 {
        not_understood.truncate(COMPLAINTS);
        not_understood.push(format!("and {more} more"));
    }
}

/// Text without invalid UTF-8 and without terminal colours.
fn plain(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains('\u{1b}') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        // A colour is ESC [ digits and semicolons, and one final letter.
        if let Some(colour) = rest.strip_prefix('[') {
            let colour = colour.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            rest = colour.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(colour);
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// At most this much of a foreign text goes into a sentence for people.
const QUOTE_CHARS: usize = 160;

/// The last line of an error output: tracebacks and complaints end with what matters. Empty when there is none.
pub fn last_words(stderr: &[u8]) -> String {
    // The last line is short or of no use: the rest of a flood is not looked at.
    let tail = &stderr[stderr.len().saturating_sub(4096)..];
    let text = plain(tail);
    quote(text.trim_end().lines().next_back().unwrap_or(""))
}

/// The first line that says anything, bounded, fit for a sentence.
fn quote(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let mut quoted: String = line.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS).collect();
    if quoted.len() < line.len() {
        quoted.push('…');
    }
    quoted
}

/// The first line that holds these words.
fn line_with<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(words))
}

/// How a Python program dies. What it says then stands in its last line.
fn traceback(text: &str) -> Option<String> {
    let at = text.find("Traceback (most recent call last)")?;
    Some(quote(text[at..].trim_end().lines().next_back().unwrap_or("")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed_and_the_text_stays() {
        assert_eq!(plain(b"\x1b[37mloaded\x1b[0m\n"), "loaded\n");
        assert_eq!(plain(b"a\x1bb\x1b[31"), "ab");
        assert_eq!(plain(b"\xff\x00x"), "\u{fffd}\0x");
    }

    #[test]
    fn a_quote_is_one_bounded_line() {
        assert_eq!(quote("\n\n  first \nsecond"), "first");
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), QUOTE_CHARS + 1);
    }

    #[test]
    fn a_flood_of_complaints_is_bounded() {
        let mut complaints = vec![String::new(); 1000];
        bound(&mut complaints);
        assert_eq!((complaints.len(), complaints[50].as_str()), (51, "and 950 more"));
    }

    #[test]
    fn a_traceback_is_told_by_its_last_line() {
        let text = "x\nTraceback (most recent call last):\n  File \"a\"\nValueError: no\n";
        assert_eq!(traceback(text).as_deref(), Some("ValueError: no"));
        assert_eq!(traceback("all is well"), None);
    }
}
