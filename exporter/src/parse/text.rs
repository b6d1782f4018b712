//! Texts of tools: without colours, quoted for a sentence, and the line that matters.

use std::borrow::Cow;

/// Text without invalid UTF-8 and without terminal colours.
pub fn plain(bytes: &[u8]) -> Cow<'_, str> {
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
pub fn quote(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let mut quoted: String = line.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS).collect();
    if quoted.len() < line.len() {
        quoted.push('…');
    }
    quoted
}

/// The first line that holds these words.
pub fn line_with<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(words))
}

/// How a Python program dies. What it says then stands in its last line.
pub fn traceback(text: &str) -> Option<String> {
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
    fn a_traceback_is_told_by_its_last_line() {
        let text = "x\nTraceback (most recent call last):\n  File \"a\"\nValueError: no\n";
        assert_eq!(traceback(text).as_deref(), Some("ValueError: no"));
        assert_eq!(traceback("all is well"), None);
    }
}
