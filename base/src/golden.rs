//! Comparison of test output with expected files. `UPDATE_EXPECTED=1` rewrites the files; every
//! test of the repository reads that switch here.

use std::path::Path;

/// Returns whether expected files are rewritten instead of compared.
#[expect(clippy::disallowed_methods, reason = "the one switch that rewrites expected files")]
pub fn updates() -> bool {
    std::env::var("UPDATE_EXPECTED").is_ok_and(|value| value == "1")
}

/// Compares `found` with the file, or writes `found` to the file if `UPDATE_EXPECTED=1`.
///
/// # Errors
/// A text with the differing lines, or the I/O error.
pub fn check(path: &Path, found: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}; UPDATE_EXPECTED=1 writes it", path.display());
    if updates() {
        return std::fs::write(path, found).map_err(failed);
    }
    compare(path, &std::fs::read_to_string(path).map_err(failed)?, found)
}

/// Compares two texts; `expected` is the content of the file `path`.
///
/// # Errors
/// A text with the differing lines.
pub fn compare(path: &Path, expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    Err(format!("{} differs (UPDATE_EXPECTED=1 rewrites it):\n{}", path.display(), difference(expected, found)))
}

/// Returns the differing lines, compared by position, with every unindented equal line as context.
fn difference(expected: &str, found: &str) -> String {
    let (mut old, mut new) = (expected.lines().peekable(), found.lines().peekable());
    let mut text = String::new();
    while old.peek().is_some() || new.peek().is_some() {
        match (old.next(), new.next()) {
            (Some(old), Some(new)) if old == new => {
                if !old.starts_with(' ') {
                    text.push_str(&format!("  {old}\n"));
                }
            }
            (old, new) => {
                old.iter().for_each(|line| text.push_str(&format!("- {line}\n")));
                new.iter().for_each(|line| text.push_str(&format!("+ {line}\n")));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_both_sides() {
        assert_eq!(difference("a\n  b\n", "a\n  c\n  d\n"), "  a\n-   b\n+   c\n+   d\n");
    }
}
