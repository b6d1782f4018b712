//! Each story is told as its golden file tells it, and breaks no rule.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ossci_tests::environment;
use ossci_tests::story::Story;

use crate::support::{TestLab, files, lab, note};
use crate::{phases, trouble};

const STORIES: [&str; 11] = [
    "alert-over",
    "alert-silenced",
    "alertmanager-killed",
    "by-hand",
    "demo",
    "demo-killed",
    "hung-tool",
    "other-cluster",
    "prometheus-killed",
    "reboot-heals",
    "receiver-down",
];

async fn told(story: &str) {
    passed(&lab(), story).await;
}

/// Waits for a story of this lab, and fails with what was told of it.
pub async fn passed(lab: &TestLab, story: &str) {
    let result = lab.result(story).await;
    let (took, verdict) = result.split_once('\n').unwrap();
    note(took.trim_end_matches(" s").parse().unwrap(), &format!("story {story}"));
    assert_eq!(verdict.trim(), "passed", "story {story}");
}

#[tokio::test]
async fn five_nodes_break_and_each_ends_where_it_should() {
    told("demo").await;
}

#[tokio::test]
async fn a_controller_that_is_killed_five_times_comes_to_the_same_ends() {
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
    told("hung-tool").await;
}

#[tokio::test]
async fn a_reboot_heals_and_pods_make_way_for_it() {
    told("reboot-heals").await;
}

#[tokio::test]
async fn people_have_the_first_and_the_last_word() {
    told("by-hand").await;
}

#[tokio::test]
async fn an_alert_comes_in_order_and_one_that_is_over_before_its_group_waited_is_told_to_nobody() {
    told("alert-over").await;
}

#[tokio::test]
async fn a_silenced_alert_is_told_when_the_silence_ends() {
    told("alert-silenced").await;
}

#[tokio::test]
async fn no_alert_is_lost_with_an_alertmanager_or_with_both() {
    told("alertmanager-killed").await;
}

#[tokio::test]
async fn strikes_are_neither_lost_nor_made_up_while_both_prometheis_are_dead() {
    told("prometheus-killed").await;
}

#[tokio::test]
async fn a_webhook_that_nobody_took_is_delivered_by_both_replicas_and_is_one_complaint() {
    told("receiver-down").await;
}

#[tokio::test]
async fn an_alert_of_another_cluster_is_counted_and_nothing_is_done() {
    told("other-cluster").await;
}

#[tokio::test]
async fn the_mail_tells_a_person_what_he_needs() {
    let lab = lab();
    lab.result("demo").await;
    let mails =
        fs::read_dir(lab.dir.join("mail")).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let about: Vec<String> = mails.filter(|mail| mail.contains("Subject: [OSSCI] node4 ")).collect();
    let [mail] = about.as_slice() else { panic!("{} mails about node4", about.len()) };
    // Quoted-printable breaks long lines.
    let mail = mail.replace("=\r\n", "");
    let needed = [
        "name: node4",
        "InternalIP: 10.26.0.",
        "ossci.amd.com/gpus: 8",
        "missing 0000:65:00.0",
        "the reimage finished",
        "ProofFailed",
        "repair-manual-",
    ];
    for words in needed {
        assert!(mail.contains(words), "the mail does not say {words:?}:\n{mail}");
    }
}

#[test]
fn every_story_has_its_test() {
    let names = |folder: &str| -> Vec<String> {
        files(folder, ".story").iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("tests/stories"), STORIES);
    assert_eq!(names("tests/stories/phases"), phases::STORIES);
    assert_eq!(names("tests/stories/trouble"), trouble::STORIES);
    assert_eq!(names("tests/stories/cuts"), trouble::CUTS);
}

/// They are played side by side in one lab: a node of one must not be a node of another.
#[test]
fn no_two_stories_of_one_lab_have_a_node_in_common() {
    let labs = [vec!["tests/stories", "tests/stories/phases"], vec!["tests/stories/trouble"]];
    for folders in labs {
        let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in folders.iter().flat_map(|folder| files(folder, ".story")) {
            let story = Story::parse("names", &fs::read_to_string(&file).unwrap()).unwrap();
            for node in story.nodes() {
                if let Some(other) = owners.insert(node.to_owned(), file.clone()) {
                    panic!("{node} is in {} and in {}", other.display(), file.display());
                }
            }
        }
    }
}
