//! Tests of the stories: each one has the results of its golden file and violates no invariant.
//! `tests/build.rs` writes one test for each story file.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ossci_lab::story::Story;
use ossci_lab::{environment, verdict};

use crate::support::{TestLab, files, lab, note, troubled_lab};

include!(concat!(env!("OUT_DIR"), "/stories.rs"));

/// Waits for the result of a story that this lab plays. Fails with the lab's reason.
pub async fn passed(lab: &TestLab, story: &str) {
    let result = lab.result(story).await;
    let (took, verdict) = result.split_once('\n').unwrap();
    note(took.trim_end_matches(" s").parse().unwrap(), &format!("story {story}"));
    assert_eq!(verdict.trim(), "passed", "story {story}");
}

#[tokio::test]
async fn cut_stories_end_the_same_when_killed_at_sampled_writes() {
    passed(&troubled_lab(), "cuts").await;
}

#[test]
fn the_demo_ends_the_same_when_the_controller_is_killed() {
    let golden = |story: &str| {
        let file = environment::repository().join(format!("tests/stories/repairs/{story}.golden"));
        verdict::without_holds(&fs::read_to_string(file).unwrap())
    };
    assert_eq!(golden("demo-killed").replace("killed", "node"), golden("demo"));
}

#[tokio::test]
async fn the_escalation_mail_names_node_gpus_and_release_command() {
    let lab = lab();
    lab.result("demo").await;
    let mails =
        fs::read_dir(lab.dir.join("mail")).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let about: Vec<String> = mails.filter(|mail| mail.contains("Subject: [ossci] lab node4 ")).collect();
    let [mail] = about.as_slice() else { panic!("{} mails about node4", about.len()) };
    // Quoted-printable encoding breaks long lines.
    let mail = mail.replace("=\r\n", "");
    let needed = [
        "needs a person: GPU 0000:65:00.0 missing after reboot and reimage",
        "InternalIP",
        "10.26.0.",
        "kernel-before-reimage.log",
        "the reimage finished",
        "ProofFailed",
        "kubectl taint node node4 repair-manual-",
        "kubectl describe noderepair node4",
        "serial",
        "pool",
    ];
    for words in needed {
        assert!(mail.contains(words), "the mail does not contain {words:?}:\n{mail}");
    }
}

/// The stories of one lab share a cluster: two stories with a node of the same name would disturb
/// each other.
#[test]
fn no_two_stories_of_one_lab_share_a_node() {
    for folders in [vec!["alerts", "repairs", "phases", "people", "machines"], vec!["trouble"]] {
        let mut owners: BTreeMap<String, PathBuf> = BTreeMap::new();
        for file in folders.iter().flat_map(|folder| files(&format!("tests/stories/{folder}"), ".story")) {
            let story = Story::parse("names", &fs::read_to_string(&file).unwrap()).unwrap();
            for node in story.nodes() {
                if let Some(other) = owners.insert(node.to_owned(), file.clone()) {
                    panic!("{node} is in {} and in {}", other.display(), file.display());
                }
            }
        }
    }
}
