//! Pure: tool outputs to facts, one file a tool. A parser never panics, never does I/O, takes linear time and decides nothing:
//! it says how far the output can be read, and [`crate::judge`] says what that means for the node.

pub mod iperf3;
pub mod rocm_smi;
pub mod rocminfo;

use crate::verdict::{Check, Facts};
use serde_json::Value;
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

/// Reads the output of the tool that this check runs.
pub fn parse(check: Check, output: Output<'_>) -> Parsed {
    match check {
        Check::RocmSmi => rocm_smi::parse(output),
        Check::Rocminfo => rocminfo::parse(output),
        Check::Network => iperf3::parse(output),
    }
}

/// At most this many places are tried as the start of a JSON document, so that an output full of braces stays linear.
const DOCUMENT_STARTS: usize = 16;

/// The outcome of looking for a JSON object in an output.
enum Document {
    Whole { value: Value, rest: usize },
    Cut,
    Absent,
}

/// The first whole JSON object. Warnings and library noise may stand before it, in lines of their own or not.
fn first_document(text: &str) -> Document {
    let mut cut = false;
    let starts = text.match_indices('{').map(|(at, _)| at).take(DOCUMENT_STARTS);
    for start in starts {
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match stream.next() {
            Some(Ok(value)) => {
                let rest = text[start + stream.byte_offset()..].trim().len();
                return Document::Whole { value, rest };
            }
            // Later braces are inside this document: whatever parses there is only a part of it.
            Some(Err(error)) if error.is_eof() => {
                cut = true;
                break;
            }
            _ => {}
        }
    }
    if cut { Document::Cut } else { Document::Absent }
}

/// Text without invalid UTF-8 and without terminal colours.
fn plain(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    if !text.contains('\u{1b}') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
            continue;
        }
        // A colour is ESC [ digits and semicolons, and one final letter.
        if let Some(rest) = chars.as_str().strip_prefix('[') {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
            chars = rest.strip_prefix(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest).chars();
        }
    }
    Cow::Owned(out)
}

/// Spellings of "the tool has no value for this".
const NO_VALUE: [&str; 9] =
    ["", "n/a", "n/a (secondary die)", "none", "unknown", "unsupported", "not supported", "null", "nan"];

/// A leaf as text; `None` when it is one of the spellings of no value, or no leaf.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!NO_VALUE.contains(&text.to_ascii_lowercase().as_str())).then_some(text)
}

/// A leaf as a number: `Ok(None)` when the tool says that it has none, `Err` with the odd text otherwise.
fn number(value: &Value) -> Result<Option<f64>, String> {
    let Some(text) = text(value) else {
        return if value.is_object() || value.is_array() { Err(value.to_string()) } else { Ok(None) };
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(text),
    }
}

/// At most this much of a foreign text goes into a sentence for people.
const QUOTE_CHARS: usize = 160;

/// The last line of an error output: tracebacks and complaints end with what matters. Empty when there is none.
pub fn last_words(stderr: &[u8]) -> String {
    let text = plain(stderr);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colours_are_removed_and_the_text_stays() {
        assert_eq!(plain(b"\x1b[37mloaded\x1b[0m\n"), "loaded\n");
        assert_eq!(plain(b"a\x1bb\x1b[31"), "ab");
        assert_eq!(plain(b"\xff\x00x"), "\u{fffd}\0x");
    }

    #[test]
    fn a_document_is_found_behind_noise_and_its_rest_is_measured() {
        let Document::Whole { value, rest } = first_document("WARNING {x}\n\n{\"a\": 1}\n{}\n") else {
            panic!("no document");
        };
        assert_eq!((value, rest), (json!({"a": 1}), 2));
    }

    #[test]
    fn a_cut_document_is_cut_although_a_part_of_it_parses() {
        assert!(matches!(first_document("{\"card0\": {\"a\": \"1\"}, \"card1\""), Document::Cut));
        assert!(matches!(first_document("no braces"), Document::Absent));
        assert!(matches!(first_document(&"{x".repeat(100_000)), Document::Absent));
    }

    #[test]
    fn no_value_is_not_zero_and_odd_values_are_named() {
        assert_eq!(number(&json!("N/A (Secondary die)")), Ok(None));
        assert_eq!(number(&json!("41.0")), Ok(Some(41.0)));
        assert_eq!(number(&json!(7)), Ok(Some(7.0)));
        assert_eq!(number(&json!("41.0 C")), Err("41.0 C".to_string()));
        assert_eq!(number(&json!("inf")), Err("inf".to_string()));
        assert_eq!(number(&json!("1e999")), Err("1e999".to_string()));
    }

    #[test]
    fn a_quote_is_one_bounded_line() {
        assert_eq!(quote("\n\n  first \nsecond"), "first");
        assert_eq!(quote(&"x".repeat(1000)).chars().count(), QUOTE_CHARS + 1);
    }
}
