//! The check that a node shows the GPUs that it had before its repair: a newly installed disk
//! remembers none. Pure.

use jiff::Timestamp;

use crate::core::record::{Inventory, Verdict};

/// Returns the verdict. `seen`: the GPUs that the exporter saw in a run; `None`: it did not report
/// them. `lent`: the addresses of those that virtual machines have by now; no tool shows them.
pub fn verdict(expected: &Inventory, seen: Option<&Inventory>, lent: &[String], at: Timestamp) -> Verdict {
    let of = |verdict, detail| Verdict::of("inventory", verdict, detail, at);
    let Some(seen) = seen else {
        let detail = "the exporter does not report which GPUs it saw".to_owned();
        return of(("unknown", Some("own-trouble")), detail);
    };
    // A tool that reports no addresses cannot show which GPU is missing.
    let named = seen.pci.len() >= usize::try_from(seen.gpus).unwrap_or(usize::MAX);
    let is_gone = |address: &&String| named && !seen.pci.contains(*address) && !lent.contains(*address);
    let gone: Vec<&str> = expected.pci.iter().filter(is_gone).map(String::as_str).collect();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let away = count(expected.pci.iter().filter(|address| lent.contains(*address)).count());
    let wanted = expected.gpus.saturating_sub(away);
    if seen.gpus >= wanted && gone.is_empty() {
        return of(("passed", None), format!("{} GPUs, as before the repair", seen.gpus));
    }
    let list = if gone.is_empty() { String::new() } else { format!("; missing: {}", gone.join(", ")) };
    let detail = format!("{} GPUs, {wanted} before the repair{list}", seen.gpus);
    // Without the addresses from before the repair, the lent ones may be those that are missing.
    if expected.pci.is_empty() && seen.gpus.saturating_add(count(lent.len())) >= wanted {
        let detail = format!("{detail}; another driver than amdgpu has {}", lent.join(", "));
        return of(("unknown", Some("own-trouble")), detail);
    }
    of(("failed", Some("gpu-missing")), detail)
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
            let said = verdict(&two, seen.as_ref(), &[], Timestamp::UNIX_EPOCH);
            assert_eq!(said.verdict, expected, "{seen:?}: {}", said.detail);
        }
    }

    #[test]
    fn gpus_that_virtual_machines_have_by_now_are_not_missing() {
        let of = |expected: &Inventory, seen: Inventory, lent: &[&str]| {
            let lent: Vec<String> = lent.iter().map(ToString::to_string).collect();
            verdict(expected, Some(&seen), &lent, Timestamp::UNIX_EPOCH).verdict
        };
        let two = inventory(2, &["a", "b"]);
        assert_eq!(of(&two, inventory(1, &["a"]), &["b"]), "passed");
        assert_eq!(of(&two, inventory(1, &["a"]), &["c"]), "failed", "another one is lent");
        assert_eq!(of(&two, inventory(1, &[]), &["b"]), "passed");
        assert_eq!(of(&inventory(2, &[]), inventory(1, &["a"]), &["b"]), "unknown", "it may be the missing one");
        assert_eq!(of(&inventory(3, &[]), inventory(1, &["a"]), &["b"]), "failed");
    }

    #[test]
    fn a_missing_gpu_is_named() {
        let said = verdict(&inventory(2, &["a", "b"]), Some(&inventory(1, &["a"])), &[], Timestamp::UNIX_EPOCH);
        assert_eq!(said.detail, "1 GPUs, 2 before the repair; missing: b");
    }
}
