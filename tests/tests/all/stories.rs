//! Each story is told as its golden file tells it, and breaks no rule.

use std::fs;

use ossci_tests::environment;

use crate::support::{lab, part, story_files};

const STORIES: [&str; 4] = ["demo", "demo-killed", "hung-tool", "reboot-heals"];

async fn told(story: &str) {
    let result = lab().result(story).await;
    let (_took, verdict) = result.split_once('\n').unwrap();
    assert_eq!(verdict.trim(), "passed", "story {story}");
}

#[tokio::test]
async fn five_nodes_break_and_each_ends_where_it_should() {
    let _part = part("story demo");
    told("demo").await;
}

#[tokio::test]
async fn a_controller_that_is_killed_five_times_comes_to_the_same_ends() {
    let _part = part("story demo-killed (and those before it)");
    told("demo-killed").await;
    if !environment::update_expected() {
        let golden = |story: &str| {
            fs::read_to_string(environment::repository().join(format!("tests/stories/{story}.golden"))).unwrap()
        };
        assert_eq!(golden("demo-killed").replace("killed", "node"), golden("demo"), "killed or not, the same is told");
    }
}

#[tokio::test]
async fn a_hung_tool_leads_to_a_reboot() {
    let _part = part("story hung-tool (and those before it)");
    told("hung-tool").await;
}

#[tokio::test]
async fn a_reboot_heals_and_pods_make_way_for_it() {
    let _part = part("story reboot-heals (and those before it)");
    told("reboot-heals").await;
}

#[test]
fn every_story_has_its_test() {
    let names: Vec<String> =
        story_files().iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, STORIES);
}
