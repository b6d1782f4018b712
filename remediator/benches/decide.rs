//! The benchmark of one decision, and of a fleet of 200,000 nodes that each climb a rung and heal,
//! on one core.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ossci_remediator::core::budget::Seat;
use ossci_remediator::core::decide::{Action, decide};
use ossci_remediator::core::observation::{NodeView, Observation};
use ossci_remediator::core::policy::Policy;
use ossci_remediator::core::record::{AgentReport, AgentState, Ask, Complaint, OrderKind, Proof, Record};
use ossci_remediator::wire::policy_file::PolicyFile;

const NODES: u32 = 200_000;
/// Limit of decisions in one repair.
const MOST: u32 = 200;
const POLICY: &str = "pools: [{name: gpu, nodeSelector: {gpu: 'true'}, mode: reimage}]";

/// One node, its record, and its surroundings.
struct World {
    record: Record,
    seen: Observation,
    now: Timestamp,
}

impl World {
    fn new(number: u32) -> Self {
        let now = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(i64::from(number));
        let node = NodeView {
            system_uuid: None,
            adopted: None,
            name: format!("gpu-{number:06}"),
            uid: format!("uid-{number}"),
            boot_id: format!("boot-{number}-1"),
            ready: true,
            labels: BTreeMap::from([("gpu".to_owned(), "true".to_owned())]),
            ..NodeView::default()
        };
        let complaint = Complaint {
            fingerprint: format!("{number:016x}"),
            ask: Ask::Reboot,
            check: "rocm-smi".to_owned(),
            since: now,
            seen: now,
            firing: true,
            summary: "three strikes".to_owned(),
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
            labels: BTreeMap::new(),
        };
        Self {
            record: Record { complaints: vec![complaint], ..Record::default() },
            seen: Observation { node: Some(node), seat: Some(Seat::Free), ..Observation::default() },
            now,
        }
    }

    /// Runs until the repair has ended; returns the number of decisions.
    fn live(&mut self, policy: &Policy) -> u32 {
        for count in 1..=MOST {
            let decision = decide(&self.record, &self.seen, self.now, policy);
            if decision.next != self.record.repair {
                self.record.repair = decision.next;
            } else if let Some(action) = decision.action {
                self.carry_out(action);
            } else if self.record.repair.history.is_empty() {
                // Only time changes anything, so let it pass.
                self.now += decision.look_again.unwrap_or(Duration::from_secs(60));
            } else {
                return count;
            }
        }
        panic!("the repair does not end: {:#?}", self.record);
    }

    fn carry_out(&mut self, action: Action) {
        let Some(node) = &mut self.seen.node else { return };
        match action {
            Action::PlaceTaint { key, .. } => drop(node.taints.insert(key)),
            Action::RemoveTaint { key } => {
                node.taints.remove(&key);
                self.record.complaints.iter_mut().for_each(|complaint| complaint.firing = false);
            }
            Action::TakePlace => self.seen.seat = Some(Seat::Held),
            Action::GivePlaceBack => self.seen.seat = Some(Seat::Free),
            Action::WithdrawOrder { .. } => self.record.order = None,
            Action::IssueOrder(order) => {
                let proof = (order.kind == OrderKind::Prove).then_some(Proof::Passed);
                if order.kind == OrderKind::Reboot {
                    node.boot_id.push('+');
                }
                let (id, boot) = (order.id.clone(), node.boot_id.clone());
                let done = AgentReport::plain(id, boot, AgentState::Done, self.now, "done".to_owned());
                self.record.agent = Some(AgentReport { proof, ..done });
                self.record.order = Some(*order);
            }
            Action::Evict(_)
            | Action::SendMail(_)
            | Action::ResetNode { .. }
            | Action::StartProvisioning { .. }
            | Action::LookAtProvisioning { .. } => {}
        }
    }
}

fn main() {
    // `cargo test` builds and runs benchmarks with this flag; then there is nothing to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let policy = PolicyFile::parse(POLICY).unwrap_or_else(|error| panic!("{error}")).policy();
    let mut ends = BTreeSet::new();
    let (mut decisions, start) = (0_u64, Instant::now());
    for number in 0..NODES {
        let mut world = World::new(number);
        decisions += u64::from(world.live(&policy));
        ends.extend(world.record.repair.history.last().map(|past| past.outcome));
    }
    let seconds = start.elapsed().as_secs_f64();
    let each = seconds / decisions as f64 * 1e6;
    let verdict = |met: bool| if met { "met" } else { "MISSED" };
    println!("{NODES} nodes, {decisions} decisions, ends {ends:?}");
    println!("decide                 {each:>8.2} us   target  5.00  {}", verdict(each < 5.0));
    println!("{NODES} nodes on one core {seconds:>6.2} s    target 10.00  {}", verdict(seconds < 10.0));
}
