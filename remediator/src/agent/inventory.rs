//! The check that a node shows the GPUs that it had before its repair: a newly installed disk
//! remembers none. Pure.

use jiff::Timestamp;

use crate::core::record::{Inventory, Verdict};

/// Returns the verdict. `seen`: the GPUs that the exporter saw in a run; `None`: it did not report
/// them.
pub fn verdict(expected: &Inventory, seen: Option<&Inventory>, at: Timestamp) -> Verdict {
    let Some(seen) = seen else {
        let detail = "the exporter does not report which GPUs it saw".to_owned();
        return Verdict::of("inventory", ("unknown", Some("own-trouble")), detail, at);
    };
    // A tool that reports no addresses cannot show which GPU is missing.
    let named = seen.pci.len() >= usize::try_from(seen.gpus).unwrap_or(usize::MAX);
    let gone: Vec<&str> =
        expected.pci.iter().filter(|address| named && !seen.pci.contains(address)).map(String::as_str).collect();
    if seen.gpus >= expected.gpus && gone.is_empty() {
        return Verdict::of("inventory", ("passed", None), format!("{} GPUs, as before the repair", seen.gpus), at);
    }
    let list = if gone.is_empty() { String::new() } else { format!("; missing: {}", gone.join(", ")) };
    let detail = format!("{} GPUs, {} before the repair{list}", seen.gpus, expected.gpus);
    Verdict::of("inventory", ("failed", Some("gpu-missing")), detail, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(gpus: u32, pci: &[&str]) -> Inventory {
        Inventory { gpus, pci: pci.iter().map(|address| (*address).to_owned()).collect() }
    }

    #[test]
    fn the_gpus_from_before_the_repair_have_to_be_there() {
        let two = inventory(2, &["0000:05:00.0", "0000:0b:00.0"]);
        for (seen, expected) in [
            (Some(two.clone()), "passed"),
            (Some(inventory(3, &["0000:05:00.0", "0000:0b:00.0", "0000:11:00.0"])), "passed"),
            (Some(inventory(1, &["0000:05:00.0"])), "failed"),
            // The same number, but another GPU: one slot is empty.
            (Some(inventory(2, &["0000:05:00.0", "0000:11:00.0"])), "failed"),
            (Some(inventory(2, &[])), "passed"),
            (Some(inventory(1, &[])), "failed"),
            (None, "unknown"),
        ] {
            let said = verdict(&two, seen.as_ref(), Timestamp::UNIX_EPOCH);
            assert_eq!(said.verdict, expected, "{seen:?}: {}", said.detail);
        }
    }

    #[test]
    fn a_missing_gpu_is_named() {
        let said = verdict(&inventory(2, &["a", "b"]), Some(&inventory(1, &["a"])), Timestamp::UNIX_EPOCH);
        assert_eq!(said.detail, "1 GPUs, 2 before the repair; missing: b");
    }
}
