//! Search for JSON documents in an output, with warnings and library messages before, between and
//! after them. Pure; knows no tool.

use serde::Deserialize;
use serde_json::Value;

/// Maximum number of false starts of a document, so that an output full of braces takes linear
/// time.
const FALSE_STARTS: usize = 16;

/// The JSON documents of an output.
#[derive(Debug)]
pub struct Documents<T = Value> {
    /// Complete objects and arrays, in their order.
    pub whole: Vec<T>,
    /// Whether a document begins and stops before its end.
    pub cut: bool,
    /// Bytes after the first document that are neither blank nor a document.
    pub rest: usize,
}

/// Whether an output is searched to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    First,
    All,
}

/// Returns all documents, or the first one.
pub fn documents(text: &str, wanted: Wanted) -> Documents {
    documents_of(text, wanted)
}

/// Same as [`documents`], for a type that takes what it needs and skips the rest.
pub fn documents_of<'a, T: Deserialize<'a>>(text: &'a str, wanted: Wanted) -> Documents<T> {
    let mut found = Documents { whole: Vec::new(), cut: false, rest: 0 };
    let (mut at, mut false_starts) = (0, 0);
    while let Some(start) = text[at..].find(['{', '[']).map(|offset| at + offset) {
        if !found.whole.is_empty() {
            found.rest += text[at..start].trim().len();
        }
        let mut stream = serde_json::Deserializer::from_str(&text[start..]).into_iter::<T>();
        match stream.next() {
            Some(Ok(value)) => {
                at = start + stream.byte_offset();
                found.whole.push(value);
                if wanted == Wanted::First {
                    break;
                }
            }
            // Later braces are inside this document; what parses there is only a part of it.
            Some(Err(error)) if error.is_eof() && begins_a_document(text, start) => {
                found.cut = true;
                return found;
            }
            _ => {
                at = start + 1;
                false_starts += 1;
                if false_starts == FALSE_STARTS {
                    break;
                }
            }
        }
    }
    if !found.whole.is_empty() {
        found.rest += text[at..].trim().len();
    }
    found
}

/// Returns whether the bracket at `start` may begin a document. A single square bracket within a
/// line is noise.
fn begins_a_document(text: &str, start: usize) -> bool {
    let line_start = text[..start].rsplit('\n').next().is_none_or(|line| line.trim().is_empty());
    let rest = text[start + 1..].trim_start();
    text.as_bytes()[start] == b'{' || rest.starts_with(['{', '"', '[']) || (line_start && rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_found_behind_noise_and_its_rest_is_measured() {
        let found = documents("WARNING {x}\n\n{\"a\": 1}\n{}\n", Wanted::First);
        assert_eq!((found.whole, found.rest, found.cut), (vec![json!({"a": 1})], 2, false));
    }

    #[test]
    fn documents_in_a_row_are_all_found() {
        let found = documents("[{\"a\": 1}]\nnoise\n{\"b\": 2}\n", Wanted::All);
        assert_eq!((found.whole, found.rest), (vec![json!([{"a": 1}]), json!({"b": 2})], 5));
    }

    #[test]
    fn a_cut_document_is_cut_although_a_part_of_it_parses() {
        assert!(documents("{\"card0\": {\"a\": \"1\"}, \"card1\"", Wanted::First).cut);
        assert!(documents("[{\"gpu\": 0}, {\"gpu\"", Wanted::All).cut);
        assert!(documents("{}\n[\n", Wanted::All).cut);
    }

    #[test]
    fn meaningless_braces_are_no_document() {
        for text in ["no braces", "[error] x [", &"{x".repeat(100_000), "[1"] {
            let found = documents(text, Wanted::All);
            assert!(found.whole.is_empty() && !found.cut, "{text:.20}");
        }
    }
}
