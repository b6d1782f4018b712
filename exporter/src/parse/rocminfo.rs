//! Parser of `rocminfo`, all releases: a header line about the driver, one block per agent, then
//! `*** Done ***`. Only `Device Type: GPU` counts as a GPU: a GPU has two `gfx` lines, and an
//! MI300A's processor has the marketing name of its GPU. Decides nothing.

use super::output::{Output, Parsed, Reading};
use super::text::{never_asked, plain, quote};
use crate::facts::{Facts, Gpu};
use std::collections::{BTreeMap, BTreeSet};

pub const ARGUMENTS: [&str; 0] = [];

/// Without this line the output is incomplete.
const END: &str = "*** Done ***";

/// Releases up to 5.2 call lsmod, and report its failure (no kmod, no /proc/modules) as a driver
/// that is not loaded.
const NO_LIST: &str = "could not get list of modules";

/// Parses one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    let mut agents: Vec<Agent> = Vec::new();
    let mut listing = false;
    let mut whole = false;
    let mut not_loaded = None;
    let mut denied = None;
    let mut failed: Option<String> = None;
    for line in stdout.lines() {
        let line = line.trim();
        if line == END {
            whole = true;
        } else if line == "HSA Agents" {
            listing = true;
        } else if line.starts_with("ROCk module is NOT") {
            not_loaded = Some(quote(line));
        } else if let Some(error) = line.strip_prefix("Unable to open /dev/kfd read-write:") {
            match right(error.trim()) {
                true => denied = Some(quote(line)),
                false => failed = Some(quote(line)),
            }
        } else if line.starts_with("hsa api call failure") || line.starts_with("Call returned") {
            failed = Some(quote(line));
        } else if is_agent_title(line) {
            agents.push(Agent::default());
        } else if let (Some(agent), Some((key, value))) = (agents.last_mut(), line.split_once(':')) {
            agent.set(key.trim_end(), value.trim_start_matches(':').trim());
        }
    }
    // Old releases print "NOT loaded" also if they cannot find out, and continue: a complete list
    // outweighs the line.
    let mut not_understood = Vec::new();
    let reading = match (whole, failed, not_loaded, denied) {
        (_, Some(failure), _, _) => Reading::ToolFailed(failure),
        (true, ..) => Reading::Whole(Facts::Gpus(physical(agents, &mut not_understood))),
        (_, _, Some(_), _) if stderr.contains(NO_LIST) => Reading::Denied(NO_LIST.to_string()),
        (_, _, Some(line), _) => Reading::DriverNotLoaded(line),
        (_, _, _, Some(line)) => Reading::Denied(line),
        _ if listing => Reading::Cut,
        _ if never_asked(&stderr).is_some() => Reading::NeverAsked(never_asked(&stderr).unwrap_or_default()),
        _ if stdout.trim().is_empty() || stdout.trim_start().starts_with("ROCk module") => Reading::Nothing,
        _ => Reading::Foreign(quote(&stdout)),
    };
    Parsed { reading, not_understood }
}

/// Returns whether an errno text is about permissions: the device is hidden from the exporter, or a
/// rule forbids access. Other errors (out of memory, busy) were seen on faulty GPUs as root.
fn right(error: &str) -> bool {
    ["No such file", "Permission denied", "Operation not permitted", "Invalid argument"]
        .iter()
        .any(|text| error.starts_with(text))
}

fn is_agent_title(line: &str) -> bool {
    line.strip_prefix("Agent ").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// One agent. The first line of a key counts: pools and instruction sets repeat some of the names
/// below.
#[derive(Default)]
struct Agent {
    device_type: Option<String>,
    uuid: Option<String>,
    marketing_name: Option<String>,
    bdfid: Option<String>,
}

impl Agent {
    fn set(&mut self, key: &str, value: &str) {
        let field = match key {
            "Device Type" => &mut self.device_type,
            "Uuid" => &mut self.uuid,
            "Marketing Name" => &mut self.marketing_name,
            "BDFID" => &mut self.bdfid,
            _ => return,
        };
        if field.is_none() {
            *field = Some(value.to_string());
        }
    }

    fn unique_id(&self) -> Option<String> {
        let digits = self.uuid.as_deref()?.strip_prefix("GPU-")?;
        let hex = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        hex.then(|| format!("0x{}", digits.to_ascii_lowercase()))
    }
}

/// Bus and device of an agent, without the PCI domain, which rocminfo does not print.
type Slot = u32;
/// Distinguishes the partitions of one GPU: the function digit and the four highest bits.
type Part = u32;

/// Merges agents into physical GPUs. Agents of one slot that differ in their part are partitions of
/// one GPU. Agents of one slot and part with different identities are GPUs of different PCI
/// domains: virtual machines number the domains and leave the slot at 0.
fn physical(agents: Vec<Agent>, odd: &mut Vec<String>) -> Vec<Gpu> {
    let mut slots: BTreeMap<Slot, BTreeMap<Part, Vec<Agent>>> = BTreeMap::new();
    let mut gpus = Vec::new();
    for (index, agent) in agents.into_iter().enumerate() {
        match agent.device_type.as_deref() {
            Some("GPU") => {}
            Some(_) => continue,
            None => {
                odd.push(format!("agent {} has no device type", index + 1));
                continue;
            }
        }
        match agent.bdfid.as_deref().map(str::parse::<u32>) {
            Some(Ok(bdfid)) => {
                let part = (bdfid & 0x7) | (bdfid >> 28 << 3);
                slots.entry(bdfid >> 3 & 0x1fff).or_default().entry(part).or_default().push(agent);
            }
            _ => {
                odd.push(format!("agent {} has no bus address", index + 1));
                gpus.push(gpu(&agent, 1));
            }
        }
    }
    for parts in slots.into_values() {
        let total: usize = parts.values().map(Vec::len).sum();
        let distinct: Vec<Vec<Agent>> = parts.into_values().map(one_of_each_identity).collect();
        let Some(most) = distinct.into_iter().max_by_key(Vec::len) else { continue };
        let partitions = u32::try_from(total / most.len().max(1)).unwrap_or(u32::MAX);
        gpus.extend(most.iter().map(|agent| gpu(agent, partitions)));
    }
    gpus
}

fn one_of_each_identity(agents: Vec<Agent>) -> Vec<Agent> {
    let mut seen = BTreeSet::new();
    agents.into_iter().filter(|agent| agent.unique_id().is_none_or(|id| seen.insert(id))).collect()
}

fn gpu(agent: &Agent, partitions: u32) -> Gpu {
    Gpu { unique_id: agent.unique_id(), name: agent.marketing_name.clone(), partitions, ..Gpu::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;

    fn read(stdout: &str) -> Parsed {
        parse(Output { stdout: stdout.as_bytes(), stderr: b"", exit: Exit::Status(0) })
    }

    fn gpus(stdout: &str) -> Vec<Gpu> {
        match read(stdout).reading {
            Reading::Whole(Facts::Gpus(gpus)) => gpus,
            other => panic!("{other:?}"),
        }
    }

    fn listing(agents: &[(u32, &str)]) -> String {
        let mut text = "HSA Agents\n".to_string();
        for (number, (bdfid, uuid)) in agents.iter().enumerate() {
            text += &format!("Agent {}\n  Uuid: {uuid}\n  Device Type: GPU\n  BDFID: {bdfid}\n", number + 1);
        }
        text + "*** Done ***\n"
    }

    #[test]
    fn eight_agents_of_type_gpu_are_eight_gpus() {
        let gpus = gpus(include_str!("../../testdata/rocminfo/healthy.txt"));
        assert_eq!(gpus.len(), 8);
        assert_eq!(gpus[0].unique_id.as_deref(), Some("0x8d1457e2c20f59d2"));
        assert_eq!(gpus[0].name.as_deref(), Some("AMD Instinct MI300X"));
    }

    #[test]
    fn partitions_are_not_gpus() {
        let gpus = gpus(include_str!("../../testdata/rocminfo/partitioned.txt"));
        assert_eq!(gpus.len(), 8);
        assert!(gpus.iter().all(|gpu| gpu.partitions == 4));
    }

    #[test]
    fn gpus_of_different_domains_in_the_same_slot_are_counted_apart() {
        let ids = ["GPU-0000000000000001", "GPU-0000000000000002", "GPU-XX", "GPU-XX"];
        assert_eq!(gpus(&listing(&ids.map(|id| (0, id)))).len(), 4);
    }

    #[test]
    fn partitions_with_one_identity_and_one_address_are_one_gpu() {
        let id = "GPU-0000000000000001";
        assert_eq!(gpus(&listing(&[(1280, id), (1280, id)])).len(), 1);
        assert_eq!(gpus(&listing(&[(1280, id), (1280 | 1 << 28, "GPU-0000000000000009")])).len(), 1);
    }

    #[test]
    fn a_cpu_with_the_name_of_a_gpu_is_a_cpu() {
        let text =
            "HSA Agents\nAgent 1\n Marketing Name: AMD Instinct MI300A Accelerator\n Device Type: CPU\n*** Done ***";
        assert!(gpus(text).is_empty());
    }

    #[test]
    fn a_complete_list_outweighs_an_old_driver_error() {
        let text = format!("ROCk module is NOT loaded, possibly no GPU devices\n{}", listing(&[(1280, "GPU-XX")]));
        assert_eq!(gpus(&text).len(), 1);
    }

    #[test]
    fn not_loaded_without_a_list_of_modules_proves_nothing() {
        let output = Output {
            stdout: include_bytes!("../../testdata/rocminfo/no-lsmod-5.2.txt"),
            stderr: include_bytes!("../../testdata/rocminfo/no-lsmod-5.2.stderr.txt"),
            exit: Exit::Status(1),
        };
        assert!(matches!(parse(output).reading, Reading::Denied(_)));
        let alone = Output { stderr: b"", ..output };
        assert!(matches!(parse(alone).reading, Reading::DriverNotLoaded(_)));
    }

    #[test]
    fn every_prefix_of_a_whole_output_is_not_whole() {
        let whole = include_str!("../../testdata/rocminfo/healthy.txt").trim_end();
        for end in (0..whole.len()).step_by(61) {
            let reading = read(&whole[..end]).reading;
            assert!(matches!(reading, Reading::Cut | Reading::Nothing | Reading::Foreign(_)), "{end}: {reading:?}");
        }
    }

    #[test]
    fn out_of_memory_is_a_failure_a_missing_permission_is_not() {
        let line = |error| format!("ROCk module is loaded\nUnable to open /dev/kfd read-write: {error}\n");
        assert!(matches!(read(&line("Cannot allocate memory")).reading, Reading::ToolFailed(_)));
        assert!(matches!(read(&line("Permission denied")).reading, Reading::Denied(_)));
    }
}
