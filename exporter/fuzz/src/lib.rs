//! What each target holds: no panic, and no verdict that its facts contradict.

use ossci_exporter::judge::{Bounds, Ending, Known, judge};
use ossci_exporter::parse::{Exit, Output};
use ossci_exporter::verdict::{Facts, Gpu, ToolName, Verdict};

/// The bytes once as the output, once as the error stream, and once as both halves.
pub fn check(tool: ToolName, data: &[u8]) {
    let (front, back) = data.split_at(data.len() / 2);
    for (stdout, stderr) in [(data, &[][..]), (&[][..], data), (front, back)] {
        for ending in [Ending::Ended, Ending::TimedOut] {
            let output = Output { stdout, stderr, exit: Exit::Status(0) };
            let known = Known { passed_before: true, sensors_wanted: true, ..Known::default() };
            let finding = judge(tool, ending(output), known, Bounds::default());
            if let Some(Facts::Gpus(gpus)) = &finding.facts {
                gpus.iter().for_each(sound);
                let silent = tool != ToolName::Rocminfo && gpus.iter().any(|gpu| !gpu.responds());
                let excerpt = finding.judgement.detail.starts_with("no fault");
                assert!(!(silent && !excerpt && finding.judgement.verdict == Verdict::Passed), "a silent GPU passes");
            }
            assert!(finding.judgement.detail.len() < 64 << 10 || finding.facts.is_some(), "a detail without bounds");
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
