//! RBAC grants our accounts what they use: the audit log of the stories has each request.

use std::collections::BTreeSet;

use ossci_lab::environment;
use serde_json::Value;

use crate::support::{lab, part};

/// Grants that no story of this lab uses, and what does.
const ELSEWHERE: [(&str, &str); 7] = [
    ("ossci-remediator delete noderepairs", "the record of a Node that is gone, after its time: core/retention.rs"),
    ("ossci-remediator delete configmaps", "the test of a thousand pieces of evidence"),
    ("ossci-remediator get secrets", "ossci-lab chart-life"),
    ("ossci-remediator create secrets", "ossci-lab chart-life"),
    ("ossci-remediator patch secrets", "the renewal of a certificate, 60 days later"),
    ("ossci-remediator get customresourcedefinitions", "ossci-lab chart-life"),
    ("ossci-remediator get /version", "every start: it is no object, and not in the log of objects"),
];

/// Returns what the manifests grant: `ACCOUNT VERB RESOURCE`.
fn granted() -> BTreeSet<String> {
    let text = std::fs::read_to_string(environment::repository().join("deploy/rbac.yaml")).unwrap();
    let mut granted = BTreeSet::new();
    for document in text.split("\n---\n") {
        let object: Value = serde_saphyr::from_str(document).unwrap();
        let words = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        for rule in object["rules"].as_array().into_iter().flatten() {
            for verb in words(&rule["verbs"]) {
                let what = words(&rule["resources"]).into_iter().chain(words(&rule["nonResourceURLs"]));
                granted.extend(what.map(|what| format!("{name} {verb} {what}")));
            }
        }
    }
    granted
}

/// Returns what the accounts asked for and were allowed to do.
fn used(log: &str) -> BTreeSet<String> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let allowed = lines.filter(|line| line["annotations"]["authorization.k8s.io/decision"] == "allow");
    let request = |line: Value| {
        let account = line["user"]["username"].as_str()?.strip_prefix("system:serviceaccount:ossci:")?.to_owned();
        let (verb, object) = (line["verb"].as_str()?, &line["objectRef"]);
        let resource = object["resource"].as_str()?;
        let below = object["subresource"].as_str().map_or_else(String::new, |name| format!("/{name}"));
        Some(format!("{account} {verb} {resource}{below}"))
    };
    allowed.filter_map(request).collect()
}

#[test]
fn the_manifests_say_who_may_do_what() {
    let (granted, line) = (
        granted(),
        r#"{"annotations":{"authorization.k8s.io/decision":"allow"},"verb":"create",
        "user":{"username":"system:serviceaccount:ossci:ossci-remediator"},
        "objectRef":{"resource":"pods","subresource":"eviction"}}"#,
    );
    let one = used(&line.replace('\n', ""));
    assert!(one.is_subset(&granted) && one.len() == 1, "{one:?}");
    assert!(granted.contains("ossci-agent create configmaps") && granted.contains("ossci-remediator get /version"));
    assert!(!granted.iter().any(|grant| grant.contains('*')), "{granted:?}");
}

#[tokio::test]
async fn a_grant_that_no_story_uses_is_none() {
    let _part = part("grants");
    let lab = lab();
    // The last story of this lab.
    lab.result("ecc-beside").await;
    let facts = lab.facts().await;
    let used = used(&std::fs::read_to_string(&facts.audit_log).unwrap());
    let elsewhere: BTreeSet<String> = ELSEWHERE.iter().map(|(grant, _)| (*grant).to_owned()).collect();
    let granted = granted();
    let unknown: Vec<_> = elsewhere.difference(&granted).collect();
    assert!(unknown.is_empty(), "not granted any more: {unknown:?}");
    let unused: Vec<_> = granted.difference(&used).filter(|grant| !elsewhere.contains(*grant)).collect();
    assert!(unused.is_empty(), "granted and never used: {unused:?}\nused: {used:?}");
}
