//! Tests of the alert rules and of Alertmanager's configuration with Prometheus' own tools.

use std::path::Path;

use ossci_lab::environment;
use ossci_lab::parts::prometheus::rule_files;
use ossci_lab::parts::{self};

use crate::support::{files, lab, part, run, tool};

#[tokio::test]
async fn promtool_accepts_every_rule() {
    let rules = rule_files(&environment::repository().join("alerts")).unwrap();
    assert!(!rules.is_empty(), "alerts/ has no rule files");
    let rules: Vec<String> = rules.iter().map(|file| file.display().to_string()).collect();
    let mut args = vec!["check", "rules", "--lint=all", "--lint-fatal"];
    args.extend(rules.iter().map(String::as_str));
    run("promtool", &tool("promtool"), &args).await;
}

#[tokio::test]
async fn promtool_passes_the_tests_of_the_rules() {
    let _part = part("promtool test rules");
    let tests = files("alerts", ".test.yml");
    assert!(!tests.is_empty(), "alerts/ has no test files");
    let tests: Vec<String> = tests.iter().map(|file| file.display().to_string()).collect();
    let mut args = vec!["test", "rules"];
    args.extend(tests.iter().map(String::as_str));
    for promtool in ["promtool", "promtool-2"] {
        run(promtool, &tool(promtool), &args).await;
    }
}

#[tokio::test]
async fn pint_finds_no_fault() {
    let _part = part("pint");
    let rules = rule_files(&environment::repository().join("alerts")).unwrap();
    let rules: Vec<String> = rules.iter().map(|file| file.display().to_string()).collect();
    let mut args = vec!["--offline", "--no-color", "lint", "--min-severity=info", "--fail-on=info"];
    args.extend(rules.iter().map(String::as_str));
    run("pint", &tool("pint"), &args).await;
}

#[tokio::test]
async fn amtool_accepts_the_shipped_file() {
    run("amtool", &tool("amtool"), &["check-config", "alerts/alertmanager.yml"]).await;
}

#[tokio::test]
async fn promtool_accepts_the_exporters_page() {
    let lab = lab();
    lab.result("demo").await;
    let facts = lab.facts().await;
    let (node, exporter) = facts.exporters.first_key_value().unwrap();
    let page = parts::page(&parts::http().unwrap(), &format!("http://{exporter}/metrics")).await.unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{node}.metrics"));
    std::fs::write(&file, page).unwrap();
    let script = format!("'{}' check metrics < '{}'", tool("promtool").display(), file.display());
    run("promtool check metrics", Path::new("/bin/sh"), &["-c", &script]).await;
}
