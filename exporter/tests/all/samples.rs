//! Tests on the samples in testdata/: the exporter's verdict on each output, as one golden table.
//! `UPDATE_EXPECTED=1` rewrites the table.
#![allow(clippy::disallowed_methods, reason = "the environment decides whether a test rewrites its table")]

use crate::digest::digest;
use ossci_exporter::ending::{Ending, Exit, Streams};
use ossci_exporter::inventory::{Expected, Source};
use ossci_exporter::judge::{Bounds, Finding, Known, find};
use ossci_exporter::parse::ToolName;
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Returns the exit statuses that are not 0. Those of iperf3 differ by release, on purpose.
fn statuses() -> Vec<(String, i32)> {
    let text = std::fs::read_to_string(testdata().join("statuses.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split_once(' ').unwrap());
    lines.map(|(sample, status)| (sample.to_string(), status.parse().unwrap())).collect()
}

/// Stands for a run that was ended at its deadline.
const TIMED_OUT: i32 = 124;

/// Returns the outputs of a tool, without the stderr files that belong to them.
fn samples(tool: ToolName) -> Vec<String> {
    let entries = std::fs::read_dir(testdata().join(tool.as_str())).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut samples: Vec<String> =
        names.filter(|name| !name.ends_with(".stderr.txt")).map(|name| format!("{}/{name}", tool.as_str())).collect();
    samples.sort();
    samples
}

fn finding(tool: ToolName, sample: &str) -> Finding {
    let path = testdata().join(sample);
    let stdout = std::fs::read(&path).unwrap();
    let stderr = std::fs::read(path.with_extension("stderr.txt")).unwrap_or_default();
    let status = statuses().into_iter().find(|(name, _)| name == sample).map_or(0, |(_, status)| status);
    let streams = Streams { stdout, stderr };
    let ending = match status {
        TIMED_OUT => Ending::TimedOut(Exit::Status(status), streams),
        _ => Ending::Exited(Exit::Status(status), streams),
    };
    let known = Known {
        expected: Some(Expected { gpus: 8, source: Source::Configuration }),
        passed_before: true,
        ..Known::default()
    };
    find(tool, &ending, known, Bounds::default())
}

fn line(tool: ToolName, sample: &str) -> String {
    let Finding { judgement, facts, not_understood, .. } = finding(tool, sample);
    let verdict = judgement.verdict;
    let reason = verdict.reason().unwrap_or("-");
    let mut line = format!("{sample:48} {:8} {reason:18} {}", verdict.as_str(), judgement.detail);
    for odd in not_understood {
        let _ = write!(line, " [not understood: {odd}]");
    }
    let _ = write!(line, "\n    {}", digest(facts.as_ref()));
    line
}

#[test]
fn each_sample_gets_its_verdict() {
    let mut table =
        String::from("# Eight GPUs are expected, at least 100 Mbit/s, and each tool has passed on this node before.\n");
    for &tool in ToolName::ALL {
        for sample in samples(tool) {
            table += &line(tool, &sample);
            table.push('\n');
        }
    }
    let path = testdata().join("expected.txt");
    ossci_base::golden::check(&path, &table).unwrap_or_else(|error| panic!("{error}"));
}

/// 50 cuts of each sample, or with `OSSCI_EVERY_BYTE` one at each byte.
#[test]
fn no_prefix_of_a_sample_passes_as_a_complete_one() {
    let every_byte = std::env::var_os("OSSCI_EVERY_BYTE").is_some();
    for &tool in ToolName::ALL {
        for sample in samples(tool) {
            // The texts of amd-smi and the human formats have no end mark that could be missing.
            if tool != ToolName::RocmSmi && tool != ToolName::Rocminfo && sample.ends_with(".txt") {
                continue;
            }
            let stdout = std::fs::read(testdata().join(&sample)).unwrap();
            let whole = String::from_utf8_lossy(&stdout).trim_end().len();
            for end in (0..whole).step_by(if every_byte { 1 } else { whole / 50 + 1 }) {
                // After this only a border is missing; between two documents of amd-smi nothing is.
                let text = String::from_utf8_lossy(&stdout[..end]);
                if text.contains("End of ROCm SMI Log")
                    || ["\n]", "\n}"].iter().any(|end| text.trim_end().ends_with(end))
                {
                    break;
                }
                let ending = Ending::exited(0, &stdout[..end], "");
                let finding = find(tool, &ending, Known::default(), Bounds::default());
                assert!(finding.facts.is_none(), "{sample} cut at {end}: {:?}", finding.judgement);
            }
        }
    }
}

#[test]
fn every_sample_is_described_and_every_description_has_a_sample() {
    let readme = std::fs::read_to_string(testdata().join("README.md")).unwrap();
    for &tool in ToolName::ALL {
        for sample in samples(tool) {
            let name = sample.rsplit_once('/').unwrap().1;
            let family = name.split_once('-').map_or(String::new(), |(_, rest)| format!("*-{rest}"));
            let named = readme.contains(&format!("{name}`")) || readme.contains(&format!("{family}`"));
            assert!(named, "{sample} is not in testdata/README.md");
        }
    }
    for (sample, _) in statuses() {
        let known = testdata().join(&sample).exists();
        assert!(known, "{sample} has a status but does not exist");
    }
}

/// One row of `reports/right.txt`.
struct Report {
    file: String,
    expected_gpus: Option<u32>,
    status: i32,
    /// The verdicts that are right, with or without a reason.
    right: Vec<String>,
}

fn reports() -> Vec<Report> {
    let text = std::fs::read_to_string(testdata().join("reports/right.txt")).unwrap();
    let report = |line: &str| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [file, gpus, status, right, _] = cells.as_slice() else { panic!("{line}") };
        Report {
            file: file.to_string(),
            expected_gpus: gpus.parse().ok(),
            status: status.parse().unwrap(),
            right: right.split(", ").map(str::to_string).collect(),
        }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(report).collect()
}

#[test]
fn each_public_report_gets_a_right_verdict() {
    let mut table = String::from("# The exporter's verdict on each output, and the facts that it read.\n");
    let mut wrong = Vec::new();
    for Report { file, expected_gpus, status, right } in reports() {
        let path = testdata().join("reports").join(&file);
        let stdout = std::fs::read(&path).unwrap();
        let stderr = std::fs::read(path.with_extension("stderr.txt")).unwrap_or_default();
        let tool = ToolName::from_name(file.split('/').next().unwrap()).unwrap();
        let expected = expected_gpus.map(|gpus| Expected { gpus, source: Source::Configuration });
        let known = Known { expected, ..Known::default() };
        let ending = Ending::Exited(Exit::Status(status), Streams { stdout, stderr });
        let Finding { judgement, facts, .. } = find(tool, &ending, known, Bounds::default());
        let verdict = judgement.verdict;
        let given = format!("{} {}", verdict.as_str(), verdict.reason().unwrap_or_default());
        if !right.iter().any(|right| given.trim() == right || verdict.as_str() == right) {
            wrong.push(format!("{file}: {given} ({}), right: {right:?}", judgement.detail));
        }
        writeln!(table, "{file}\n    {}: {}\n    {}", given.trim(), judgement.detail, digest(facts.as_ref())).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let path = testdata().join("reports/expected.txt");
    ossci_base::golden::check(&path, &table).unwrap_or_else(|error| panic!("{error}"));
}
