//! Golden files: compared, or rewritten when UPDATE_EXPECTED=1.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::environment;

pub fn check(path: &Path, found: &str) -> Result<()> {
    if environment::update_expected() {
        return fs::write(path, found).with_context(|| format!("writing {}", path.display()));
    }
    compare_as(path, found, str::to_owned)
}

/// Compares what `form` makes of both texts, also when golden files are rewritten.
pub fn compare_as(path: &Path, found: &str, form: impl Fn(&str) -> String) -> Result<()> {
    let expected =
        fs::read_to_string(path).with_context(|| format!("reading {}; UPDATE_EXPECTED=1 writes it", path.display()))?;
    let (expected, found) = (form(&expected), form(found));
    if expected != found {
        bail!(
            "{} tells it differently (UPDATE_EXPECTED=1 rewrites it):\n{}",
            path.display(),
            difference(&expected, &found)
        );
    }
    Ok(())
}

/// Lines that are in one text only, in the order in which they come.
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
