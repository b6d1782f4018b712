//! Bearer tokens from a file, one per line. During a rotation the file holds the old and the new
//! token, and both are valid.

use std::path::Path;

use subtle::{Choice, ConstantTimeEq};

/// The valid tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<Vec<u8>>);

/// Maximum number of tokens; a rotation needs two.
const MOST: usize = 8;

/// Error of a token file. It never contains a token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    #[error("{0}: {1}")]
    Read(String, #[source] std::io::Error),
    #[error("{0} is empty: write one token per line")]
    Empty(String),
    #[error("{0} has more than {MOST} lines: write one token per line, two during a rotation")]
    TooMany(String),
}

impl std::fmt::Debug for Tokens {
    /// Never shows a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

impl Tokens {
    /// Reads the file; ignores empty lines and white space around a token.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token or more than 8.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let name = || path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| TokenFileError::Read(name(), error))?;
        let tokens: Vec<Vec<u8>> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| line.as_bytes().to_vec()).collect();
        match tokens.len() {
            0 => Err(TokenFileError::Empty(name())),
            count if count > MOST => Err(TokenFileError::TooMany(name())),
            _ => Ok(Self(tokens)),
        }
    }

    /// Returns whether an `Authorization` header is `Bearer` and one of the tokens. The time does
    /// not depend on where the two differ.
    pub fn accept(&self, authorization: &[u8]) -> bool {
        let given = authorization.strip_prefix(b"Bearer ").unwrap_or_default();
        let any = self.0.iter().fold(Choice::from(0), |any, token| any | token.as_slice().ct_eq(given));
        any.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Tokens, TokenFileError> {
        let path = std::env::temp_dir().join(format!("ossci-tokens-{}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).unwrap();
        let read = Tokens::read(&path);
        std::fs::remove_file(&path).unwrap();
        read
    }

    #[test]
    fn both_tokens_of_a_rotation_are_valid() {
        let both = tokens("old-token\n\n new-token \n").unwrap();
        assert!(both.accept(b"Bearer old-token") && both.accept(b"Bearer new-token"));
        for wrong in [&b"Bearer old-toke"[..], b"Bearer old-tokens", b"Bearer ", b"old-token", b""] {
            assert!(!both.accept(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_refused_and_no_token_is_shown() {
        assert!(matches!(tokens("\n  \n"), Err(TokenFileError::Empty(_))));
        assert!(matches!(tokens(&"x\n".repeat(9)), Err(TokenFileError::TooMany(_))));
        assert_eq!(format!("{:?}", tokens("secret").unwrap()), "1 tokens");
    }
}
