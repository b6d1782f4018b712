//! The two files of the state directory: `strikes.json` (counts, valid within one boot) and
//! `inventory.json` (GPUs of a healthy run, valid across boots). Reads and replaces them; caches
//! and decides nothing.

use crate::inventory::Learning;
use jiff::Timestamp;
use ossci_base::contract::inventory::{Card, Inventory};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

pub const STRIKES: &str = "strikes.json";
pub const INVENTORY: &str = "inventory.json";

/// `strikes.json`. Checks are keyed by name: an unknown one is ignored, a missing one starts at
/// zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrikesFile {
    #[serde(rename = "bootID")]
    pub boot_id: String,
    pub checks: BTreeMap<String, StrikesEntry>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StrikesEntry {
    pub consecutive_failures: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_strike: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Timestamp>,
}

/// `inventory.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InventoryFile {
    /// The node that it is about; empty in the file of an earlier release. An image of a disk may
    /// bring the file of another node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// By name of the check; an unknown one is ignored.
    #[serde(default)]
    pub checks: BTreeMap<String, Learning>,
    /// What earlier releases learned, for all checks together; written for them, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Inventory>,
    /// Checks that have passed on this node: from then on a missing tool is a fault of the node.
    #[serde(default)]
    pub passed: BTreeSet<String>,
    /// What names the GPUs, for a person who has to exchange one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
}

#[derive(Debug, Error)]
pub enum StateError {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("cannot parse {0}")]
    Format(PathBuf, #[source] serde_json::Error),
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] std::io::Error),
}

/// Whether the data must be on disk before the rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// For data of one boot: a power failure ends the boot anyway, so there is no fsync.
    ThisBoot,
    AcrossBoots,
}

/// Returns the content of a file; `None` if it does not exist.
pub fn load<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, StateError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::Read(path.to_path_buf(), error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| StateError::Format(path.to_path_buf(), error))
}

/// Replaces a file by rename, so that a reader or a crash finds the old content or the new. A
/// failure keeps the old file.
pub fn store<T: Serialize>(path: &Path, content: &T, durability: Durability) -> Result<(), StateError> {
    let failed = |error: std::io::Error| StateError::Write(path.to_path_buf(), error);
    let mut bytes = serde_json::to_vec(content).map_err(|error| failed(error.into()))?;
    bytes.push(b'\n');
    let temporary = path.with_extension("json.tmp");
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        if durability == Durability::AcrossBoots {
            file.sync_all()?;
        }
        std::fs::rename(&temporary, path)
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;

    #[test]
    fn stored_content_is_loaded() {
        let directory = scratch("state-round");
        let path = directory.join(STRIKES);
        let entry =
            StrikesEntry { consecutive_failures: 2, last_run: Some(Timestamp::UNIX_EPOCH), ..StrikesEntry::default() };
        let file = StrikesFile { boot_id: "b".to_string(), checks: BTreeMap::from([("rocminfo".to_string(), entry)]) };
        store(&path, &file, Durability::ThisBoot).unwrap();
        assert_eq!(load::<StrikesFile>(&path).unwrap(), Some(file));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\"bootID\":\"b\",\"checks\":{\"rocminfo\":{\"consecutiveFailures\":2,\"lastRun\":\"1970-01-01T00:00:00Z\"}}}\n"
        );
    }

    #[test]
    fn a_missing_file_is_no_error_and_a_corrupted_one_is() {
        let directory = scratch("state-bad");
        let path = directory.join(INVENTORY);
        assert!(matches!(load::<InventoryFile>(&path), Ok(None)));
        std::fs::write(&path, "{\"learned\": {\"gpus\": 8").unwrap();
        assert!(matches!(load::<InventoryFile>(&path), Err(StateError::Format(..))));
    }

    #[test]
    fn a_write_that_fails_keeps_the_old_file() {
        let directory = scratch("full");
        let path = directory.join(INVENTORY);
        std::fs::write(&path, "{}\n").unwrap();
        // A directory in place of the temporary file fails for root too, unlike a file mode.
        std::fs::create_dir(path.with_extension("json.tmp")).unwrap();
        let stored = store(&path, &InventoryFile::default(), Durability::AcrossBoots);
        assert!(matches!(stored, Err(StateError::Write(..))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    }
}
