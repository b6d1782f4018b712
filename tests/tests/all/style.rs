//! Formatting, lints, and the shape of the source: head comments, and pure files that touch nothing.

use std::fs;
use std::path::{Path, PathBuf};

use ossci_tests::{environment, setup};

use crate::support::{part, run};

/// Files that decide and touch nothing. A folder stands for all files in it.
const PURE: [&str; 17] = [
    "exporter/src/parse",
    "exporter/src/verdict.rs",
    "exporter/src/judge",
    "exporter/src/strikes.rs",
    "exporter/src/schedule.rs",
    "exporter/src/inventory.rs",
    "remediator/src/agent/driver.rs",
    "remediator/src/agent/inventory.rs",
    "remediator/src/agent/load_test.rs",
    "remediator/src/agent/redact.rs",
    "remediator/src/core",
    "remediator/src/mail/compose.rs",
    "tests/src/audit.rs",
    "tests/src/fault.rs",
    "tests/src/heard.rs",
    "tests/src/story.rs",
    "tests/src/verdict.rs",
];

/// What a pure file does not name: clients, clocks, the environment, files, processes, sockets, other tasks.
const TOUCHES: [&str; 14] = [
    "kube::",
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "lettre",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "crate::clock",
    "crate::process",
    "::now()",
];

fn cargo() -> PathBuf {
    environment::on_path("cargo").expect("cargo is not on the PATH: install Rust 1.95 from rustup.rs")
}

#[tokio::test]
async fn everything_is_formatted() {
    let _part = part("cargo fmt");
    run("cargo fmt", &cargo(), &["fmt", "--all", "--check"]).await;
}

#[tokio::test]
async fn clippy_has_nothing_to_say() {
    let _part = part("cargo clippy");
    // Below everything else: the stories beside it should not wait for a compiler.
    let cargo = cargo().display().to_string();
    let lints = ["-n", "19", &cargo, "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    run("cargo clippy", Path::new("/usr/bin/nice"), &lints).await;
}

/// Nodes run it as root.
#[tokio::test]
async fn shellcheck_has_nothing_to_say_about_the_reimage() {
    let _part = part("shellcheck");
    let script = environment::repository().join("deploy/reimage/reimage.sh").display().to_string();
    run("shellcheck", &setup::tool("shellcheck").unwrap(), &["--severity=style", &script]).await;
}

#[test]
fn pure_files_touch_nothing() {
    let mut wrong = Vec::new();
    for pure in PURE {
        let path = environment::repository().join(pure);
        assert!(path.exists(), "{pure} is gone: correct the list");
        let files = rust_files(&path);
        let only_tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
        for file in files.iter().filter(|file| !only_tests.iter().any(|module| file.starts_with(module))) {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            for (number, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap();
                wrong.extend(
                    TOUCHES
                        .iter()
                        .filter(|word| line.contains(**word))
                        .map(|word| format!("{}:{}: {word}", file.display(), number + 1)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let crates = ["exporter", "remediator", "tests"].map(|name| environment::repository().join(name));
    let silent: Vec<String> = crates
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no head comment in\n{}", silent.join("\n"));
}

/// Modules that a file declares for tests only, as files and as folders.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0].trim() == "#[cfg(test)]");
    let names = declared.filter_map(|pair| pair[1].trim().strip_prefix("mod ")?.strip_suffix(';'));
    let folder = file.parent().unwrap();
    names.flat_map(|name| [folder.join(name), folder.join(format!("{name}.rs"))]).collect()
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
