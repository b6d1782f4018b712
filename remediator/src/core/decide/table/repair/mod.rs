//! The table of the GPU repair: every recorded state, view of the node, report and mode.

mod invariants;
mod states;

use self::invariants::*;
use self::states::*;
use super::*;
use crate::core::budget::Seat;
use crate::core::record::*;
use crate::core::taint::{Taint, TaintState};
use crate::core::why::Why;

fn place(episode: Option<&Episode>) -> String {
    let Some(episode) = episode else { return "-".to_owned() };
    let taint = episode.taint.map_or("untainted".to_owned(), |taint| format!("{} {}", taint.key, taint.state));
    let service = episode.provisioning.as_ref().filter(|_| disruptive(episode.phase));
    let service = service.map(|known| format!(", service {}", known.state)).unwrap_or_default();
    format!("{} {} ({taint}{service})", episode.rung, episode.phase)
}

/// Returns the reboot order that precedes a recorded reset.
fn ordered(episode: &Episode) -> Option<Order> {
    let id = episode.order_id().filter(|_| !episode.resets.is_empty())?;
    let boot_id = episode.boot_id.clone();
    let (kind, issued_at, deadline) = (OrderKind::Reboot, at(0), at(100));
    Some(Order { id, kind, boot_id, issued_at, deadline, proof: None, script: None, releases: None })
}

/// Decides on every `step`th input of these states; returns the edges and the number of inputs.
fn exhaust(states: &[Option<Episode>], step: u64) -> (Edges, u64) {
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
                                if inputs % step != 0 {
                                    continue;
                                }
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

/// Decides once, checks the invariants, and returns the edges.
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

/// Returns the edges of every `step`th input. Two halves of the states run on two cores.
fn edges(step: u64) -> Edges {
    let states = episodes();
    let (first, second) = states.split_at(states.len() / 2);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| exhaust(first, step));
        let second = exhaust(second, step);
        (first.join().unwrap(), second)
    });
    println!("{} inputs", first.1 + second.1);
    first.0.into_iter().chain(second.0).collect()
}

/// `make check` leaves this one out, `make test` runs it.
#[test]
fn every_input_keeps_the_invariants_and_the_golden_edges() {
    let edges = edges(1);
    golden("edges.txt", &edges, &place(None));
    diagram::in_ladder(&edges, &place(None));
}

/// A prime, so that the sample goes through every dimension of the inputs.
const SAMPLE: u64 = 31;

#[test]
fn a_sample_of_the_inputs_keeps_the_invariants() {
    assert!(!edges(SAMPLE).is_empty());
}

/// Returns a record of the episode, a node with its taint, and the policy that lets it be reimaged.
fn moment_of(episode: &Episode, report: Option<AgentReport>) -> (Record, Observation, Policy) {
    let repair = Repair { episode: Some(episode.clone()), ..Repair::default() };
    let record = Record { repair, agent: report, ..Record::default() };
    let node = nodes().into_iter().flatten().find(|node| node.taints.contains(&episode.rung.taint()));
    let seen = Observation { node, seat: Some(Seat::Held), ..Observation::default() };
    (record, seen, policy(Some(Mode::Reimage)))
}

fn passed(order_id: String) -> AgentReport {
    AgentReport { proof: Some(Proof::Passed), ..reported(order_id, AgentState::Done) }
}

fn confirmed(phase: Phase) -> Episode {
    let confirmed = Some(TaintState::Confirmed);
    let fits =
        |e: &Episode| e.rung == Rung::Reboot && e.phase == phase && e.taint.map(|taint| taint.state) == confirmed;
    episodes().into_iter().flatten().find(fits).unwrap()
}

#[test]
fn a_proof_of_the_old_boot_does_not_count_on_a_new_one() {
    let episode = confirmed(Phase::Proving);
    let (record, mut seen, policy) = moment_of(&episode, episode.order_id().map(passed));
    seen.node.as_mut().unwrap().uid = "uid-2".into();
    seen.node.as_mut().unwrap().boot_id = "boot-2".into();
    let next = decide(&record, &seen, at(10), &policy).next.episode.unwrap();
    assert_eq!(next.phase, Phase::Stabilising);
    let proving = Episode { phase: Phase::Proving, ..next };
    assert_ne!(proving.order_id(), episode.order_id());
}

#[test]
fn an_earlier_check_is_not_taken_for_a_fresh_one() {
    let waiting = confirmed(Phase::Waiting);
    let checked = Reason::new(Why::CheckingFirst, "the complaint is old");
    let earlier = Episode { why: checked, ..waiting.clone() }.order_id();
    let (record, seen, policy) = moment_of(&waiting, earlier.clone().map(passed));
    let next = decide(&record, &seen, at(100_000), &policy).next.episode.unwrap();
    assert_eq!(next.why.why, Why::CheckingFirst);
    assert_ne!(next.order_id(), earlier);
}

#[test]
fn a_hold_before_the_reboot_does_not_repeat_the_reimage() {
    let confirmed = |e: &Episode| e.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
    let fits = |e: &Episode| e.rung == Rung::Reimage && e.phase == Phase::Draining && confirmed(e);
    let draining = episodes().into_iter().flatten().find(fits).unwrap();
    let noted = |whys: &[Why]| {
        let step = |&why| Step::plain(at(1), Rung::Reimage, Reason::new(why, "noted"));
        Episode { steps: whys.iter().map(step).collect(), ..draining.clone() }
    };
    for (whys, expected) in [
        (&[Why::StillFailing][..], Phase::Reimaging),
        (&[Why::Reimaged, Why::OnHold], Phase::Rebooting),
        (&[Why::Reimaged, Why::NewBoot, Why::StillFailing], Phase::Reimaging),
    ] {
        let (record, seen, policy) = moment_of(&noted(whys), None);
        let next = decide(&record, &seen, at(10), &policy).next.episode.unwrap();
        assert_eq!(next.phase, expected, "{whys:?}");
    }
}
