//! Outputs that may not be copied into this repository: a folder of them is named by `OSSCI_SAMPLES`. Each is read whole and cut
//! at many places; nothing may panic, and each whole result of a known layout must be read as one. Prints how many files it read.
#![allow(clippy::disallowed_methods, reason = "the folder is named by the environment")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ossci_exporter::parse::{Exit, Output, Parsed, Reading, parse};
use ossci_exporter::verdict::Check;
use std::path::{Path, PathBuf};

/// Parts of outputs, as their names say.
const FRAGMENTS: [&str; 3] = ["fragment", "truncated", "_cut"];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_string_lossy().ends_with(".stderr.txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(check: Check, stdout: &[u8], stderr: &[u8]) -> Parsed {
    parse(check, Output { stdout, stderr, exit: Exit::Status(0) })
}

#[test]
fn foreign_samples_are_read_and_break_nothing() {
    let Some(folder) = std::env::var_os("OSSCI_SAMPLES").map(PathBuf::from) else {
        println!("OSSCI_SAMPLES is not set: 0 files read");
        return;
    };
    let mut count = 0;
    for (check, tool) in [(Check::RocmSmi, "rocm-smi"), (Check::Rocminfo, "rocminfo"), (Check::Network, "iperf3")] {
        for path in files(&folder.join(tool)) {
            let stdout = std::fs::read(&path).unwrap();
            let stderr = std::fs::read(path.with_extension("stderr.txt")).unwrap_or_default();
            let parsed = read(check, &stdout, &stderr);
            for end in (0..stdout.len()).step_by(stdout.len() / 100 + 1) {
                read(check, &stdout[..end], &stderr);
            }
            let name = path.file_name().unwrap().to_string_lossy();
            let json = path.extension().is_some_and(|extension| extension == "json");
            let whole = !stdout.trim_ascii().is_empty() && !FRAGMENTS.iter().any(|part| name.contains(part));
            if check == Check::RocmSmi && json && whole {
                assert!(matches!(parsed.reading, Reading::Whole(_)), "{}: {parsed:?}", path.display());
                assert!(parsed.not_understood.is_empty(), "{}: {:?}", path.display(), parsed.not_understood);
            }
            if check == Check::Rocminfo && String::from_utf8_lossy(&stdout).contains("*** Done ***") {
                assert!(matches!(parsed.reading, Reading::Whole(_)), "{}: {parsed:?}", path.display());
            }
            count += 1;
        }
    }
    println!("{count} files read");
    assert!(count > 0, "no samples below {}", folder.display());
}
