//! Helpers for texts of tools: remove colours, quote for a message, find the relevant line. Knows
//! no tool.

use std::borrow::Cow;

/// Returns the text without invalid UTF-8 and without terminal colours.
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

/// Maximum length of a quoted text, in characters.
const QUOTE_CHARS: usize = 160;

/// Returns the last line of an error output, which holds the cause in tracebacks and errors. Empty
/// if there is none.
pub fn last_words(stderr: &[u8]) -> String {
    // A useful last line is short: do not search a flood of output.
    let tail = &stderr[stderr.len().saturating_sub(4096)..];
    let text = plain(tail);
    quote(text.trim_end().lines().next_back().unwrap_or(""))
}

/// Returns the first line that is not blank, truncated, for a message.
pub fn quote(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let mut quoted: String = line.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS).collect();
    if quoted.len() < line.len() {
        quoted.push('…');
    }
    quoted
}

/// Returns the first line that contains these words.
pub fn line_with<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    text.lines().find(|line| line.contains(words))
}

/// Returns the last line of a Python traceback, which holds the cause; `None` if there is no
/// traceback.
pub fn traceback(text: &str) -> Option<String> {
    let at = text.find("Traceback (most recent call last)")?;
    Some(quote(text[at..].trim_end().lines().next_back().unwrap_or("")))
}

/// What the linker and Python's `ctypes` say of a library that is missing or does not fit.
const LINKER: [&str; 4] = [
    "error while loading shared libraries",
    "symbol lookup error",
    "cannot open shared object file",
    "undefined symbol",
];

/// Exceptions of a tool whose own parts are missing or do not fit its Python. A file of the kernel
/// that is missing is another matter.
const IMPORT: [&str; 4] = ["ModuleNotFoundError", "ImportError", "SyntaxError", "FileNotFoundError"];

/// Returns the line by which a tool reports that it ended before it asked a GPU; `None` if it does
/// not.
pub fn never_asked(text: &str) -> Option<String> {
    if let Some(line) = LINKER.iter().find_map(|words| line_with(text, words)) {
        return Some(quote(line));
    }
    let of_kernel = |said: &str| ["/sys/", "/dev/", "/proc/"].iter().any(|directory| said.contains(directory));
    traceback(text).filter(|said| IMPORT.iter().any(|name| said.starts_with(name)) && !of_kernel(said))
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
    fn a_traceback_is_quoted_by_its_last_line() {
        let text = "x\nTraceback (most recent call last):\n  File \"a\"\nValueError: no\n";
        assert_eq!(traceback(text).as_deref(), Some("ValueError: no"));
        assert_eq!(traceback("all is well"), None);
    }

    #[test]
    fn a_tool_without_its_parts_never_asked_a_gpu() {
        let died =
            |said: &str| never_asked(&format!("Traceback (most recent call last):\n  File \"a\"\n{said}\n")).is_some();
        assert!(died("ModuleNotFoundError: No module named 'yaml'"));
        assert!(died("OSError: librocm_smi64.so.7: cannot open shared object file: No such file or directory"));
        assert!(died("FileNotFoundError: [Errno 2] No such file or directory"));
        assert!(!died("FileNotFoundError: [Errno 2] No such file or directory: '/sys/module/amdgpu/initstate'"));
        assert!(!died("amdsmi.amdsmi_exception.AmdSmiLibraryException: Error code: 34"));
        assert!(never_asked("rocminfo: error while loading shared libraries: libhsa-runtime64.so.1").is_some());
    }
}
