//! Exhaustive tests of `decide`: they try all inputs, check the invariants on each, and store the
//! distinct edges as golden tables in `testdata/` (`UPDATE_EXPECTED=1 cargo test` rewrites them).

mod diagram;
mod network;
mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::core::observation::{NodeView, PodView, ProvisioningAnswer, ResetAnswer};

use crate::core::brakes::Brakes;
use crate::core::budget::Limits;
use crate::core::policy::{
    DrainMode, MailNames, Maintenance, Mode, Pool, ProofPolicy, ProvisioningPolicy, Reimages, Times,
};
use crate::core::record::{AgentReport, AgentState, Script};
use crate::core::taint::TaintKey;
use ossci_base::words::ClosedWord;

const UID: &str = "uid-1";
const BOOT: &str = "boot-1";
const START: i64 = 1_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

/// Returns a report of the node's agent, five seconds after the start.
fn reported(order_id: String, state: AgentState) -> AgentReport {
    AgentReport::plain(order_id, BOOT.into(), state, at(5), "reported".into())
}

pub(in crate::core) fn policy(mode: Option<Mode>) -> Policy {
    let seconds = Duration::from_secs;
    let script = Script::at("ossci-reimage", "reimage.sh");
    let reimages = Reimages { script, releases: None, time: seconds(3600), by_script: false };
    let pool = |mode| Pool {
        name: "gpu".into(),
        node_selector: BTreeMap::from([("gpu".into(), "true".into())]),
        mode,
        drain: DrainMode::Evict,
        keep_bare_pods: false,
        control_plane: false,
        repair_cordoned: false,
        windows: vec![],
        reimages: reimages.clone(),
    };
    Policy {
        adopt: true,
        pools: mode.map(pool).into_iter().collect(),
        times: Times {
            capture: seconds(60),
            agent_silent: seconds(600),
            drain: seconds(300),
            jobs: seconds(86_400),
            dump: Duration::from_secs(1800),
            boot: seconds(1800),
            stabilise: seconds(300),
            proof: seconds(1800),
            waiting: seconds(86_400),
            reimage_evidence: seconds(600),
            complaint_grace: seconds(600),
            released_quiet: seconds(3600),
            network_retry: seconds(30),
        },
        proof: ProofPolicy { passes: 3, failures: 3, gap: seconds(10), load_test: None },
        budget: Limits { percent: 10, down_percent: 20 },
        brakes: Brakes {
            storm_percent: 20,
            storm_window: seconds(600),
            failed_attempts: 3,
            taint_percent: 50,
            slow_percent: 20,
        },
        mail: MailNames { domain: "ossci.amd.com".into(), cluster: String::new() },
        maintenance: Maintenance { labels: BTreeMap::new(), taints: BTreeSet::from(["site/technician".to_owned()]) },
        reimages: reimages.clone(),
        provisioning: None,
    }
}

fn modes() -> Vec<Option<Mode>> {
    std::iter::once(None).chain(Mode::ALL.iter().copied().map(Some)).collect()
}

/// No node; the same; not ready; another boot; created again on the old and on a new boot; each
/// with every taint and mark.
fn nodes() -> Vec<Option<NodeView>> {
    let mut all = vec![None];
    for (uid, boot_id, ready) in
        [(UID, BOOT, true), (UID, BOOT, false), (UID, "boot-2", true), ("uid-2", BOOT, true), ("uid-2", "boot-2", true)]
    {
        for taints in
            [vec![], vec![TaintKey::RepairReboot], vec![TaintKey::RepairReimage], vec![TaintKey::RepairManual]]
        {
            let technician = BTreeSet::from(["site/technician".to_owned()]);
            for (hold, cordoned, other_taints) in [
                (None, false, BTreeSet::new()),
                (Some("a person works here".to_owned()), false, BTreeSet::new()),
                (None, true, BTreeSet::new()),
                (None, false, technician),
            ] {
                all.push(Some(NodeView {
                    system_uuid: None,
                    adopted: None,
                    said: None,
                    verify: None,
                    name: "gpu-1".into(),
                    uid: uid.into(),
                    boot_id: boot_id.into(),
                    ready,
                    taints: taints.iter().copied().collect(),
                    hold,
                    cordoned,
                    other_taints,
                    labels: BTreeMap::from([("gpu".into(), "true".into())]),
                    addresses: vec![],
                }));
            }
        }
    }
    all
}

fn deed(action: &Action) -> String {
    match action {
        Action::PlaceTaint { key, replaces } => {
            let old: Vec<_> = replaces.iter().map(TaintKey::to_string).collect();
            if old.is_empty() { format!("place {key}") } else { format!("place {key} for {}", old.join(" and ")) }
        }
        Action::RemoveTaint { key } => format!("remove {key}"),
        Action::Evict(_) => "evict".to_owned(),
        Action::IssueOrder(order) => format!("order {}", order.kind),
        Action::WithdrawOrder { .. } => "withdraw the order".to_owned(),
        Action::SendMail(_) => "send the mail".to_owned(),
        Action::ResetNode { .. } => "reset by the BMC".to_owned(),
        Action::StartProvisioning { .. } => "reimage by the provisioning service".to_owned(),
        Action::LookAtProvisioning { .. } => "ask the provisioning service".to_owned(),
        Action::TakePlace => "take a budget slot".to_owned(),
        Action::GivePlaceBack => "release the budget slot".to_owned(),
    }
}

/// From one state to another, with the reason; or what is done in a state.
type Edges = BTreeSet<(String, Option<String>, String)>;

/// Returns the states that a node can reach from an empty record; the others exist only by a
/// person's edit.
fn reached(edges: &Edges, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::from([start.to_owned()]);
    loop {
        let before = reached.len();
        let next: Vec<_> =
            edges.iter().filter(|(from, ..)| reached.contains(from)).filter_map(|(_, to, _)| to.clone()).collect();
        reached.extend(next);
        if reached.len() == before {
            return reached;
        }
    }
}

/// Compares the edges that are reached from `start` with the golden table.
fn golden(name: &str, edges: &Edges, start: &str) {
    let reached = reached(edges, start);
    let table = edges.iter().filter(|(from, ..)| reached.contains(from)).fold(String::new(), |table, edge| {
        let (from, to, label) = edge;
        let line = match to {
            Some(to) => format!("{from:<44} -> {to:<44} {label}"),
            None => format!("{from:<44} :: {label}"),
        };
        table + &line + "\n"
    });
    println!("{} edges, {} of them reached", edges.len(), table.lines().count());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    ossci_base::golden::check(&path, &table).unwrap_or_else(|error| panic!("{error}"));
}
