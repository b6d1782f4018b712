//! Every recorded state of an episode, and the observations that can come with it.

use super::*;
use crate::core::observation::MailAnswer;
use crate::core::outbox::{Accepted, Answer};
use crate::core::record::MailKind;

/// Returns every taint that an episode on this rung can have on record.
pub(super) fn taints(rung: Rung) -> Vec<Option<Taint>> {
    let placing = Taint::placing(rung.taint());
    let mut all = vec![None, Some(placing)];
    all.push(Some(Taint { state: TaintState::Confirmed, ..placing }));
    all.push(Some(Taint { state: TaintState::Removing, ..placing }));
    if rung != Rung::Reboot {
        all.push(Some(Taint { replaces: Some(TaintKey::RepairReboot), ..placing }));
    }
    all
}

pub(super) fn episodes() -> Vec<Option<Episode>> {
    let mut all = vec![None];
    for &rung in Rung::ALL {
        for &phase in Phase::ALL.iter().filter(|phase| !phase.is_over()) {
            for taint in taints(rung) {
                let mails = matches!(phase, Phase::Escalating | Phase::Escalated)
                    .then(|| Mail::due(MailKind::Escalation, "<1.uid-1@ossci.amd.com>".into(), at(0)));
                let episode = Episode {
                    phase,
                    until: Some(at(100)),
                    node_uid: UID.into(),
                    boot_id: BOOT.into(),
                    taint,
                    mails: mails.into_iter().collect(),
                    steps: if phase == Phase::Waiting { vec![] } else { vec![checked(rung)] },
                    ..Episode::begin(1, rung, at(0), Reason::new(Why::Complaint, "recorded"))
                };
                // The removal of a taint is recorded together with its proof.
                let lets_go = taint.is_some_and(|taint| taint.state == TaintState::Removing);
                let why = if lets_go { Why::ProofPassed } else { Why::Complaint };
                let episode = Episode { why: Reason::new(why, "recorded"), ..episode };
                if phase == Phase::Waiting && !lets_go {
                    // Recorded by the queue: only then a budget slot is taken.
                    let why = Reason::new(Why::WaitingForBudget, "taking a budget slot of the pool");
                    all.push(Some(Episode { why, ..episode.clone() }));
                    let why = Reason::new(Why::CheckingFirst, "the node is checked once more");
                    let checking = Episode { why, until: Some(at(200_000)), ..episode.clone() };
                    // A reimage needs an earlier failure.
                    all.push(Some(Episode { steps: vec![checked(rung)], ..checking.clone() }));
                    all.push(Some(checking));
                }
                if phase == Phase::Draining && !lets_go {
                    all.push(Some(Episode { steps: vec![], ..episode.clone() }));
                    let why = Reason::new(Why::CheckingFirst, "an alert resolved; the node is checked once more");
                    all.push(Some(Episode { why, until: Some(at(200_000)), ..episode.clone() }));
                }
                if phase == Phase::Rebooting {
                    for resets in resets() {
                        all.push(Some(Episode { resets, ..episode.clone() }));
                    }
                }
                if phase == Phase::Reimaging {
                    // Its script changed nothing, some time ago.
                    let outcome = Reason::new(Why::ReimagePostponed, "locked");
                    let steps = vec![checked(rung), Step { outcome, ..checked(rung) }];
                    all.push(Some(Episode { steps, until: Some(at(200_000)), ..episode.clone() }));
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
                    // A distant deadline: an agent may be silent before it.
                    all.push(Some(Episode { until: Some(at(200_000)), ..episode.clone() }));
                }
                all.push(Some(episode));
            }
        }
    }
    all
}

/// Returns the step of a check that failed before anything disruptive.
fn checked(rung: Rung) -> Step {
    let outcome = Reason::new(Why::StillFailing, "failed");
    Step::plain(at(1), rung, outcome)
}

/// Returns one reset in progress, one that was sent, and two that failed or are unknown.
pub(super) fn resets() -> Vec<Vec<Reset>> {
    let reset = |state| Reset { id: RESET.into(), at: at(0), boot_id: BOOT.into(), state };
    vec![
        vec![reset(ResetState::Pending)],
        vec![reset(ResetState::Sent)],
        vec![reset(ResetState::Failed), reset(ResetState::Unknown)],
    ]
}

pub(super) fn provisioning(state: ProvisioningState) -> Provisioning {
    Provisioning { id: "1-reimage-1-1000000".into(), service: SERVICE.into(), state }
}

pub(super) const SERVICE: &str = "0123456789abcdef";
pub(super) const RESET: &str = "1-reboot-1-reset-1";

pub(super) fn reports(episode: Option<&Episode>) -> Vec<Option<AgentReport>> {
    let Some(id) = episode.and_then(Episode::order_id) else { return vec![None] };
    let report = |state, proof| Some(AgentReport { proof, ..reported(id.clone(), state) });
    if episode.is_some_and(|episode| episode.phase == Phase::Reimaging && episode.provisioning.is_some()) {
        // The agent has no order then: any report is on another order.
        return vec![None, report(AgentState::Done, None)];
    }
    let states = AgentState::ALL.iter().map(|&state| report(state, None));
    let proofs = Proof::ALL.iter().map(|&proof| report(AgentState::Done, Some(proof)));
    let elsewhere = [AgentState::Interrupted, AgentState::Postponed]
        .map(|state| Some(AgentReport { boot_id: "boot-2".into(), ..reported(id.clone(), state) }));
    [None].into_iter().chain(elsewhere).chain(states).chain(proofs).collect()
}

pub(super) fn complaints() -> Vec<Vec<Complaint>> {
    let complaint = |ask| Complaint {
        fingerprint: "f".into(),
        ask,
        check: "rocm-smi".into(),
        since: at(-10),
        seen: at(-5),
        firing: true,
        summary: "three strikes".into(),
        labels: BTreeMap::new(),
        labels_cut: false,
        generator_url: None,
        external_url: None,
        runbook_url: None,
    };
    vec![vec![], vec![complaint(Ask::Reboot)], vec![complaint(Ask::Manual)]]
}

/// Returns the observations besides the node; each only where a phase uses it.
pub(super) fn observations(episode: Option<&Episode>, node: &Option<NodeView>) -> Vec<Observation> {
    let plain = Observation { node: node.clone(), seat: Some(Seat::Held), ..Observation::default() };
    let other = match episode.map(|episode| episode.phase) {
        Some(Phase::Draining) => {
            let pods = vec![PodView {
                namespace: "train".into(),
                name: "job-0".into(),
                uid: "pod-1".into(),
                grace: Duration::from_secs(30),
                ends: true,
                bare: false,
                local_data: false,
            }];
            Some(Observation { pods, ..plain.clone() })
        }
        Some(Phase::Escalating) => {
            let accepted = Answer::Accepted(Accepted::default());
            let mail = Some(MailAnswer { message_id: "<1.uid-1@ossci.amd.com>".into(), answer: accepted });
            Some(Observation { mail, ..plain.clone() })
        }
        Some(Phase::Waiting) => Some(Observation { seat: Some(Seat::Free), ..plain.clone() }),
        _ => None,
    };
    let queued = matches!(episode.map(|episode| episode.phase), Some(Phase::Waiting)).then(|| {
        let seat = Some(Seat::Waiting { position: 3, of: 7 });
        [Observation { seat, ..plain.clone() }, Observation { seat: None, ..plain.clone() }]
    });
    // The state of other nodes, where a phase depends on it.
    let around = match episode.map(|episode| episode.phase) {
        None | Some(Phase::Waiting) => {
            let silenced = BTreeSet::from(["f".to_owned()]);
            let full = Observation { taints_full: true, seat: Some(Seat::Free), ..plain.clone() };
            vec![halted(&plain), full, Observation { silenced, ..plain.clone() }]
        }
        Some(phase) if disruptive(phase) => vec![halted(&plain)],
        Some(Phase::Escalating) => {
            let waits = Answer::Waits(Some("452 try later".into()));
            let mail = Some(MailAnswer { message_id: "<1.uid-1@ossci.amd.com>".into(), answer: waits });
            let shared = |accepted| Observation { shared_mail: Some(accepted), ..plain.clone() };
            vec![shared(true), shared(false), Observation { mail, ..plain.clone() }]
        }
        _ => vec![],
    };
    let service =
        episode.and_then(|episode| episode.provisioning.as_ref()).filter(|_| disruptive(episode.unwrap().phase));
    let service = service.into_iter().flat_map(|known| {
        let answer = |state| ProvisioningAnswer { id: known.id.clone(), state, message: "said".into() };
        let answers = ProvisioningState::ALL.iter().map(|&state| Some(answer(state))).collect::<Vec<_>>();
        answers.into_iter().map(|provisioned| Observation { provisioned, ..plain.clone() }).collect::<Vec<_>>()
    });
    let service: Vec<_> =
        service.chain(episode.and_then(|e| e.provisioning.as_ref()).map(|_| halted(&plain))).collect();
    let dead = match episode.map(|episode| episode.phase) {
        Some(Phase::Rebooting) => {
            let dead = Observation { bmc: true, dead: true, ..plain.clone() };
            let answer = |state| Some(ResetAnswer { id: RESET.into(), state, message: "answered".into() });
            let answers = [ResetState::Sent, ResetState::Failed, ResetState::Unknown].map(answer);
            let answers = answers.into_iter().map(|reset| Observation { reset, ..dead.clone() });
            let alive = Observation { dead: false, ..dead.clone() };
            let many = Observation { many_down: true, ..dead.clone() };
            answers.chain([alive, many, halted(&dead), dead.clone()]).collect()
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

pub(super) fn halted(seen: &Observation) -> Observation {
    let halt = Some(Reason::new(Why::StormBrake, "too many nodes asked at once"));
    Observation { halt, ..seen.clone() }
}
