//! The shape of the text: head comments, widths, plain words.

use std::fs;
use std::path::{Path, PathBuf};

use ossci_tests::environment;
use regex::Regex;

use crate::house::rust_files;

/// The folders with our Rust code.
const CRATES: [&str; 4] = ["base", "exporter", "remediator", "tests"];

fn all_files() -> Vec<PathBuf> {
    let folder = |name: &&str| rust_files(&environment::repository().join(name));
    CRATES.iter().flat_map(folder).filter(|file| !file.components().any(|part| part.as_os_str() == "target")).collect()
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = all_files()
        .iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no head comment in\n{}", silent.join("\n"));
}
