//! Stories in which the same thing happens to several nodes, to each in another phase of its repair.

use crate::stories::passed;
use crate::support::lab;

pub const STORIES: [&str; 6] = ["cut-off", "deleted", "held", "other-boot", "same-boot", "untainted"];

async fn told(story: &str) {
    passed(&lab(), story).await;
}

#[tokio::test]
async fn an_api_server_out_of_reach_in_any_phase_delays_a_repair_and_changes_nothing() {
    told("cut-off").await;
}

#[tokio::test]
async fn a_node_deleted_in_any_phase_has_no_repair() {
    told("deleted").await;
}

#[tokio::test]
async fn a_hold_stops_what_is_not_out_yet_and_nothing_else() {
    told("held").await;
}

#[tokio::test]
async fn a_node_created_again_on_another_boot_is_proven_whatever_its_phase() {
    told("other-boot").await;
}

#[tokio::test]
async fn a_node_created_again_on_the_same_boot_goes_on_in_its_phase() {
    told("same-boot").await;
}

#[tokio::test]
async fn a_person_ends_the_repair_in_any_phase() {
    told("untainted").await;
}
