//! What is asked of the reader, for each reason, and the commands for it.
//! docs/needs-a-person.md has the same reasons.

use super::page::Block;
use crate::core::policy::Mode;
use crate::core::taint::TaintKey;
use crate::core::why::Why;

/// The reasons with which a node comes to a person, and what the person has to find out.
pub const ASKS: [(Why, &str); 13] = [
    (
        Why::ProofFailed,
        "Most likely the hardware is at fault: check the GPU, its riser and its power, and exchange what is broken.",
    ),
    (
        Why::CannotProve,
        "Find out why the node's health could not be determined: the last step below says what was missing. Check its \
         exporter with `ossci-exporter --once` in the exporter's pod.",
    ),
    (
        Why::DidNotComeBack,
        "Look at the node's console: it has no new boot. The last step below says what the BMC answered, if there is one.",
    ),
    (
        Why::ReimageFailed,
        "Read the end of the script's output below. If it was cut off, /var/lib/ossci/reimage/holds on the node lists \
         packages that may still be held.",
    ),
    (
        Why::AgentSilent,
        "Check the agent's pod on the node and its log: the node is Ready, but its agent takes no order. It may not be \
         scheduled, have no connection to the API server, or read a CRD that is too old.",
    ),
    (Why::NotManaged, "Check the node's labels: no pool of the policy selects them. Are all GPUs off the bus?"),
    (
        Why::RebootInhibited,
        "End the program that holds the reboot off (`systemd-inhibit --list` on the node), then retry the reboot.",
    ),
    (
        Why::OrderRefused,
        "The last step below says why the agent refused its order. Most often OSSCI_TAINT_PREFIX of the agent differs \
         from taintPrefix of the policy.",
    ),
    (Why::ModeStopsHere, "Reimage the node by hand: the mode of its pool stops before that."),
    (Why::Complaint, "The alert asks for a person at once: follow its runbook."),
    (
        Why::Relapse,
        "It was repaired not long ago and fails again: read the earlier repairs below. Most likely the hardware is at \
         fault.",
    ),
    (
        Why::ChecksDisagree,
        "Compare the alert with `ossci-exporter --once` in the exporter's pod: it fires for the third time in a day, and \
         every check passed. Correct the alert's rule if it is wrong; else the fault comes and goes.",
    ),
    (Why::TaintedByPerson, "Ask the person who put repair-manual on the node."),
];

/// Returns what is asked for a reason.
pub fn asked(why: Why) -> &'static str {
    let other = "Find and fix the cause; the steps below say what happened.";
    ASKS.iter().find(|(known, _)| *known == why).map_or(other, |(_, text)| text)
}

/// Spells our taints as the site does.
pub type Spell<'a> = &'a dyn Fn(TaintKey) -> String;

/// Returns the commands that a reader may need, the first ones first.
/// `tainted`: the taint on the node, if it has one. `mode`: of its pool.
pub fn commands(node: &str, tainted: Option<TaintKey>, mode: Option<Mode>, spell: Spell<'_>) -> Vec<Block> {
    let command = |what: &str, command: String| Block::Command { what: what.to_owned(), command };
    let mut all = vec![command("Look at the record:", format!("kubectl describe noderepair {node}"))];
    if let Some(key) = tainted {
        all.push(command(
            "When the node is healthy, release it:",
            format!("kubectl taint node {node} {}-", spell(key)),
        ));
    }
    let allows = |least: Mode| mode.is_some_and(|mode| mode >= least);
    if allows(Mode::Reboot) {
        let reboot = spell(TaintKey::RepairReboot);
        all.push(command(
            "Or have it rebooted and checked again, after releasing it:",
            format!("kubectl taint node {node} {reboot}:NoSchedule"),
        ));
    }
    if allows(Mode::Reimage) {
        let reimage = spell(TaintKey::RepairReimage);
        all.push(command("Or reimaged:", format!("kubectl taint node {node} {reimage}:NoSchedule")));
    }
    all.push(command(
        "Keep us away from it meanwhile, whatever its alerts say:",
        format!("kubectl annotate node {node} ossci.amd.com/hold='your name, and why'"),
    ));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ossci_base::words::ClosedWord;

    #[test]
    fn every_reason_of_the_document_has_its_request_and_the_other_way_round() {
        let document = include_str!("../../../../docs/needs-a-person.md");
        let rows =
            document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(reason, _)| reason));
        let rows: std::collections::BTreeSet<&str> = rows.collect();
        let ours: std::collections::BTreeSet<&str> = ASKS.iter().map(|(why, _)| why.as_str()).collect();
        assert_eq!(rows, ours);
    }

    #[test]
    fn only_commands_that_the_pool_allows_are_named() {
        let spell = |key: TaintKey| format!("gpu.example/{key}");
        let text = |mode, tainted| format!("{:?}", commands("n1", tainted, mode, &spell));
        let all = text(Some(Mode::Reimage), Some(TaintKey::RepairManual));
        assert!(
            all.contains("kubectl taint node n1 gpu.example/repair-manual-")
                && all.contains("repair-reimage:NoSchedule")
        );
        let few = text(Some(Mode::Taint), None);
        assert!(!few.contains("kubectl taint"), "{few}");
        assert!(!text(Some(Mode::Reboot), None).contains("repair-reimage"));
    }
}
