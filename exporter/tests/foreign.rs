//! Tests on outputs that may not be copied into this repository. `OSSCI_SAMPLES` names a folder
//! with them. `testdata/foreign.txt` holds the expected facts without the files;
//! `UPDATE_EXPECTED=1` rewrites it. Prints how many files it read.
#![allow(clippy::disallowed_methods, reason = "the folder is named by the environment")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "all/digest.rs"]
mod digest;

use digest::digest;
use ossci_exporter::ending::{Ending, Exit, Streams};
use ossci_exporter::judge::{Bounds, Finding, Known, find};
use ossci_exporter::parse::ToolName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folders, and the tools whose outputs they hold.
const FOLDERS: [(&str, ToolName); 7] = [
    ("rocm-smi", ToolName::RocmSmi),
    ("amd-smi", ToolName::AmdSmi),
    ("rocminfo", ToolName::Rocminfo),
    ("ookla", ToolName::Speedtest),
    ("speedtest-cli", ToolName::SpeedtestCli),
    ("librespeed", ToolName::LibrespeedCli),
    ("iperf3", ToolName::Iperf3),
];

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

/// Returns the exit statuses from the folder's index: the sixth cell of a row that begins with the
/// file's name.
fn statuses(folder: &Path) -> BTreeMap<String, i32> {
    let index = std::fs::read_to_string(folder.join("INDEX.md")).unwrap_or_default();
    let status = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let name = cells.first()?.split('`').nth(1)?;
        Some((name.to_string(), cells.get(5)?.trim().parse().ok()?))
    };
    index.lines().filter_map(status).collect()
}

fn finding(tool: ToolName, stdout: &[u8], stderr: &[u8], status: i32) -> Finding {
    let (exit, streams) = (Exit::Status(status), Streams { stdout: stdout.to_vec(), stderr: stderr.to_vec() });
    let ending =
        if matches!(status, 124 | 137) { Ending::TimedOut(exit, streams) } else { Ending::Exited(exit, streams) };
    find(tool, &ending, Known { passed_before: true, ..Known::default() }, Bounds::default())
}

fn line(name: &str, finding: &Finding) -> String {
    let verdict = finding.judgement.verdict;
    let odd = finding.not_understood.len();
    let facts = digest(finding.facts.as_ref());
    format!("{name:75} {:8} {:18} {odd:2} {facts}", verdict.as_str(), verdict.reason().unwrap_or("-"))
}

#[test]
fn foreign_samples_get_their_verdicts() {
    let Some(folder) = std::env::var_os("OSSCI_SAMPLES").map(PathBuf::from) else {
        println!("OSSCI_SAMPLES is not set: 0 files read");
        return;
    };
    let statuses = statuses(&folder);
    let mut table = vec!["# file, verdict, reason, how many things were not understood, what was read".to_string()];
    for (name, tool) in FOLDERS {
        for path in files(&folder.join(name)) {
            let stdout = std::fs::read(&path).unwrap();
            let stderr = std::fs::read(path.with_extension("stderr.txt")).unwrap_or_default();
            let name = path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
            let status = statuses.get(&name).copied().unwrap_or(0);
            table.push(line(&name, &finding(tool, &stdout, &stderr, status)));
            for end in (0..stdout.len()).step_by(stdout.len() / 100 + 1) {
                finding(tool, &stdout[..end], &stderr, status);
            }
        }
    }
    println!("{} files read", table.len() - 1);
    assert!(table.len() > 1, "no samples below {}", folder.display());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/foreign.txt");
    let table = table.join("\n") + "\n";
    ossci_base::golden::check(&golden, &table).unwrap_or_else(|error| panic!("{error}"));
}
