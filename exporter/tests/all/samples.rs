//! What the exporter makes of each output in testdata/, as one golden table. `UPDATE_EXPECTED=1` writes the table again.
#![allow(clippy::disallowed_methods, reason = "a test is told by the environment to write its table again")]

use ossci_exporter::inventory::{Expected, Source};
use ossci_exporter::judge::{Bounds, Ending, Finding, Known, judge};
use ossci_exporter::parse::{Exit, Output};
use ossci_exporter::verdict::{Check, Facts};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The exit statuses that are not 0. The iperf3 ones differ by release, which is the point.
const STATUSES: [(&str, i32); 12] = [
    ("rocm-smi/status-2.json", 2),
    ("rocm-smi/traceback.json", 1),
    ("rocm-smi/init-fails.txt", 8),
    ("rocminfo/no-module.txt", 1),
    ("rocminfo/not-live.txt", 1),
    ("rocminfo/no-dev-kfd.txt", 1),
    ("rocminfo/no-lsmod-5.2.txt", 1),
    ("rocminfo/hsa-failure.txt", 8),
    ("iperf3/320-refused.json", 1),
    ("iperf3/37-refused.json", 1),
    ("iperf3/321x-server-killed.json", 1),
    ("iperf3/312-bad-flag.txt", 1),
];

/// Ended by us at the deadline.
const TIMED_OUT: [&str; 2] = ["iperf3/312-blackhole.json", "iperf3/312-slow-until-sigterm.json"];

const BOUNDS: Bounds = Bounds { max_junction_celsius: 105.0, min_download_bits_per_second: 1e8 };

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn tool(check: Check) -> &'static str {
    if check == Check::Network { "iperf3" } else { check.as_str() }
}

/// The outputs of a tool, without what belongs to them on stderr.
fn samples(check: Check) -> Vec<String> {
    let entries = std::fs::read_dir(testdata().join(tool(check))).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut samples: Vec<String> =
        names.filter(|name| !name.ends_with(".stderr.txt")).map(|name| format!("{}/{name}", tool(check))).collect();
    samples.sort();
    samples
}

fn finding(check: Check, sample: &str) -> Finding {
    let path = testdata().join(sample);
    let stdout = std::fs::read(&path).unwrap();
    let stderr = std::fs::read(path.with_extension("stderr.txt")).unwrap_or_default();
    let status = STATUSES.iter().find(|(name, _)| *name == sample).map_or(0, |(_, status)| *status);
    let output = Output { stdout: &stdout, stderr: &stderr, exit: Exit::Status(status) };
    let ending = if TIMED_OUT.contains(&sample) { Ending::TimedOut(output) } else { Ending::Ended(output) };
    let known = Known {
        expected: Some(Expected { gpus: 8, source: Source::Configuration }),
        learned: None,
        passed_before: true,
    };
    judge(check, ending, known, BOUNDS)
}

fn line(check: Check, sample: &str) -> String {
    let Finding { judgement, facts, not_understood } = finding(check, sample);
    let read = match &facts {
        Some(Facts::Gpus(gpus)) => format!("{} GPUs", gpus.len()),
        Some(Facts::Network(transfer)) => format!("{:.0} bit/s", transfer.download_bits_per_second),
        None => "-".to_string(),
    };
    let verdict = judgement.verdict;
    let reason = verdict.reason().unwrap_or("-");
    let mut line = format!("{sample:42} {:8} {reason:18} {read:16} {}", verdict.as_str(), judgement.detail);
    for odd in not_understood {
        let _ = write!(line, " [not understood: {odd}]");
    }
    line
}

#[test]
fn each_sample_gets_its_verdict() {
    let mut table =
        String::from("# Eight GPUs are expected, at least 100 Mbit/s, and each tool has passed on this node before.\n");
    for check in Check::ALL {
        for sample in samples(check) {
            table += &line(check, &sample);
            table.push('\n');
        }
    }
    let path = testdata().join("expected.txt");
    if std::env::var("UPDATE_EXPECTED").is_ok() {
        std::fs::write(&path, &table).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    for (made, wanted) in table.lines().zip(expected.lines()) {
        assert_eq!(made, wanted);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

#[test]
fn no_prefix_of_a_sample_breaks_a_parser_or_passes_as_a_whole_one() {
    for check in Check::ALL {
        for sample in samples(check) {
            let stdout = std::fs::read(testdata().join(&sample)).unwrap();
            let whole = String::from_utf8_lossy(&stdout).trim_end().len();
            for end in (0..whole).step_by(whole / 50 + 1) {
                let output = Output { stdout: &stdout[..end], stderr: b"", exit: Exit::Status(0) };
                let finding = judge(check, Ending::Ended(output), Known::default(), BOUNDS);
                assert!(finding.facts.is_none(), "{sample} cut at {end}: {:?}", finding.judgement);
            }
        }
    }
}

#[test]
fn every_sample_is_described_and_every_description_has_a_sample() {
    let readme = std::fs::read_to_string(testdata().join("README.md")).unwrap();
    for check in Check::ALL {
        for sample in samples(check) {
            let name = sample.rsplit_once('/').unwrap().1;
            let family = name.split_once('-').map_or(String::new(), |(_, rest)| format!("*-{rest}"));
            let named = readme.contains(&format!("{name}`")) || readme.contains(&format!("{family}`"));
            assert!(named, "{sample} is not in testdata/README.md");
        }
    }
    for (sample, _) in STATUSES {
        let known = testdata().join(sample).exists();
        assert!(known, "{sample} has a status and is not there");
    }
}
