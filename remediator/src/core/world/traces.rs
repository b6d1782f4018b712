//! What the search finds, and each fault that was once found as a trace of its own. Each trace
//! broke an invariant before its fault was mended.

use std::time::Duration;

use super::as_story::as_story;
use super::event::{Deed, Event};
use super::search::{self, Found};
use super::{Fault, HOUR, MINUTE, World};
use crate::core::policy::Mode;
use crate::core::record::{Episode, OrderKind, Phase, Releases, Rung};
use crate::core::taint::TaintKey;
use crate::core::why::Why;

fn shown(found: &Found) -> String {
    let mut text = format!("{} states, {} events played\n", found.states, found.played);
    for (broken, trace) in &found.violations {
        let story = as_story(trace);
        let trace: Vec<String> = trace.iter().map(Event::to_string).collect();
        text.push_str(&format!("{} events: {broken}\n  {}\n{story}", trace.len(), trace.join("; ")));
    }
    text
}

fn one_node(depth: usize) {
    let found = search::every(&World::new(1), depth, &|_| true);
    assert!(found.violations.is_empty(), "{}", shown(&found));
    println!("{}", shown(&found));
}

/// Two nodes share one budget slot. What they do to each other needs fewer kinds of events.
fn two_nodes(depth: usize) {
    let found = search::every(&World::new(2), depth, &|event| match event {
        Event::Tick | Event::Day | Event::Budget => true,
        Event::Node(_, deed) => matches!(
            deed,
            Deed::Breaks(_)
                | Deed::Passes
                | Deed::Resolves
                | Deed::Dies
                | Deed::WillNotBoot
                | Deed::Cordon
                | Deed::Release
        ),
        Event::Window | Event::Pause | Event::Mode | Event::Mail | Event::Clock(_) | Event::Crash(_) => false,
    });
    assert!(found.violations.is_empty(), "{}", shown(&found));
    println!("{}", shown(&found));
}

#[test]
fn short_sequences_on_one_node_keep_the_invariants() {
    one_node(3);
}

#[test]
fn short_sequences_on_two_nodes_keep_the_invariants() {
    two_nodes(4);
}

/// `make soak` plays one event more.
fn longer() -> usize {
    option_env!("OSSCI_WORLD_MORE_EVENTS").map_or(0, |more| more.parse().unwrap())
}

#[test]
fn every_input_of_four_events_on_one_node_keeps_the_invariants() {
    one_node(4 + longer());
}

#[test]
fn every_input_of_five_events_on_two_nodes_keeps_the_invariants() {
    two_nodes(5 + longer());
}

/// Random runs on twenty nodes: each is some weeks of the world's time.
fn random(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        if let Some((broken, trace)) = search::random(&World::new(20), seed, 1500) {
            let shown: Vec<String> = trace.iter().map(Event::to_string).collect();
            panic!("seed {seed}, {} events: {broken}\n  {}\n{}", trace.len(), shown.join("; "), as_story(&trace));
        }
    }
}

#[test]
fn random_weeks_on_twenty_nodes_keep_the_invariants() {
    let runs = option_env!("OSSCI_WORLD_RUNS").map(|runs| runs.parse().unwrap());
    random(0..runs.unwrap_or(2));
}

/// Plays events of the first node; each leaves the invariants whole.
fn play(world: &mut World, deeds: &[Deed]) {
    for deed in deeds {
        world.happens(Event::Node(0, *deed));
        assert_eq!(world.broken, None, "after {deed:?}");
    }
}

/// Lets time pass until the first node's repair is in this phase.
fn until(world: &mut World, phase: Phase) {
    for _ in 0..50 {
        if episode(world, 0).phase == phase {
            return;
        }
        world.happens(Event::Tick);
        assert_eq!(world.broken, None);
    }
    panic!("{phase} is never reached: {:#?}", episode(world, 0));
}

fn a_day(world: &mut World) {
    world.happens(Event::Day);
    assert_eq!(world.broken, None);
}

fn episode(world: &World, m: usize) -> &Episode {
    world.machines[m].record.repair.episode.as_ref().unwrap()
}

fn boots(world: &World) -> usize {
    world.machines[0].facts.ended.len()
}

const REBOOT: Deed = Deed::Breaks(Fault::Reboot);

#[test]
fn a_node_that_a_person_took_over_and_released_is_left_alone() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT, Deed::Taint(TaintKey::RepairManual)]);
    assert_eq!(world.machines[0].taints.len(), 1, "the lower taint went with the higher one");
    play(&mut world, &[Deed::Passes, Deed::Resolves, Deed::Release]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Released, 0));
}

#[test]
fn a_boot_that_comes_by_itself_during_the_drain_is_the_reboot() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Draining);
    play(&mut world, &[Deed::Reboots]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 0));
}

#[test]
fn a_boot_that_comes_by_itself_while_the_node_waits_is_the_reboot() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Cordon, REBOOT, Deed::Reboots]);
    world.happens(Event::Tick);
    play(&mut world, &[Deed::Cordon]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 0));
}

#[test]
fn a_node_whose_fault_removes_the_label_that_selected_it_is_repaired() {
    for phase in [Phase::Waiting, Phase::Draining, Phase::Stabilising, Phase::Proving] {
        let mut world = World::new(1);
        play(&mut world, &[Deed::Hold, REBOOT, Deed::Hold]);
        if phase != Phase::Waiting {
            until(&mut world, phase);
        }
        play(&mut world, &[Deed::Nfd]);
        a_day(&mut world);
        assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 1), "{phase}");
    }
    // Before the alert, too: the pool label stays.
    let mut world = World::new(1);
    play(&mut world, &[Deed::Nfd, REBOOT]);
    a_day(&mut world);
    assert_eq!(episode(&world, 0).phase, Phase::Healed);
}

#[test]
fn a_node_that_a_person_takes_out_of_its_pool_is_left_alone() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Label, Deed::Hardware]);
    a_day(&mut world);
    assert!(world.machines[0].taints.is_empty() && boots(&world) == 0);
}

#[test]
fn a_node_that_loses_its_label_goes_to_a_person() {
    for phase in [Phase::Waiting, Phase::Stabilising, Phase::Proving] {
        let mut world = World::new(1);
        play(&mut world, &[Deed::Hold, REBOOT, Deed::Hold]);
        if phase != Phase::Waiting {
            until(&mut world, phase);
        }
        play(&mut world, &[Deed::Label]);
        a_day(&mut world);
        assert_eq!((episode(&world, 0).phase, world.machines[0].facts.mails.len()), (Phase::Escalated, 1), "{phase}");
    }
}

#[test]
fn a_closed_window_holds_no_mail_back() {
    let mut world = World::new(1);
    world.policy.pools[0].mode = Mode::Reboot;
    play(&mut world, &[Deed::Breaks(Fault::Reimage)]);
    until(&mut world, Phase::Proving);
    world.happens(Event::Window);
    until(&mut world, Phase::Escalated);
}

#[test]
fn a_dead_node_that_a_person_cordons_goes_to_a_person() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT, Deed::WillNotBoot]);
    until(&mut world, Phase::Rebooting);
    world.happens(Event::Tick);
    play(&mut world, &[Deed::Cordon]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, world.places.len()), (Phase::Escalated, 0));
}

#[test]
fn nodes_in_the_hands_of_people_keep_no_dead_node_from_its_reset() {
    let mut world = World::new(8);
    for m in 1..4 {
        world.happens(Event::Node(m, Deed::Taint(TaintKey::RepairManual)));
        world.happens(Event::Node(m, Deed::Dies));
    }
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Rebooting);
    play(&mut world, &[Deed::Dies]);
    a_day(&mut world);
    assert!(!episode(&world, 0).resets.is_empty());
}

#[test]
fn a_pool_whose_machines_boot_slowly_gives_them_longer() {
    let mut world = World::new(2);
    world.machines[0].boot_takes = 25 * MINUTE;
    play(&mut world, &[REBOOT]);
    a_day(&mut world);
    assert_eq!(episode(&world, 0).phase, Phase::Healed);
    world.happens(Event::Node(1, REBOOT));
    while episode(&world, 1).phase != Phase::Rebooting {
        world.happens(Event::Tick);
    }
    let Episode { since, until, .. } = episode(&world, 1);
    let given = until.unwrap().duration_since(*since).as_secs();
    assert!((37 * MINUTE..=39 * MINUTE).contains(&given), "{given} s are half as long again");
}

#[test]
fn a_rung_whose_nodes_do_not_come_back_stops() {
    let mut world = World::new(2);
    play(&mut world, &[REBOOT, Deed::WillNotBoot]);
    a_day(&mut world);
    world.happens(Event::Node(1, REBOOT));
    a_day(&mut world);
    assert_eq!((world.machines[1].boot, episode(&world, 1).phase), (1, Phase::Waiting));
}

#[test]
fn one_node_that_flaps_is_no_storm() {
    let mut world = World::new(1);
    world.policy.pools[0].mode = Mode::Observe;
    for _ in 0..4 {
        play(&mut world, &[REBOOT, Deed::Passes, Deed::Resolves]);
    }
}

#[test]
fn many_nodes_that_need_a_person_at_once_are_one_mail() {
    let mut world = World::new(20);
    for m in 0..10 {
        world.happens(Event::Node(m, Deed::Hardware));
        world.now -= 90;
    }
    a_day(&mut world);
    let mails: usize = world.machines.iter().map(|machine| machine.facts.mails.len()).sum();
    let escalated = (0..10).all(|m| episode(&world, m).phase == Phase::Escalated);
    assert_eq!((mails, escalated), (5, true), "the storm begins with the fifth");
}

#[test]
fn a_network_that_flaps_is_proven_three_times_in_a_row() {
    let mut world = World::new(1);
    let mut passes = Vec::new();
    for _ in 0..4 {
        play(&mut world, &[Deed::SlowNetwork]);
        let order = world.machines[0].record.order.as_ref().unwrap();
        passes.push(order.proof.as_ref().unwrap().passes);
        play(&mut world, &[Deed::SlowNetwork]);
        while !world.machines[0].taints.is_empty() {
            world.happens(Event::Tick);
        }
    }
    assert_eq!(passes, [1, 1, 3, 3]);
    // An hour later it counts no more.
    world.now += HOUR;
    play(&mut world, &[Deed::SlowNetwork]);
    assert!(!world.machines[0].record.repair.network.as_ref().unwrap().flaps());
}

#[test]
fn a_node_that_is_not_ready_is_not_healed() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Proving);
    play(&mut world, &[Deed::Kubelet]);
    world.happens(Event::Tick);
    assert_eq!(episode(&world, 0).phase, Phase::Proving);
    a_day(&mut world);
    assert_eq!(episode(&world, 0).phase, Phase::Escalated);
}

#[test]
fn an_alert_that_asks_for_a_person_counts_in_every_phase() {
    for phase in [Phase::Draining, Phase::Rebooting, Phase::Stabilising, Phase::Proving] {
        let mut world = World::new(1);
        play(&mut world, &[REBOOT]);
        until(&mut world, phase);
        play(&mut world, &[Deed::Hardware]);
        a_day(&mut world);
        assert_eq!(episode(&world, 0).phase, Phase::Escalated, "{phase}");
    }
}

#[test]
fn an_alert_from_before_a_reboot_is_checked_first() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Taint(TaintKey::RepairReboot), Deed::Release, REBOOT, Deed::Reboots]);
    a_day(&mut world);
    assert_eq!(boots(&world), 0);
}

#[test]
fn a_node_that_recovered_under_a_mark_is_not_rebooted() {
    for mark in [Deed::Cordon, Deed::Hold, Deed::Mark, Deed::Silence] {
        let mut world = World::new(1);
        play(&mut world, &[REBOOT]);
        until(&mut world, Phase::Draining);
        play(&mut world, &[mark, Deed::Passes, mark]);
        a_day(&mut world);
        assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Recovered, 0), "{mark:?}");
    }
}

#[test]
fn a_node_that_recovered_during_its_drain_is_not_rebooted() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Draining);
    play(&mut world, &[Deed::Passes, Deed::Resolves]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Recovered, 0));
}

#[test]
fn a_node_that_recovered_before_its_agent_took_the_order_is_not_rebooted() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Rebooting);
    play(&mut world, &[Deed::Passes, Deed::Resolves]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Recovered, 0));
}

#[test]
fn a_node_whose_agent_does_not_answer_goes_to_a_person() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT, Deed::Answers]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Escalated, 0));
}

#[test]
fn a_persons_taint_needs_no_failed_check() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Taint(TaintKey::RepairReboot)]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 1));
}

#[test]
fn a_reimage_needs_failures_over_ten_minutes() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Breaks(Fault::Reimage)]);
    until(&mut world, Phase::Proving);
    world.happens(Event::Tick);
    let (failed, why) = (world.now, &episode(&world, 0).why);
    assert_eq!((episode(&world, 0).rung, why.why), (Rung::Reimage, Why::StillFailing));
    play(&mut world, &[Deed::Passes]);
    while episode(&world, 0).phase == Phase::Waiting {
        world.happens(Event::Tick);
    }
    assert_eq!((episode(&world, 0).phase, world.now >= failed + 600), (Phase::Recovered, true));
}

#[test]
fn a_person_hears_of_an_alert_that_fires_while_every_check_passes() {
    let mut world = World::new(1);
    for ends in [Phase::Recovered, Phase::Recovered, Phase::Escalated] {
        play(&mut world, &[REBOOT, Deed::Passes]);
        until(&mut world, ends);
        play(&mut world, &[Deed::Resolves]);
    }
    assert_eq!((episode(&world, 0).steps[0].outcome.why, boots(&world)), (Why::ChecksDisagree, 0));
}

#[test]
fn a_person_hears_of_a_node_that_waits_for_days() {
    for mark in [Deed::Cordon, Deed::Hold, Deed::Mark, Deed::Silence] {
        let mut world = World::new(1);
        play(&mut world, &[REBOOT, mark]);
        a_day(&mut world);
        a_day(&mut world);
        let machine = &world.machines[0];
        assert_eq!((episode(&world, 0).phase, machine.facts.mails.len()), (Phase::Waiting, 1), "{mark:?}");
    }
}

#[test]
fn a_node_that_is_deleted_while_it_boots_is_proven_when_it_comes_back() {
    let mut world = World::new(1);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Rebooting);
    world.happens(Event::Tick);
    play(&mut world, &[Deed::Deleted]);
    until(&mut world, Phase::Rebooting);
    world.happens(Event::Tick);
    play(&mut world, &[Deed::Created]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 1));
}

#[test]
fn a_rung_whose_nodes_are_deleted_stops() {
    let mut world = World::new(2);
    play(&mut world, &[REBOOT]);
    until(&mut world, Phase::Rebooting);
    world.happens(Event::Tick);
    play(&mut world, &[Deed::Deleted]);
    a_day(&mut world);
    assert_eq!(episode(&world, 0).phase, Phase::NodeGone);
    world.happens(Event::Node(1, REBOOT));
    a_day(&mut world);
    assert_eq!((world.machines[1].boot, episode(&world, 1).phase), (1, Phase::Waiting));
}

#[test]
fn the_limit_of_tainted_nodes_holds_no_mail_back() {
    let mut world = World::new(2);
    play(&mut world, &[Deed::Hardware]);
    world.happens(Event::Node(1, Deed::Hardware));
    a_day(&mut world);
    assert_eq!((episode(&world, 1).phase, world.machines[1].facts.mails.len()), (Phase::Escalated, 1));
    assert!(world.machines[1].taints.is_empty());
    // The limit is reached no more.
    play(&mut world, &[Deed::Resolves, Deed::Release]);
    a_day(&mut world);
    assert!(!world.machines[1].taints.is_empty() && world.machines[1].facts.mails.len() == 1);
}

#[test]
fn a_pool_that_keeps_bare_pods_waits_for_them_and_a_person_hears() {
    let mut world = World::new(1);
    world.policy.pools[0].keep_bare_pods = true;
    world.machines[0].bare_pods = true;
    play(&mut world, &[REBOOT]);
    a_day(&mut world);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).why.why, boots(&world)), (Why::PodsKept, 0));
    assert_eq!(world.machines[0].facts.mails.len(), 1);
    world.machines[0].pods = false;
    world.happens(Event::Budget);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, boots(&world)), (Phase::Healed, 1));
}

#[test]
fn a_reimage_that_its_script_postpones_begins_once_it_can_or_a_person_is_asked() {
    for comes_back in [true, false] {
        let mut world = World::new(1);
        play(&mut world, &[Deed::Mirror, Deed::Breaks(Fault::Reimage)]);
        until(&mut world, Phase::Reimaging);
        world.happens(Event::Tick);
        if comes_back {
            play(&mut world, &[Deed::Mirror]);
        }
        a_day(&mut world);
        let repair = episode(&world, 0);
        let postponed = repair.steps.iter().filter(|step| step.outcome.why == Why::ReimagePostponed).count();
        if comes_back {
            assert_eq!((repair.phase, postponed), (Phase::Healed, 1));
        } else {
            assert_eq!((repair.phase, repair.rung), (Phase::Escalated, Rung::Manual));
            assert_eq!(postponed, 12, "one each twelfth of the time");
            assert!(repair.steps.iter().all(|step| step.outcome.why != Why::Reimaged));
            let last = &repair.steps.last().unwrap().outcome;
            assert_eq!(last.message, "the reimage could not begin by its deadline: the mirror does not answer");
        }
    }
}

#[test]
fn a_pool_names_the_releases_and_the_time_of_its_reimages() {
    let mut world = World::new(1);
    let named = Releases { rocm: Some("6.4.3".into()), driver: None };
    world.policy.pools[0].reimages.releases = Some(named.clone());
    world.policy.pools[0].reimages.time = Duration::from_secs(5400);
    play(&mut world, &[Deed::Answers, Deed::Taint(TaintKey::RepairReimage), Deed::Answers]);
    while episode(&world, 0).phase != Phase::Rebooting {
        let order = world.machines[0].record.order.as_ref();
        if let Some(order) = order.filter(|order| order.kind == OrderKind::Reimage) {
            assert_eq!(order.releases.as_ref(), Some(&named));
            assert_eq!(order.deadline.duration_since(order.issued_at).as_secs(), 5400);
            return;
        }
        world.happens(Event::Tick);
    }
    panic!("no reimage was ordered");
}

#[test]
fn a_person_has_a_repaired_node_proven_and_one_that_is_not_stays_theirs() {
    let mut world = World::new(1);
    play(&mut world, &[Deed::Breaks(Fault::Person)]);
    until(&mut world, Phase::Escalated);
    let mails = world.machines[0].facts.mails.len();
    // Nothing was repaired: the proof fails, twice, and no second mail is sent.
    for proofs in 1..=2 {
        play(&mut world, &[Deed::Verify]);
        a_day(&mut world);
        let steps = &episode(&world, 0).steps;
        let count = |why| steps.iter().filter(|step| step.outcome.why == why).count();
        assert_eq!((episode(&world, 0).phase, count(Why::VerifyRequested)), (Phase::Escalated, proofs));
        assert_eq!(world.machines[0].facts.mails.len(), mails);
        assert!(world.machines[0].taints.contains_key(&TaintKey::RepairManual));
    }
    play(&mut world, &[Deed::Passes, Deed::Verify]);
    a_day(&mut world);
    assert_eq!(episode(&world, 0).phase, Phase::Healed);
    assert!(world.machines[0].taints.is_empty());
    // It healed once: a later fault finds no old request.
    play(&mut world, &[Deed::Hardware]);
    a_day(&mut world);
    assert_eq!((episode(&world, 0).phase, episode(&world, 0).attempt), (Phase::Escalated, 1));
}
