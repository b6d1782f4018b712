//! Tests of the client against BMCs as vendors ship them.

mod known;
mod world;

use std::time::Duration;

use serde_json::json;

use self::world::{PASSWORD, Takes, Vendor, World};
use crate::core::record::ResetState;
use crate::core::record::ResetState::{Failed, Sent, Unknown};
use ossci_base::clock;

/// Resets the node `n1`. The outcome is one sentence without a secret, and no session stays open.
async fn reset(world: &World) -> (ResetState, String) {
    let by = clock::monotonic() + Duration::from_secs(30);
    let (state, text) = world.bmc(&world.file()).reset("n1", None, by, || true).await;
    assert!(!text.contains(PASSWORD) && !text.contains("t0ken") && text.lines().count() == 1, "{text}");
    assert_eq!(world.open_sessions(), 0, "a session was left open: {text}");
    (state, text)
}

/// Checks the requests to this vendor's BMC, the outcome, and the number of boots.
async fn check(vendor: Vendor, asked: &[&str], expected: (ResetState, &str), boots: u32) -> World {
    let world = World::start(vendor).await;
    let (state, text) = reset(&world).await;
    assert_eq!((state, text.as_str()), expected);
    let all = world.asked();
    // Repeated requests are listed once.
    let mut once = all.clone();
    once.dedup();
    assert_eq!(once, asked, "{all:?}");
    assert_eq!(world.boots(), boots);
    world
}

const LOG_IN: &str = "POST Sessions anonymous";
const LOOK: &str = "GET 1 token";
const RESTART: &str = "POST ComputerSystem.Reset token ForceRestart";
const OFF: &str = "POST ComputerSystem.Reset token ForceOff";
const ON: &str = "POST ComputerSystem.Reset token On";
const TASK: &str = "GET 7 token";
const LOG_OUT: &str = "DELETE 3 token";

const TAKEN: &str = "the BMC accepted the reset ForceRestart (204 No Content)";

#[tokio::test]
async fn sessions_are_opened_and_ended() {
    check(Vendor::default(), &[LOG_IN, LOOK, RESTART, LOG_OUT], (Sent, TAKEN), 1).await;
}

#[tokio::test]
async fn a_bmc_without_sessions_is_asked_by_basic_auth() {
    let vendor = Vendor { sessions: false, basic: true, ..Vendor::default() };
    let asked = [LOG_IN, "GET 1 basic", "POST ComputerSystem.Reset basic ForceRestart"];
    check(vendor, &asked, (Sent, TAKEN), 1).await;
}

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let text = "no reset was sent: at the log-in the BMC answered 401 Unauthorized (ResourceAtUriUnauthorized)";
    check(Vendor { password: "another", ..Vendor::default() }, &[LOG_IN], (Failed, text), 0).await;
}

#[tokio::test]
async fn a_reset_listed_only_in_the_action_info_is_found() {
    let vendor = Vendor { info: true, allowed: &["On", "PowerCycle"], ..Vendor::default() };
    let cycle = "POST ComputerSystem.Reset token PowerCycle";
    let text = "the BMC accepted the reset PowerCycle (204 No Content)";
    check(vendor, &[LOG_IN, LOOK, "GET ResetActionInfo token", cycle, LOG_OUT], (Sent, text), 1).await;
}

#[tokio::test]
async fn off_and_on_waits_for_the_power_to_be_off() {
    let vendor = Vendor { allowed: &["On", "ForceOff"], looks_until_off: 3, ..Vendor::default() };
    let text =
        "the BMC accepted the reset ForceOff (204 No Content); then the BMC accepted the reset On (204 No Content)";
    let world = check(vendor, &[LOG_IN, LOOK, OFF, LOOK, ON, LOG_OUT], (Sent, text), 1).await;
    assert_eq!(world.asked().iter().filter(|line| *line == LOOK).count(), 1 + 4);
}

#[tokio::test]
async fn power_never_seen_off_is_switched_on_all_the_same() {
    let vendor = Vendor { allowed: &["On", "ForceOff"], looks_until_off: u32::MAX, ..Vendor::default() };
    let text = "the BMC accepted the reset ForceOff (204 No Content), the power was not seen off within 1s; \
                then the BMC accepted the reset On (204 No Content)";
    check(vendor, &[LOG_IN, LOOK, OFF, LOOK, ON, LOG_OUT], (Unknown, text), 0).await;
}

#[tokio::test]
async fn a_listed_but_refused_reset_is_followed_by_the_next() {
    let vendor = Vendor { allowed: &["On", "ForceOff", "PowerCycle"], refused: &["PowerCycle"], ..Vendor::default() };
    let cycle = "POST ComputerSystem.Reset token PowerCycle";
    let text =
        "the BMC accepted the reset ForceOff (204 No Content); then the BMC accepted the reset On (204 No Content)";
    check(vendor, &[LOG_IN, LOOK, cycle, OFF, LOOK, ON, LOG_OUT], (Sent, text), 1).await;
    let vendor = Vendor { allowed: &["ForceRestart"], refused: &["ForceRestart"], ..Vendor::default() };
    let text = "the BMC accepted no reset: to ForceRestart it answered 501 Not Implemented (ActionNotSupported)";
    check(vendor, &[LOG_IN, LOOK, RESTART, LOG_OUT], (Failed, text), 0).await;
    let vendor = Vendor { allowed: &["GracefulShutdown", "Nmi"], ..Vendor::default() };
    let text = "no reset was sent: the machine is on, and its BMC allows only GracefulShutdown, Nmi";
    check(vendor, &[LOG_IN, LOOK, LOG_OUT], (Failed, text), 0).await;
}

#[tokio::test]
async fn a_task_is_followed_for_a_limited_time() {
    let task = |looks, ends| Vendor { takes: Takes::Task { looks, ends }, ..Vendor::default() };
    let asked = [LOG_IN, LOOK, RESTART, TASK, LOG_OUT];
    let text = "the BMC accepted the reset ForceRestart (202 Accepted)";
    let world = check(task(3, "Completed"), &asked, (Sent, text), 1).await;
    assert_eq!(world.asked().iter().filter(|line| *line == TASK).count(), 3);
    let wrong = format!("{text}, and its task ended as Exception");
    check(task(1, "Exception"), &asked, (Unknown, &wrong), 1).await;
    let open = format!("{text}, and its task had not finished when it was last read");
    check(task(u32::MAX, ""), &asked, (Sent, &open), 1).await;
}

#[tokio::test]
async fn a_busy_bmc_is_retried_when_it_asks_but_not_too_late() {
    let busy = |times, retry_after| {
        let takes = Takes::Then { times, status: 503, retry_after };
        Vendor { takes, ..Vendor::default() }
    };
    let asked = [LOG_IN, LOOK, RESTART, LOG_OUT];
    let world = check(busy(2, Some(0)), &asked, (Sent, TAKEN), 1).await;
    assert_eq!(world.asked().iter().filter(|line| *line == RESTART).count(), 3);
    let text = "the BMC accepted no reset: to ForceRestart it is busy and asks for a retry in 60s, which is too late";
    check(busy(1, Some(60)), &asked, (Failed, text), 0).await;
    let text = &text.replace("60s", "3600s");
    check(busy(1, Some(u64::MAX)), &asked, (Failed, text), 0).await;
    let text = "the BMC accepted no reset: to ForceRestart it answered 503 Service Unavailable \
         (ServiceTemporarilyUnavailable)";
    check(busy(1, None), &asked, (Failed, text), 0).await;
}

#[tokio::test]
async fn a_reset_that_may_be_done_is_unknown_and_not_repeated() {
    let asked = [LOG_IN, LOOK, RESTART, LOG_OUT];
    let text = "asked for the reset ForceRestart the BMC did not answer within 400ms";
    check(Vendor { takes: Takes::Silently, ..Vendor::default() }, &asked, (Unknown, text), 1).await;
    let takes = Takes::Then { times: 1, status: 500, retry_after: None };
    let text =
        "asked for the reset ForceRestart the BMC answered 500 Internal Server Error (ServiceTemporarilyUnavailable)";
    check(Vendor { takes, ..Vendor::default() }, &asked, (Unknown, text), 0).await;
}

#[tokio::test]
async fn a_failing_bmc_does_not_leave_the_machine_off() {
    let takes = Takes::Then { times: 2, status: 500, retry_after: None };
    let vendor = Vendor { allowed: &["On", "ForceOff"], takes, ..Vendor::default() };
    let text =
        "the BMC accepted the reset ForceOff (204 No Content); then the BMC accepted the reset On (204 No Content)";
    let world = check(vendor, &[LOG_IN, LOOK, OFF, LOOK, ON, LOG_OUT], (Sent, text), 1).await;
    assert_eq!(world.asked().iter().filter(|line| *line == ON).count(), 3);
    assert!(!world.is_off());
}

#[tokio::test]
async fn nothing_is_sent_to_a_bmc_that_does_not_answer() {
    let text = "no reset was sent: at the log-in the BMC did not answer within 400ms";
    check(Vendor { hangs: true, ..Vendor::default() }, &[LOG_IN], (Failed, text), 0).await;
}

#[tokio::test]
async fn another_address_of_the_same_bmc_is_followed() {
    let asked = [LOG_IN, LOOK, RESTART, LOG_OUT];
    let world = check(Vendor { slash: true, ..Vendor::default() }, &asked, (Sent, TAKEN), 1).await;
    assert_eq!(world.asked().iter().filter(|line| *line == LOOK).count(), 2);
    let takes = Takes::Then { times: 1, status: 307, retry_after: None };
    let text = "the BMC accepted no reset: to ForceRestart it redirects to another address; \
                set bmc.url to the address where it answers";
    check(Vendor { takes, ..Vendor::default() }, &asked, (Failed, text), 0).await;
}

#[tokio::test]
async fn a_machine_that_is_off_is_switched_on() {
    let vendor = Vendor { system: json!({ "PowerState": "Off" }), ..Vendor::default() };
    let world = World::start(vendor).await;
    let (state, text) = reset(&world).await;
    assert_eq!((state, text.as_str()), (Sent, "the BMC accepted the reset On (204 No Content)"));
    assert_eq!(world.asked(), [LOG_IN, LOOK, ON, LOG_OUT]);
}

#[tokio::test]
async fn a_machine_that_was_reset_just_now_is_left_alone() {
    let recent = clock::now() - Duration::from_secs(5);
    let system = json!({ "PowerState": "On", "LastResetTime": recent.to_string() });
    let world = World::start(Vendor { system, ..Vendor::default() }).await;
    let (state, text) = reset(&world).await;
    assert!(state == Unknown && text.contains("starting already: it was reset "), "{text}");
    assert_eq!((world.asked().len(), world.boots()), (3, 0), "{:?}", world.asked());
}

#[tokio::test]
async fn nothing_is_sent_too_late_or_without_permission() {
    let world = World::start(Vendor::default()).await;
    let bmc = world.bmc(&world.file());
    let text = "no reset was sent: at the log-in the BMC was not called: it is too late, or another replica leads";
    assert_eq!(bmc.reset("n1", None, clock::monotonic(), || true).await, (Failed, text.to_owned()));
    assert_eq!(world.asked(), [""; 0]);
    // Leadership is lost when everything was read and nothing was sent yet.
    let (asked, by) = (|| world.asked().len() < 2, clock::monotonic() + Duration::from_secs(30));
    let (state, text) = bmc.reset("n1", None, by, asked).await;
    assert!(state == Failed && text.contains("another replica leads"), "{text}");
    assert_eq!((world.asked(), world.boots()), (vec![LOG_IN.into(), LOOK.into(), LOG_OUT.into()], 0));
}

#[tokio::test]
async fn the_bmc_of_another_machine_resets_nothing() {
    let (own, other) = ("4c4c4544-0051-3510-8052-b4c04f4d3732", "4c4c4544-0051-3510-8052-b4c04f4d3733");
    let system = json!({ "PowerState": "On", "UUID": own });
    for (uuid, expected, boots) in [(Some(other), Failed, 0), (Some(own), Sent, 1), (None, Sent, 1)] {
        let world = World::start(Vendor { system: system.clone(), ..Vendor::default() }).await;
        let by = clock::monotonic() + Duration::from_secs(30);
        let (state, text) = world.bmc(&world.file()).reset("n1", uuid, by, || true).await;
        assert_eq!((state, world.boots()), (expected, boots), "{text}");
        assert_eq!(text.contains("another machine"), boots == 0, "{text}");
    }
}

#[tokio::test]
async fn a_machine_that_an_ended_controller_switched_off_is_switched_on() {
    let off = World::start(Vendor { system: json!({ "PowerState": "Off" }), ..Vendor::default() }).await;
    let text = off.bmc(&off.file()).finish("n1", None).await.unwrap();
    assert!(text.starts_with("the machine was off: the BMC accepted the reset On"), "{text}");
    assert_eq!(
        (off.asked(), off.open_sessions()),
        (vec![LOG_IN.into(), LOOK.into(), LOOK.into(), ON.into(), LOG_OUT.into()], 0)
    );
    // It is read until the power may be off: for a second, here.
    let on = World::start(Vendor { looks_until_off: u32::MAX, ..Vendor::default() }).await;
    assert_eq!(on.bmc(&on.file()).finish("n1", None).await.unwrap(), "the machine is not off");
    assert!(on.boots() == 0 && !on.asked().contains(&ON.to_owned()));
}
