//! Reader of the agent's files in the run directory, one line each: `pause` (RFC 3339, until when
//! the periodic checks are paused) and `inventory` (expected number of GPUs). Blocks while the disk
//! does; never writes. An invalid file has no effect except that it is reported.

use jiff::Timestamp;
use ossci_base::contract::run_dir;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Maximum bytes read from a file; no valid line is longer.
const LONGEST: u64 = 256;

/// State of the pause file at a given time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pause {
    /// No file, or an expired one: a forgotten pause expires.
    No,
    Until(Timestamp),
    Unreadable(String),
}

impl Pause {
    /// Evaluates the content of a pause file at `now`.
    fn at(now: Timestamp, text: &str) -> Self {
        match run_dir::parse_pause(text) {
            Ok(until) if until > now => Self::Until(until),
            Ok(_) => Self::No,
            Err(error) => Self::Unreadable(error),
        }
    }

    pub fn rests(&self) -> bool {
        matches!(self, Pause::Until(_))
    }
}

/// The run directory.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    pub fn new(path: &Path) -> RunDir {
        RunDir { path: path.to_path_buf() }
    }

    pub fn pause(&self, now: Timestamp) -> Pause {
        match self.line(run_dir::PAUSE) {
            Ok(Some(text)) => Pause::at(now, &text),
            Ok(None) => Pause::No,
            Err(error) => Pause::Unreadable(error),
        }
    }

    /// Returns the expected number of GPUs; `None` if there is no file, an error if it is invalid.
    pub fn inventory(&self) -> Result<Option<u32>, String> {
        self.line(run_dir::INVENTORY)?.map(|text| run_dir::parse_inventory(&text)).transpose()
    }

    fn line(&self, name: &str) -> Result<Option<String>, String> {
        let path = self.path.join(name);
        let said = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(said(error)),
        };
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).map_err(said)?;
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(text: &str) -> Pause {
        Pause::at("2026-11-22T12:00:00Z".parse().unwrap(), text)
    }

    #[test]
    fn a_pause_expires() {
        assert!(pause("2026-11-22T12:00:01Z\n").rests());
        assert_eq!(pause("2026-11-22T12:00:00Z\n"), Pause::No);
    }

    #[test]
    fn an_offset_is_understood() {
        assert!(pause("2026-11-22T14:30:00+02:00").rests());
        assert_eq!(pause("2026-11-22T13:30:00+02:00"), Pause::No);
    }

    #[test]
    fn an_invalid_pause_file_pauses_nothing() {
        for bad in ["", "tomorrow", "2026-11-22", "1795348989"] {
            assert!(matches!(pause(bad), Pause::Unreadable(_)), "{bad}");
            assert!(!pause(bad).rests());
        }
    }

    #[test]
    fn no_directory_means_no_pause_and_no_inventory() {
        let run_dir = RunDir::new(Path::new("/nonexistent/run"));
        assert_eq!(run_dir.pause(Timestamp::UNIX_EPOCH), Pause::No);
        assert_eq!(run_dir.inventory(), Ok(None));
    }
}
