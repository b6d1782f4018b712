//! For tests: a directory of its own that goes away with the test.

use std::ops::Deref;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Scratch(PathBuf);

/// A new empty directory. The name must be used by one test alone.
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
