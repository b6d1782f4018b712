//! Generates a test for each story: `tests/stories/FOLDER/NAME.story` becomes the test
//! `stories::FOLDER::NAME_...`. Its name is the file's name and the first sentence of its first
//! comment. A new file in the folder is a new test.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The folders, and how `tests/all/support.rs` returns the lab that plays each.
const FOLDERS: [(&str, &str); 7] = [
    ("alerts", "lab()"),
    ("repairs", "lab()"),
    ("phases", "lab()"),
    ("people", "lab()"),
    ("machines", "lab()"),
    ("trouble", "troubled_lab()"),
    ("fleet", "bare_lab().await"),
];
/// Length limit of a test's name, without its modules.
const LONGEST: usize = 60;

fn main() -> Result<()> {
    let root = PathBuf::from(std::env!("CARGO_MANIFEST_DIR")).join("stories");
    let mut text = String::new();
    for (folder, lab) in FOLDERS {
        let path = root.join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        let function = lab.split('(').next().unwrap_or_default();
        text.push_str(&format!(
            "mod {folder} {{\n    use crate::stories::passed;\n    use crate::support::{function};\n"
        ));
        for file in stories(&path)? {
            let name = file.file_stem().context("a story file has no name")?.to_string_lossy().into_owned();
            text.push_str(&format!(
                "\n    #[tokio::test]\n    async fn {}() {{\n        let lab = {lab};\n        passed(&lab, \"{name}\").await;\n    }}\n",
                test_name(&name, &file)?
            ));
        }
        text.push_str("}\n");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").context("OUT_DIR is not set: cargo runs this file")?);
    fs::write(out.join("stories.rs"), text).context("writing stories.rs")
}

/// The story files of a folder, sorted by name.
fn stories(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "story"));
    files.sort();
    ensure!(!files.is_empty(), "{} has no story", folder.display());
    Ok(files)
}

/// Returns the file's name and the words of its first comment, up to the first full stop, colon or
/// semicolon.
fn test_name(name: &str, file: &Path) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let first = text.lines().next().and_then(|line| line.strip_prefix("# "));
    let first = first.with_context(|| format!("{}: the first line has to be a comment", file.display()))?;
    let sentence = first.split(['.', ':', ';']).next().unwrap_or_default();
    let words = sentence.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut test = name.replace('-', "_");
    for word in words {
        if test.len() + word.len() >= LONGEST {
            break;
        }
        test.push('_');
        test.push_str(&word.to_lowercase());
    }
    Ok(test)
}
