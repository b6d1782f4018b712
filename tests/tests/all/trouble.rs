//! Stories in which something keeps a repair from going its way, and stories cut at the remediator's durable writes.

use crate::stories::passed;
use crate::support::troubled_lab;

pub const STORIES: [&str; 26] = [
    "alertmanager-gone",
    "api-down",
    "bmc",
    "clock-jumps",
    "hands-off",
    "load-test",
    "mode-changes",
    "no-answer",
    "node-gone",
    "not-understood",
    "old-complaint",
    "older-crd",
    "policy-in-the-middle",
    "provisioned",
    "reimages-fail",
    "relapse",
    "released-again",
    "rung-fails",
    "script-changes",
    "silenced-waiting",
    "silent-agent",
    "slow-and-broken",
    "storm",
    "taint-limit",
    "two-leaders",
    "webhook-lost",
];
pub const CUTS: [&str; 10] =
    ["blocked", "by-hand", "held", "manual", "network", "provisioned", "reboot", "reimage", "relapse", "released"];

async fn told(story: &str) {
    passed(&troubled_lab(), story).await;
}

#[tokio::test]
async fn nothing_disruptive_starts_while_no_alertmanager_says_what_is_silenced() {
    told("alertmanager-gone").await;
}

#[tokio::test]
async fn an_api_server_out_of_reach_delays_a_repair_and_changes_nothing() {
    told("api-down").await;
}

#[tokio::test]
async fn a_clock_that_jumps_moves_no_deadline_and_a_wrong_one_starts_nothing() {
    told("clock-jumps").await;
}

#[tokio::test]
async fn what_could_not_be_proven_goes_to_a_person_and_not_to_a_reimage() {
    told("no-answer").await;
}

#[tokio::test]
async fn an_old_complaint_is_checked_once_more_before_anything_disruptive() {
    told("old-complaint").await;
}

#[tokio::test]
async fn a_policy_changed_in_the_middle_stops_what_is_not_out_yet() {
    told("policy-in-the-middle").await;
}

#[tokio::test]
async fn three_reimages_that_heal_nobody_stop_the_rung_and_ask_for_people() {
    told("reimages-fail").await;
}

#[tokio::test]
async fn a_released_node_that_fails_again_begins_with_a_reboot_after_the_quiet_time() {
    told("released-again").await;
}

#[tokio::test]
async fn slow_and_broken_are_two_affairs_and_the_repair_goes_first() {
    told("slow-and-broken").await;
}

#[tokio::test]
async fn a_technicians_mark_and_a_cordon_stop_what_is_not_out_yet() {
    told("hands-off").await;
}

#[tokio::test]
async fn a_policy_that_changes_is_followed_without_a_restart() {
    told("mode-changes").await;
}

#[tokio::test]
async fn a_silent_agent_is_a_persons_case_and_a_gpu_is_missed_without_its_label() {
    told("silent-agent").await;
}

#[tokio::test]
async fn a_machine_that_hangs_in_its_shutdown_is_reset_by_its_bmc() {
    told("bmc").await;
}

#[tokio::test]
async fn a_record_edited_into_nonsense_is_left_alone_until_it_is_mended() {
    told("not-understood").await;
}

#[tokio::test]
async fn a_node_deleted_has_no_repair_and_one_created_again_keeps_it() {
    told("node-gone").await;
}

#[tokio::test]
async fn a_relapse_starts_a_rung_higher_and_the_third_is_a_persons() {
    told("relapse").await;
}

#[tokio::test]
async fn a_rung_that_heals_nobody_stops_until_a_person_resumes_it() {
    told("rung-fails").await;
}

#[tokio::test]
async fn a_load_test_of_the_site_disproves_as_a_check_does() {
    told("load-test").await;
}

#[tokio::test]
async fn a_provisioning_service_reimages_each_machine_once_and_the_checks_prove_it() {
    told("provisioned").await;
}

#[tokio::test]
async fn what_an_older_crd_would_drop_is_refused_and_nothing_is_asked_for() {
    told("older-crd").await;
}

#[tokio::test]
async fn a_script_that_is_not_the_ordered_one_is_not_run() {
    told("script-changes").await;
}

#[tokio::test]
async fn a_silence_stops_a_repair_that_waits() {
    told("silenced-waiting").await;
}

#[tokio::test]
async fn a_storm_is_waited_out_and_its_first_repair_has_to_heal() {
    told("storm").await;
}

#[tokio::test]
async fn half_a_pool_is_the_most_that_is_tainted() {
    told("taint-limit").await;
}

#[tokio::test]
async fn two_that_both_believe_to_lead_do_nothing_twice() {
    told("two-leaders").await;
}

#[tokio::test]
async fn a_webhook_that_never_comes_is_made_up_for_by_asking() {
    told("webhook-lost").await;
}

#[tokio::test]
async fn killed_at_any_durable_write_it_comes_to_the_same_end() {
    told("cuts").await;
}
