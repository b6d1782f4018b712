//! Invariants of each fuzz target: no panic, and no verdict that contradicts the facts.

use ossci_exporter::ending::{Ending, Exit, Streams};
use ossci_exporter::judge::{Bounds, Known, find};
use ossci_exporter::facts::{Facts, Gpu};
use ossci_exporter::parse::ToolName;
use ossci_exporter::verdict::Verdict;

/// Checks the bytes as the output, as the error stream, and split over both.
pub fn check(tool: ToolName, data: &[u8]) {
    let (front, back) = data.split_at(data.len() / 2);
    for (stdout, stderr) in [(data, &[][..]), (&[][..], data), (front, back)] {
        for ending in [Ending::Exited, Ending::TimedOut] {
            let streams = Streams { stdout: stdout.to_vec(), stderr: stderr.to_vec() };
            let known = Known { passed_before: true, sensors_wanted: true, ..Known::default() };
            let finding = find(tool, &ending(Exit::Status(0), streams), known, Bounds::default());
            if let Some(Facts::Gpus(gpus)) = &finding.facts {
                gpus.iter().for_each(sound);
                let silent = tool != ToolName::Rocminfo && gpus.iter().any(|gpu| !gpu.responds());
                let excerpt = finding.judgement.detail.starts_with("no fault");
                assert!(!(silent && !excerpt && finding.judgement.verdict == Verdict::Passed), "a silent GPU passes");
            }
            assert!(finding.judgement.detail.len() < 64 << 10 || finding.facts.is_some(), "a detail without a limit");
            assert!(finding.not_understood.len() <= 51);
        }
    }
}

fn sound(gpu: &Gpu) {
    let numbers = [gpu.use_ratio, gpu.memory_use_ratio, gpu.power_watts, gpu.memory_used_bytes, gpu.memory_total_bytes];
    for number in numbers.into_iter().flatten() {
        assert!(number.is_finite() && number >= 0.0, "{number}");
    }
    assert!(gpu.use_ratio.is_none_or(|ratio| ratio <= 1.0) && gpu.memory_use_ratio.is_none_or(|ratio| ratio <= 1.0));
    assert!(gpu.partitions >= 1);
}
