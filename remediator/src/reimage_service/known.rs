//! What the service remembers of each reimage: one file, written before a command runs.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use ossci_base::{clock, closed_words};
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

closed_words! {
    /// How far a reimage is.
    pub enum State ("reimage state") {
        /// The site's command may have begun it.
        Starting = "starting",
        Running = "running", Done = "done", Failed = "failed",
    }
}

/// One reimage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reimage {
    pub state: State,
    pub message: String,
    /// The body of the controller's request.
    pub request: Value,
}

/// The name of a node, and of one reimage of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub node: String,
    pub id: String,
}

/// The form of both names: a DNS subdomain, so that neither is a path or an option of a command.
/// Source: kubernetes.io/docs/concepts, "Object Names and IDs".
const NAME: &str = "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$";

impl Key {
    pub fn of(node: String, id: String) -> Option<Self> {
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(NAME).ok());
        let is_name = |text: &str| FORM.as_ref().is_some_and(|name| name.is_match(text));
        (is_name(&node) && is_name(&id)).then_some(Self { node, id })
    }

    /// A comma is in neither name.
    fn file(&self) -> String {
        format!("{},{}.json", self.node, self.id)
    }
}

/// A reimage is forgotten after this time; its machine was proven long before.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The folder with all reimages.
#[derive(Debug, Clone)]
pub struct Known(PathBuf);

impl Known {
    /// Creates the folder, if it is not there, and forgets old reimages.
    pub fn of(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        for entry in fs::read_dir(folder)?.flatten() {
            let written = Timestamp::try_from(entry.metadata()?.modified()?).unwrap_or(Timestamp::MAX);
            if clock::now().duration_since(written) > KEPT {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self(folder.to_owned()))
    }

    /// Returns a reimage; `None`: it was never asked for.
    pub fn read(&self, key: &Key) -> io::Result<Option<Reimage>> {
        match fs::read(self.0.join(key.file())) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores a reimage durably.
    pub fn write(&self, key: &Key, reimage: &Reimage) -> io::Result<()> {
        let path = self.0.join(key.file());
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(reimage)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.0)?.sync_all()
    }

    /// Returns the reimages that were being begun when the process ended.
    pub fn starting(&self) -> io::Result<Vec<(Key, Reimage)>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let names = name.strip_suffix(".json").and_then(|name| name.split_once(','));
            let Some(key) = names.and_then(|(node, id)| Key::of(node.into(), id.into())) else { continue };
            if let Some(reimage) = self.read(&key)?.filter(|reimage| reimage.state == State::Starting) {
                all.push((key, reimage));
            }
        }
        Ok(all)
    }
}

/// What the site's command said of a reimage in the first line of its output.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// The site does not know it: it was not begun.
    Unknown,
    Known(State, String),
}

impl Said {
    pub fn of(output: &str) -> Option<Self> {
        let line = output.lines().next().unwrap_or_default().trim();
        let (word, message) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let known = |state| Some(Self::Known(state, message.trim().to_owned()));
        match word {
            "unknown" => Some(Self::Unknown),
            "running" => known(State::Running),
            "done" => known(State::Done),
            "failed" => known(State::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_kubernetes_become_files_and_arguments() {
        for bad in ["", "..", "../x", "-rf", "a/b", "a,b", "A", "a b", "a\n", &"a".repeat(254)] {
            assert_eq!(Key::of(bad.into(), "1".into()), None, "{bad:?}");
            assert_eq!(Key::of("node-1".into(), bad.into()), None, "{bad:?}");
        }
        assert!(Key::of("node-1.example.com".into(), "3-reimage-1-1700000000".into()).is_some());
    }

    #[test]
    fn the_first_line_of_a_command_says_the_state() {
        assert_eq!(Said::of("done\n"), Some(Said::Known(State::Done, String::new())));
        assert_eq!(
            Said::of("failed  the disk is full\nmore"),
            Some(Said::Known(State::Failed, "the disk is full".into()))
        );
        assert_eq!(Said::of("unknown"), Some(Said::Unknown));
        for unclear in ["", "\ndone", "DONE", "done!", "deployed", "starting"] {
            assert_eq!(Said::of(unclear), None, "{unclear:?}");
        }
    }
}
