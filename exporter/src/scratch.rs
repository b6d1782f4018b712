//! Temporary directory of a test, removed when it is dropped.

use std::ops::Deref;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Scratch(PathBuf);

/// Creates an empty directory. Only one test may use the name.
pub fn scratch(name: &str) -> Scratch {
    let path = std::env::temp_dir().join(format!("ossci-exporter-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    Scratch(path)
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
