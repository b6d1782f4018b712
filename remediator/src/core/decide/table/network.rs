//! The table of the network track: every recorded state, view of the node, report and mode.

use super::*;
use crate::core::record::*;
use crate::core::taint::{Taint, TaintState};
use crate::core::why::Why;

fn tracks() -> Vec<Option<NetworkTrack>> {
    let placing = Taint::placing(TaintKey::SlowNetwork);
    let taints = TaintState::ALL.iter().map(|&state| Some(Taint { state, ..placing })).chain([None]);
    let mut all = vec![None];
    for taint in taints {
        for &phase in NetworkPhase::ALL {
            // A finished track has no taint; an open one has.
            if phase.is_over() != taint.is_none() {
                continue;
            }
            all.push(Some(NetworkTrack {
                number: 1,
                phase,
                started_at: at(0),
                since: at(0),
                until: (phase == NetworkPhase::Proving).then(|| at(100)),
                attempt: 1,
                why: Reason::new(Why::Complaint, "recorded"),
                node_uid: UID.into(),
                taint,
                begun: vec![at(0)],
            }));
        }
    }
    all
}

fn views() -> Vec<Option<NodeView>> {
    let mut all = nodes();
    let slow: Vec<_> = all
        .iter()
        .flatten()
        .cloned()
        .map(|mut node| {
            node.taints.insert(TaintKey::SlowNetwork);
            Some(node)
        })
        .collect();
    all.extend(slow);
    all
}

fn reports(track: Option<&NetworkTrack>) -> Vec<Option<AgentReport>> {
    let Some(track) = track else { return vec![None] };
    let report = |state, proof| Some(AgentReport { proof, ..reported(agent_report::network_order_id(track), state) });
    let states = [AgentState::Running, AgentState::Refused].map(|state| report(state, None));
    let proofs = Proof::ALL.iter().map(|&proof| report(AgentState::Done, Some(proof)));
    std::iter::once(None).chain(states).chain(proofs).collect()
}

fn complaints() -> [Vec<Complaint>; 3] {
    let complaint = |since| Complaint {
        fingerprint: "f".into(),
        ask: Ask::SlowNetwork,
        check: "network".into(),
        since: at(since),
        seen: at(since),
        firing: true,
        summary: "slow".into(),
        labels: BTreeMap::new(),
        labels_cut: false,
        generator_url: None,
        external_url: None,
        runbook_url: None,
    };
    [vec![], vec![complaint(-10)], vec![complaint(5)]]
}

fn place(track: Option<&NetworkTrack>) -> String {
    let Some(track) = track else { return "-".to_owned() };
    match track.taint {
        Some(taint) => format!("{} ({} {})", track.phase, taint.key, taint.state),
        None => track.phase.to_string(),
    }
}

fn hold_invariants(record: &Record, seen: &Observation, decision: &Decision) {
    let context = || format!("{record:#?}\n{seen:#?}\n{decision:#?}");
    assert!(decision.next == record.repair || decision.action.is_none(), "changes or acts: {}", context());
    assert!(decision.next.episode.is_none(), "a slow network is never rebooted for: {}", context());
    match &decision.action {
        Some(Action::IssueOrder(order)) => {
            assert_eq!(order.kind, OrderKind::Prove, "a slow network is never rebooted for: {}", context());
        }
        Some(Action::PlaceTaint { key, replaces }) => {
            assert_eq!((*key, replaces.len()), (TaintKey::SlowNetwork, 0), "never-foreign: {}", context());
        }
        Some(Action::RemoveTaint { key }) => {
            assert_eq!(*key, TaintKey::SlowNetwork, "never-foreign: {}", context());
        }
        Some(Action::WithdrawOrder { .. } | Action::GivePlaceBack) | None => {}
        Some(other) => panic!("{other:?}: {}", context()),
    }
    // A complaint that starts nothing leaves a reason.
    if !record.complaints.is_empty() && record.repair.network.is_none() && decision.next == record.repair {
        assert_ne!(decision.why.why, Why::Healthy, "says why: {}", context());
    }
    let lets_go = |repair: &Repair| {
        repair.network.as_ref().and_then(|track| track.taint).is_some_and(|taint| taint.state == TaintState::Removing)
    };
    if lets_go(&decision.next) && !lets_go(&record.repair) {
        let proof = record.agent.as_ref().and_then(|report| report.proof);
        assert_eq!(proof, Some(Proof::Passed), "never-blind: {}", context());
    }
}

#[test]
fn every_input_of_the_network_track_keeps_the_invariants() {
    let mut edges = Edges::new();
    let mut inputs = 0_u64;
    // A repair taint without an episode is a person's, and begins one: that is in the other table.
    let nodes: Vec<_> = views()
        .into_iter()
        .filter(|node| node.as_ref().is_none_or(|node| !node.taints.iter().any(|key| key.is_repair())))
        .collect();
    for track in tracks() {
        for report in reports(track.as_ref()) {
            for complaints in complaints() {
                for node in &nodes {
                    for mode in modes() {
                        for now in [at(10), at(40), at(100_000)] {
                            inputs += 1;
                            let repair = Repair { network: track.clone(), ..Repair::default() };
                            let record =
                                Record { complaints: complaints.clone(), repair, order: None, agent: report.clone() };
                            let seen = Observation { node: node.clone(), ..Observation::default() };
                            let decision = decide(&record, &seen, now, &policy(mode));
                            hold_invariants(&record, &seen, &decision);
                            let (from, to) = (track.as_ref(), decision.next.network.as_ref());
                            if from != to {
                                edges.insert((place(from), Some(place(to)), decision.why.why.to_string()));
                            }
                            if let Some(action) = &decision.action {
                                edges.insert((place(from), None, deed(action)));
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{inputs} inputs");
    golden("network-edges.txt", &edges, &place(None));
}

#[test]
fn a_slow_node_that_is_left_alone_has_a_reason() {
    let [_, complaints, _] = complaints();
    let node = nodes().into_iter().flatten().find(|node| node.ready && node.taints.is_empty());
    let plain = || Observation { node: node.clone(), ..Observation::default() };
    let why = |seen: &Observation, mode| {
        let record = Record { complaints: complaints.clone(), ..Record::default() };
        decide(&record, seen, at(10), &policy(mode)).why.why
    };
    let silenced = BTreeSet::from(["f".to_owned()]);
    assert_eq!(why(&plain(), Some(Mode::Observe)), Why::ObserveOnly);
    assert_eq!(why(&plain(), None), Why::NotManaged);
    assert_eq!(why(&Observation { many_slow: true, ..plain() }, Some(Mode::Taint)), Why::ManySlow);
    assert_eq!(why(&Observation { silenced, ..plain() }, Some(Mode::Taint)), Why::Silenced);
    assert_eq!(why(&plain(), Some(Mode::Taint)), Why::Complaint);
}
