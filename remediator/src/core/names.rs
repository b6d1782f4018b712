//! Names that Kubernetes accepts, made of names that people chose.

use sha2::{Digest as _, Sha256};

/// Returns the text as the value of a label or the name of an annotation: at most 63 characters, of
/// a few kinds, with a letter or a digit at both ends. A text that has to change keeps a hash.
///
/// Source: kubernetes.io/docs/concepts/overview/working-with-objects/labels, "Syntax and character
/// set".
pub fn valid(text: &str) -> String {
    const LONGEST: usize = 63;
    const KEPT: usize = 45;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let at_an_end = |c: char| c.is_ascii_alphanumeric();
    if text.len() <= LONGEST && text.chars().all(fits) && text.starts_with(at_an_end) && text.ends_with(at_an_end) {
        return text.to_owned();
    }
    let kept: String = text.chars().take(KEPT).map(|c| if fits(c) { c } else { '-' }).collect();
    let begun = if kept.starts_with(at_an_end) { "" } else { "x" };
    format!("{begun}{kept}.{:.16x}", Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_text_stays_and_every_other_becomes_valid() {
        assert_eq!(valid("gpu-mi300x.a_1"), "gpu-mi300x.a_1");
        let long = "x".repeat(300);
        for text in ["MI300X (rack 4)", "gpu/a", "Köln", "gpu-", "-gpu", "", long.as_str()] {
            let name = valid(text);
            let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            assert!(name.len() <= 63 && end(name.chars().next()) && end(name.chars().last()), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)), "{name}");
        }
        assert_ne!(valid("a b"), valid("a/b"));
    }
}
