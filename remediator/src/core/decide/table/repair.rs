//! The repair of the GPUs: every recorded state, every view of the node, every report, every mode.

use super::*;
use crate::core::budget::Seat;
use crate::core::record::*;
use crate::core::taint::{Taint, TaintState};
use crate::core::why::Why;

/// Every taint that an episode on this rung can have on record.
fn taints(rung: Rung) -> Vec<Option<Taint>> {
    let placing = Taint::placing(rung.taint());
    let mut all = vec![None, Some(placing)];
    all.push(Some(Taint { state: TaintState::Confirmed, ..placing }));
    all.push(Some(Taint { state: TaintState::Removing, ..placing }));
    if rung != Rung::Reboot {
        all.push(Some(Taint { replaces: Some(TaintKey::RepairReboot), ..placing }));
    }
    all
}

fn episodes() -> Vec<Option<Episode>> {
    let mut all = vec![None];
    for &rung in Rung::ALL {
        for &phase in Phase::ALL.iter().filter(|phase| !phase.is_over()) {
            for taint in taints(rung) {
                let mails = matches!(phase, Phase::Escalating | Phase::Escalated)
                    .then(|| Mail { message_id: "<1.uid-1@ossci.amd.com>".into(), accepted_at: None });
                let episode = Episode {
                    number: 1,
                    started_at: at(0),
                    rung,
                    phase,
                    attempt: 1,
                    since: at(0),
                    until: Some(at(100)),
                    why: Reason::new(Why::Complaint, "recorded"),
                    node_uid: UID.into(),
                    boot_id: BOOT.into(),
                    taint,
                    unexpected_boots: 0,
                    steps: vec![],
                    mails: mails.into_iter().collect(),
                    resets: vec![],
                    provisioning: None,
                    expected: None,
                };
                // Letting go is recorded together with what allows it.
                let lets_go = taint.is_some_and(|taint| taint.state == TaintState::Removing);
                let why = if lets_go { Why::ProofPassed } else { Why::Complaint };
                let episode = Episode { why: Reason::new(why, "recorded"), ..episode };
                if phase == Phase::Waiting && !lets_go {
                    // What the queue recorded: only then a place is taken.
                    let why = Reason::new(Why::WaitingForBudget, "taking a place in the pool's budget");
                    all.push(Some(Episode { why, ..episode.clone() }));
                    let why = Reason::new(Why::CheckingFirst, "the complaint is old; the node is checked once more");
                    all.push(Some(Episode { why, until: Some(at(200_000)), ..episode.clone() }));
                }
                if phase == Phase::Rebooting {
                    for resets in resets() {
                        all.push(Some(Episode { resets, ..episode.clone() }));
                    }
                }
                if phase == Phase::Reimaging {
                    for &state in ProvisioningState::ALL.iter().filter(|state| **state != ProvisioningState::Failed) {
                        let provisioning = Some(provisioning(state));
                        let until = Some(at(200_000));
                        all.push(Some(Episode { provisioning: provisioning.clone(), until, ..episode.clone() }));
                        all.push(Some(Episode { provisioning, ..episode.clone() }));
                    }
                }
                let given_up =
                    rung == Rung::Manual && matches!(phase, Phase::Waiting | Phase::Escalating | Phase::Escalated);
                if given_up || rung == Rung::Reimage && matches!(phase, Phase::Stabilising | Phase::Proving) {
                    let provisioning = Some(provisioning(ProvisioningState::Done));
                    all.push(Some(Episode { provisioning, ..episode.clone() }));
                }
                if matches!(phase, Phase::Reimaging | Phase::Rebooting) {
                    // A deadline that is far away: an agent may be silent before it.
                    all.push(Some(Episode { until: Some(at(200_000)), ..episode.clone() }));
                }
                all.push(Some(episode));
            }
        }
    }
    all
}

/// One that is under way, one that was sent, two that came to nothing.
fn resets() -> Vec<Vec<Reset>> {
    let reset = |state| Reset { id: RESET.into(), at: at(0), boot_id: BOOT.into(), state };
    vec![
        vec![reset(ResetState::Pending)],
        vec![reset(ResetState::Sent)],
        vec![reset(ResetState::Failed), reset(ResetState::Unknown)],
    ]
}

fn provisioning(state: ProvisioningState) -> Provisioning {
    Provisioning { id: "1-reimage-1-1000000".into(), service: SERVICE.into(), state }
}

const SERVICE: &str = "0123456789abcdef";
const RESET: &str = "1-reboot-1-reset-1";

fn reports(episode: Option<&Episode>) -> Vec<Option<AgentReport>> {
    let Some(id) = episode.and_then(act::order_id) else { return vec![None] };
    let report = |state, proof| {
        Some(AgentReport {
            order_id: id.clone(),
            boot_id: BOOT.into(),
            state,
            at: at(5),
            message: "told".into(),
            proof,
            verdicts: vec![],
            kernel_log: None,
            evidence: None,
            expected: None,
        })
    };
    if episode.is_some_and(|episode| episode.phase == Phase::Reimaging && episode.provisioning.is_some()) {
        // Nobody orders anything of the agent then: whatever it says is of another order.
        return vec![None, report(AgentState::Done, None)];
    }
    let states = AgentState::ALL.iter().map(|&state| report(state, None));
    let proofs = Proof::ALL.iter().map(|&proof| report(AgentState::Done, Some(proof)));
    let interrupted = report(AgentState::Interrupted, None);
    let elsewhere = interrupted.map(|report| AgentReport { boot_id: "boot-2".into(), ..report });
    [None, elsewhere].into_iter().chain(states).chain(proofs).collect()
}

fn complaints() -> Vec<Vec<Complaint>> {
    let complaint = |ask| Complaint {
        fingerprint: "f".into(),
        ask,
        check: "rocm-smi".into(),
        since: at(-10),
        seen: at(-5),
        firing: true,
        summary: "three strikes".into(),
        labels: BTreeMap::new(),
    };
    vec![vec![], vec![complaint(Ask::Reboot)], vec![complaint(Ask::Manual)]]
}

/// What there is to see beside the node; each only where a phase looks at it.
fn observations(episode: Option<&Episode>, node: &Option<NodeView>) -> Vec<Observation> {
    let plain = Observation { node: node.clone(), seat: Some(Seat::Held), ..Observation::default() };
    let other = match episode.map(|episode| episode.phase) {
        Some(Phase::Draining) => {
            let pods =
                vec![PodView { namespace: "train".into(), name: "job-0".into(), grace: Duration::from_secs(30) }];
            Some(Observation { pods, ..plain.clone() })
        }
        Some(Phase::Escalating) => {
            Some(Observation { accepted_mail: Some("<1.uid-1@ossci.amd.com>".into()), ..plain.clone() })
        }
        Some(Phase::Waiting) => Some(Observation { seat: Some(Seat::Free), ..plain.clone() }),
        _ => None,
    };
    let queued = matches!(episode.map(|episode| episode.phase), Some(Phase::Waiting)).then(|| {
        let seat = Some(Seat::Waiting { position: 3, of: 7 });
        [Observation { seat, ..plain.clone() }, Observation { seat: None, ..plain.clone() }]
    });
    // What others mean for this node, where a phase asks for it.
    let around = match episode.map(|episode| episode.phase) {
        None | Some(Phase::Waiting) => {
            let silenced = BTreeSet::from(["f".to_owned()]);
            let full = Observation { taints_full: true, seat: Some(Seat::Free), ..plain.clone() };
            vec![halted(&plain), full, Observation { silenced, ..plain.clone() }]
        }
        Some(phase) if disruptive(phase) => vec![halted(&plain)],
        _ => vec![],
    };
    let service =
        episode.and_then(|episode| episode.provisioning.as_ref()).filter(|_| disruptive(episode.unwrap().phase));
    let service = service.into_iter().flat_map(|known| {
        let answer = |state| ProvisioningAnswer { id: known.id.clone(), state, message: "said".into() };
        let told = ProvisioningState::ALL.iter().map(|&state| Some(answer(state))).collect::<Vec<_>>();
        told.into_iter().map(|provisioned| Observation { provisioned, ..plain.clone() }).collect::<Vec<_>>()
    });
    let service: Vec<_> =
        service.chain(episode.and_then(|e| e.provisioning.as_ref()).map(|_| halted(&plain))).collect();
    let dead = match episode.map(|episode| episode.phase) {
        Some(Phase::Rebooting) => {
            let dead = Observation { bmc: true, dead: true, ..plain.clone() };
            let answer = |state| Some(ResetAnswer { id: RESET.into(), state, message: "answered".into() });
            let told = [ResetState::Sent, ResetState::Failed, ResetState::Unknown].map(answer);
            let told = told.into_iter().map(|reset| Observation { reset, ..dead.clone() });
            let alive = Observation { dead: false, ..dead.clone() };
            let many = Observation { many_down: true, ..dead.clone() };
            told.chain([alive, many, halted(&dead), dead.clone()]).collect()
        }
        _ => vec![],
    };
    std::iter::once(plain)
        .chain(other)
        .chain(queued.into_iter().flatten())
        .chain(around)
        .chain(service)
        .chain(dead)
        .collect()
}

fn halted(seen: &Observation) -> Observation {
    let halt = Some(Reason::new(Why::StormBrake, "too many nodes asked at once"));
    Observation { halt, ..seen.clone() }
}

fn place(episode: Option<&Episode>) -> String {
    let Some(episode) = episode else { return "-".to_owned() };
    let taint = episode.taint.map_or("untainted".to_owned(), |taint| format!("{} {}", taint.key, taint.state));
    let service = episode.provisioning.as_ref().filter(|_| disruptive(episode.phase));
    let service = service.map(|known| format!(", service {}", known.state)).unwrap_or_default();
    format!("{} {} ({taint}{service})", episode.rung, episode.phase)
}

fn allowed(mode: Option<Mode>, rung: Rung) -> bool {
    match rung {
        Rung::Reboot => mode >= Some(Mode::Reboot),
        Rung::Reimage => mode >= Some(Mode::Reimage),
        Rung::Manual => false,
    }
}

fn disruptive(phase: Phase) -> bool {
    matches!(phase, Phase::Capturing | Phase::Draining | Phase::Reimaging | Phase::Rebooting)
}

/// The invariants of one decision, each named after what it keeps.
fn hold_invariants(moment: &Moment, decision: &Decision, mode: Option<Mode>) {
    let (record, seen) = (moment.record, moment.seen);
    let (before, after) = (record.repair.episode.as_ref(), decision.next.episode.as_ref());
    let context = || format!("{record:#?}\n{seen:#?}\n{decision:#?}");
    let changed = decision.next != record.repair;
    let entered =
        |phase: Phase| changed && after.is_some_and(|e| e.phase == phase) && before.map(|e| e.phase) != Some(phase);

    assert!(!(changed && decision.action.is_some()), "a decision changes the record or acts: {}", context());
    assert!(!decision.why.message.is_empty(), "never-silent: {}", context());
    let written = Record { repair: decision.next.clone(), ..Record::default() };
    let understood = sense::nonsense(record).is_none();
    assert_eq!(sense::nonsense(&written).is_none(), understood, "what we write makes sense: {}", context());
    assert!(understood || decision.action.is_none(), "what makes no sense is left alone: {}", context());

    if let Some(Action::IssueOrder(order)) = &decision.action
        && order.kind.is_disruptive()
    {
        let node = seen.node.as_ref().expect("never-blind: an order for a node that is not there");
        // One that an agent has already begun keeps the boot it was begun on, and is not begun again.
        let begun = record.report_on(&order.id).is_some();
        assert!(begun || order.boot_id == node.boot_id, "never-two: {}", context());
        assert!(node.taints.contains(&before.unwrap().rung.taint()), "an order without its taint: {}", context());
    }
    // A report from a boot that the Node does not tell of yet begins no second reimage: its order would be for nobody.
    if let (Some(before), Some(after), Some(node), Some(report)) = (before, after, &seen.node, &record.agent)
        && (before.phase, after.phase) == (Phase::Reimaging, Phase::Reimaging)
        && after.attempt > before.attempt
        && report.state == AgentState::Interrupted
    {
        assert_eq!(report.boot_id, node.boot_id, "never-blind: {}", context());
        assert_eq!(report.boot_id, after.boot_id, "never-two: {}", context());
    }
    if seen.node.is_none() {
        let harmless = match &decision.action {
            // Of a machine that the provisioning service never gave back a person has to hear.
            Some(Action::SendMail { .. }) => before.unwrap().provisioning.is_some(),
            Some(Action::WithdrawOrder { .. } | Action::GivePlaceBack | Action::LookAtProvisioning { .. }) | None => {
                true
            }
            _ => false,
        };
        assert!(harmless && !entered(Phase::Healed), "never-blind: {}", context());
    }
    if entered(Phase::Healed) {
        let taint = before.and_then(|e| e.taint);
        assert!(taint.is_none_or(|taint| taint.state == TaintState::Removing), "never-blind: {}", context());
    }
    let lets_go = |e: &Episode| e.taint.is_some_and(|taint| taint.state == TaintState::Removing);
    if changed && after.is_some_and(lets_go) && !before.is_some_and(lets_go) {
        let proof = record.agent.as_ref().and_then(|report| report.proof);
        assert_eq!(proof, Some(Proof::Passed), "never-blind: {}", context());
        assert_eq!(seen.node.as_ref().unwrap().boot_id, before.unwrap().boot_id, "never-blind: {}", context());
    }
    if changed && after.is_some_and(|e| disruptive(e.phase)) && !before.is_some_and(|e| disruptive(e.phase)) {
        let node = seen.node.as_ref().unwrap();
        assert!(node.hold.is_none() && !node.cordoned, "hands off: {}", context());
        assert!(node.other_taints.is_empty(), "hands off a node under maintenance: {}", context());
        assert_eq!(seen.halt, None, "a brake, a window, a pause: {}", context());
        let silenced = !seen.silenced.is_empty() && !record.complaints.is_empty();
        assert!(!silenced, "a silenced alert goes on: {}", context());
        assert!(allowed(mode, after.unwrap().rung), "the pool's mode: {}", context());
        assert_eq!(seen.seat, Some(Seat::Held), "never-over: {}", context());
    }
    // A policy that is changed in the middle is followed up to the point of no return.
    let drained = before.is_some_and(|e| e.phase == Phase::Draining && e.rung != Rung::Manual);
    if changed && drained && after.is_some_and(|e| matches!(e.phase, Phase::Reimaging | Phase::Rebooting)) {
        assert!(allowed(mode, after.unwrap().rung), "the pool's mode: {}", context());
    }
    let count = |e: Option<&Episode>| e.map_or(0, |e| e.resets.len());
    if changed && count(after) > count(before) {
        let node = seen.node.as_ref().unwrap();
        assert!(seen.bmc && seen.dead && !seen.many_down && !node.ready, "a reset of what is not dead: {}", context());
        assert!(node.hold.is_none() && !node.cordoned && seen.halt.is_none(), "hands off: {}", context());
        assert_eq!(node.boot_id, after.unwrap().resets.last().unwrap().boot_id, "never-two: {}", context());
        assert!(count(before) < 2, "never-two: {}", context());
    }
    if let Some(Action::ResetNode { boot_id, .. }) = &decision.action {
        let pending = before.unwrap().resets.last().unwrap().state == ResetState::Pending;
        let node = seen.node.as_ref().expect("never-blind: a reset of a node that is not there");
        assert!(pending && *boot_id == node.boot_id, "never-two: {}", context());
    }
    if let Some(Action::StartProvisioning { id, boot_id }) = &decision.action {
        let (episode, node) = (before.unwrap(), seen.node.as_ref().expect("never-blind: a reimage of nobody"));
        // That it may be asked for is on record before it is.
        let asked = Provisioning { id: id.clone(), ..provisioning(ProvisioningState::Asked) };
        assert_eq!(episode.provisioning, Some(asked), "never-two: {}", context());
        assert!(*boot_id == node.boot_id && node.boot_id == episode.boot_id, "never-two: {}", context());
        assert!(node.taints.contains(&TaintKey::RepairReimage), "a reimage without its taint: {}", context());
        assert!(node.hold.is_none() && !node.cordoned && seen.halt.is_none(), "hands off: {}", context());
        assert!(node.other_taints.is_empty() && allowed(mode, Rung::Reimage), "hands off: {}", context());
    }
    // Whom the service reimages nobody else does, and only the service's word and a new boot lead on to the proof.
    if let Some(before) = before.filter(|e| e.phase == Phase::Reimaging && e.provisioning.is_some()) {
        assert!(!matches!(decision.action, Some(Action::IssueOrder(_))), "never-two: {}", context());
        let done = before.provisioning.as_ref().is_some_and(|known| known.state == ProvisioningState::Done);
        let asked = before.provisioning.as_ref().is_some_and(Provisioning::is_out);
        assert!(done || !asked || !entered(Phase::Stabilising), "never-blind: {}", context());
        assert!(!asked || !entered(Phase::NodeGone), "never-lost: {}", context());
        let back = after.is_some_and(|e| e.phase == Phase::Waiting && e.rung == Rung::Reimage);
        assert!(!asked || !back, "never-two: what may have been asked for is not called back: {}", context());
    }
    let reimaged = before.is_some_and(|e| {
        matches!(e.phase, Phase::Stabilising | Phase::Proving) && e.provisioning.is_some() && e.taint.is_some()
    });
    assert!(!reimaged || !entered(Phase::NodeGone), "never-lost: {}", context());
    if decision.action == Some(Action::GivePlaceBack) {
        let needs =
            before.is_some_and(|e| disruptive(e.phase) || matches!(e.phase, Phase::Stabilising | Phase::Proving));
        let by_hand = before.is_some_and(|e| e.rung == Rung::Manual);
        assert!(!needs || by_hand, "never-over: a place given back too soon: {}", context());
    }
    if let Some(Action::PlaceTaint { key, .. } | Action::RemoveTaint { key }) = &decision.action {
        assert_eq!(Some(*key), before.and_then(|e| e.taint).map(|taint| taint.key), "never-foreign: {}", context());
    }
    if let Some(Action::PlaceTaint { key, .. }) = &decision.action {
        // What is placed is on record; what goes on record beyond the limit is only what the node carries already.
        assert_eq!(record.repair, decision.next, "{key} without its record: {}", context());
    }
    if seen.taints_full && changed {
        let had = before.is_some_and(|e| e.taint.is_some());
        let has = after.is_some_and(|e| e.taint.is_some());
        let there = seen.node.as_ref().is_some_and(|node| !node.taints.is_empty());
        assert!(!has || had || there || node_is_new(moment), "one taint too many: {}", context());
    }
    let untouched = before.is_none_or(|e| e.taint.is_none() && e.phase == Phase::Waiting);
    if mode.is_none_or(|mode| mode == Mode::Observe) && untouched {
        let acts = !matches!(decision.action, None | Some(Action::GivePlaceBack));
        assert!(!acts && after.is_none_or(|e| e.taint.is_none()), "observe: {}", context());
    }
    if before.is_some_and(|e| !e.phase.is_over()) && after.is_some_and(|e| e.phase.is_over()) {
        assert_eq!(decision.next.history.len(), 1, "never-lost: an end without its account: {}", context());
    }
}

/// The Node was created again since the episode began.
fn node_is_new(moment: &Moment) -> bool {
    let (node, episode) = (moment.seen.node.as_ref(), moment.record.repair.episode.as_ref());
    node.zip(episode).is_some_and(|(node, episode)| node.uid != episode.node_uid)
}

/// With the world standing still, the record comes to rest: no pair of states that undo each other.
fn comes_to_rest(record: &Record, seen: &Observation, now: Timestamp, policy: &Policy) {
    let mut record = record.clone();
    for _ in 0..12 {
        let decision = decide(&record, seen, now, policy);
        if decision.next == record.repair {
            return;
        }
        record.repair = decision.next;
    }
    panic!("always-ends: {record:#?}\n{seen:#?}");
}

/// Before a reset was on record the reboot was ordered.
fn ordered(episode: &Episode) -> Option<Order> {
    let id = act::order_id(episode).filter(|_| !episode.resets.is_empty())?;
    let boot_id = episode.boot_id.clone();
    let (kind, issued_at, deadline) = (OrderKind::Reboot, at(0), at(100));
    Some(Order { id, kind, boot_id, issued_at, deadline, proof: None, script: None })
}

/// Decides on every input of these states; returns the edges and how many inputs there were.
fn exhaust(states: &[Option<Episode>]) -> (Edges, u64) {
    let (mut edges, mut inputs, nodes) = (Edges::new(), 0_u64, nodes());
    let policies: Vec<_> = modes().into_iter().map(|mode| (mode, policy(mode))).collect();
    let service = ProvisioningPolicy { service: SERVICE.into(), every: Duration::from_secs(30) };
    let with_service = Policy { provisioning: Some(service), ..policy(Some(Mode::Reimage)) };
    let with_service = (Some(Mode::Reimage), with_service);
    for episode in states {
        let reimages = |e: &Episode| matches!(e.phase, Phase::Draining | Phase::Reimaging) && e.rung == Rung::Reimage;
        let with_service = episode.as_ref().is_some_and(reimages).then_some(&with_service);
        for report in reports(episode.as_ref()) {
            for complaints in complaints() {
                let record = Record {
                    complaints,
                    repair: Repair { episode: episode.clone(), ..Repair::default() },
                    order: episode.as_ref().and_then(ordered),
                    agent: report.clone(),
                };
                for node in &nodes {
                    for seen in observations(episode.as_ref(), node) {
                        for (mode, policy) in policies.iter().chain(with_service) {
                            for now in [at(10), at(100_000)] {
                                inputs += 1;
                                let moment = Moment { record: &record, seen: &seen, now, policy };
                                edges.extend(one(moment, *mode));
                            }
                        }
                    }
                }
            }
        }
    }
    (edges, inputs)
}

/// Decides once, holds the invariants to it, and returns what it drew.
fn one(moment: Moment, mode: Option<Mode>) -> impl Iterator<Item = (String, Option<String>, String)> {
    let Moment { record, seen, now, policy } = moment;
    let decision = decide(record, seen, now, policy);
    hold_invariants(&moment, &decision, mode);
    let (from, to) = (record.repair.episode.as_ref(), decision.next.episode.as_ref());
    if decision.next != record.repair {
        comes_to_rest(record, seen, now, policy);
    }
    let moves = (from != to).then(|| (place(from), Some(place(to)), decision.why.why.to_string()));
    let does = decision.action.as_ref().map(|action| (place(from), None, deed(action)));
    moves.into_iter().chain(does)
}

#[test]
fn every_input_keeps_the_invariants_and_the_edges_are_the_golden_ones() {
    // Two halves of the states on two cores.
    let states = episodes();
    let (first, second) = states.split_at(states.len() / 2);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| exhaust(first));
        let second = exhaust(second);
        (first.join().unwrap(), second)
    });
    let inputs = first.1 + second.1;
    let edges: Edges = first.0.into_iter().chain(second.0).collect();
    println!("{inputs} inputs");
    golden("edges.txt", &edges, &place(None));
    diagram::in_readme(&edges, &place(None));
}

/// The one node of these tests, and the policy that lets it be reimaged.
fn moment_of(episode: &Episode, report: Option<AgentReport>) -> (Record, Observation, Policy) {
    let repair = Repair { episode: Some(episode.clone()), ..Repair::default() };
    let record = Record { repair, agent: report, ..Record::default() };
    let node = nodes().into_iter().flatten().find(|node| node.taints.contains(&episode.rung.taint()));
    let seen = Observation { node, seat: Some(Seat::Held), ..Observation::default() };
    (record, seen, policy(Some(Mode::Reimage)))
}

fn passed(order_id: String) -> AgentReport {
    let (state, proof) = (AgentState::Done, Some(Proof::Passed));
    let (boot_id, message) = (BOOT.into(), "passed".into());
    AgentReport {
        order_id,
        boot_id,
        state,
        at: at(5),
        message,
        proof,
        verdicts: vec![],
        kernel_log: None,
        evidence: None,
        expected: None,
    }
}

fn confirmed(phase: Phase) -> Episode {
    let confirmed = Some(TaintState::Confirmed);
    let fits =
        |e: &Episode| e.rung == Rung::Reboot && e.phase == phase && e.taint.map(|taint| taint.state) == confirmed;
    episodes().into_iter().flatten().find(fits).unwrap()
}

#[test]
fn a_proof_of_the_old_boot_says_nothing_about_a_node_created_again_on_a_new_one() {
    let episode = confirmed(Phase::Proving);
    let (record, mut seen, policy) = moment_of(&episode, act::order_id(&episode).map(passed));
    seen.node.as_mut().unwrap().uid = "uid-2".into();
    seen.node.as_mut().unwrap().boot_id = "boot-2".into();
    let next = decide(&record, &seen, at(10), &policy).next.episode.unwrap();
    assert_eq!(next.phase, Phase::Stabilising);
    let proving = Episode { phase: Phase::Proving, ..next };
    assert_ne!(act::order_id(&proving), act::order_id(&episode));
}

#[test]
fn an_earlier_check_is_not_taken_for_a_fresh_one() {
    let waiting = confirmed(Phase::Waiting);
    let checked = Reason::new(Why::CheckingFirst, "the complaint is old");
    let earlier = act::order_id(&Episode { why: checked, ..waiting.clone() });
    let (record, seen, policy) = moment_of(&waiting, earlier.clone().map(passed));
    let next = decide(&record, &seen, at(100_000), &policy).next.episode.unwrap();
    assert_eq!(next.why.why, Why::CheckingFirst);
    assert_ne!(act::order_id(&next), earlier);
}

#[test]
fn a_reimage_that_is_through_is_not_repeated_for_a_hold_before_its_reboot() {
    let confirmed = |e: &Episode| e.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    let fits = |e: &Episode| e.rung == Rung::Reimage && e.phase == Phase::Draining && confirmed(e);
    let draining = episodes().into_iter().flatten().find(fits).unwrap();
    let noted = |whys: &[Why]| {
        let step = |&why| Step {
            at: at(1),
            rung: Rung::Reimage,
            outcome: Reason::new(why, "noted"),
            verdicts: vec![],
            kernel_log: None,
            evidence: None,
        };
        Episode { steps: whys.iter().map(step).collect(), ..draining.clone() }
    };
    for (whys, expected) in [
        (&[][..], Phase::Reimaging),
        (&[Why::Reimaged, Why::OnHold], Phase::Rebooting),
        (&[Why::Reimaged, Why::NewBoot], Phase::Reimaging),
    ] {
        let (record, seen, policy) = moment_of(&noted(whys), None);
        let next = decide(&record, &seen, at(10), &policy).next.episode.unwrap();
        assert_eq!(next.phase, expected, "{whys:?}");
    }
}
