//! Tests of the documents: what they name exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ossci_lab::environment;
use ossci_lab::process::Program;
use regex::Regex;

use crate::rulebook;
use crate::support::files;

/// README and every page of docs but the changelog, which is about the past.
fn pages() -> Vec<(PathBuf, String)> {
    let mut all: Vec<PathBuf> = files("docs", ".md");
    for folder in ["docs/operate", "docs/runbooks", "docs/decisions"] {
        all.extend(files(folder, ".md"));
    }
    all.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| environment::repository().join(name)));
    all.retain(|page| !page.ends_with("CHANGELOG.md"));
    all.into_iter().map(|page| (page.clone(), std::fs::read_to_string(page).unwrap())).collect()
}

/// Applies `wrong` to each match of `pattern` in each page; returns the places that it finds wrong.
fn places(pattern: &str, wrong: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let pattern = Regex::new(pattern).unwrap();
    let mut found = (0, Vec::new());
    for (page, text) in pages() {
        for (at, line) in text.lines().enumerate() {
            for part in pattern.captures_iter(line) {
                found.0 += 1;
                if wrong(&page, &part[1]) {
                    found.1.push(format!("{}:{}: {}", page.display(), at + 1, &part[1]));
                }
            }
        }
    }
    assert!(found.0 > 10, "only {} places have {pattern}", found.0);
    found.1
}

fn none(wrong: Vec<String>, what: &str) {
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn links_lead_to_files() {
    let wrong = places(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", |page, target| !page.parent().unwrap().join(target).exists());
    none(wrong, "there is no such file");
}

/// A sentence ends at a full stop, a colon or a semicolon; code counts as one word.
#[test]
fn sentences_have_at_most_30_words() {
    let shorter = [(r"\[([^\]]*)\]\([^)]*\)", "$1"), ("`[^`]*`", "code")];
    let shorter = shorter.map(|(pattern, by)| (Regex::new(pattern).unwrap(), by));
    let end = Regex::new(r"[.!?:;]\s").unwrap();
    let (mut all, mut long) = (0, Vec::new());
    for (page, text) in pages() {
        for mut paragraph in paragraphs(&text) {
            for (pattern, by) in &shorter {
                paragraph = pattern.replace_all(&paragraph, *by).into_owned();
            }
            for sentence in end.split(&paragraph) {
                all += 1;
                let words = sentence.split_whitespace().count();
                if words > 30 {
                    long.push(format!("{}: {words} words: {sentence}", page.display()));
                }
            }
        }
    }
    assert!(all > 1000, "only {all} sentences");
    none(long, "say it in two sentences");
}

/// The paragraphs and list items of a page, each on one line: no tables, headings and code.
fn paragraphs(page: &str) -> Vec<String> {
    let item = Regex::new(r"^\s*([*-]|\d+\.) ").unwrap();
    let mut all = vec![String::new()];
    let mut fenced = false;
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let skipped = fenced
            || ["#", "    "].iter().any(|begin| line.starts_with(begin))
            || ["|", "```"].iter().any(|begin| line.trim_start().starts_with(begin));
        if skipped || line.trim().is_empty() || item.is_match(line) {
            all.push(String::new());
        }
        if !skipped {
            let paragraph = all.last_mut().unwrap();
            paragraph.push_str(line);
            paragraph.push(' ');
        }
    }
    all
}

#[test]
fn metrics_are_exported() {
    let exported = rulebook::exported();
    let known = |name: &str| {
        let name = name.trim_end_matches("_bucket").trim_end_matches("_total");
        exported.iter().any(|one| one.trim_end_matches("_total") == name)
    };
    // A name that ends with `_` or `*` stands for several.
    let wrong = places(
        r"\b(ossci_(?:check|checks|gpu|gpus|network|fabric|exporter|remediator|agent)_[a-z_]*[a-z])\b",
        |_, name| !known(name) && !exported.iter().any(|one| one.starts_with(&format!("{name}_"))),
    );
    none(wrong, "no program exports");
}

#[test]
fn ports_are_ours() {
    let ours = ["19400", "19401", "19402", "19403"];
    none(places(r"\b(194\d\d)\b", |_, port| !ours.contains(&port)), "no program listens on");
}

/// Returns the help of a program and of all its commands, and the names of the commands.
async fn help(program: &str) -> (String, BTreeSet<String>) {
    let run = async |args: &[&str]| {
        let program = Program::new(program, environment::our_program(program).unwrap()).args(args).arg("--help");
        program.output(Duration::from_secs(30)).await.unwrap()
    };
    let listed = |text: &str| -> Vec<String> {
        let list =
            text.split("Commands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default().to_owned();
        list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    };
    let mut all = run(&[]).await;
    let commands: BTreeSet<String> = listed(&all).into_iter().filter(|name| name != "help").collect();
    for command in &commands {
        let text = run(&[command]).await;
        for below in listed(&text).iter().filter(|name| *name != "help") {
            all += &run(&[command, below]).await;
        }
        all += &text;
    }
    (all, commands)
}

#[tokio::test]
async fn flags_and_commands_exist() {
    let (remediator, commands) = help("ossci-remediator").await;
    let (exporter, parses) = help("ossci-exporter").await;
    let wrong = places(r"\bossci-remediator ([a-z][a-z-]*)\b", |_, name| {
        // `ossci-remediator` is also the name of the Deployment, of accounts and of a Lease.
        !commands.contains(name)
            && !["ossci", "namespace", "and", "of", "in", "may", "is", "runs", "to"].contains(&name)
    });
    none(wrong, "ossci-remediator has no such command");
    assert!(commands.len() > 15 && parses.contains("parse"), "{commands:?} {parses:?}");
    // Flags of other programs, which stand without their program's name on the same line.
    let foreign = ["--set", "--values", "--from-file", "--extra", "--states"];
    // Others stand beside their program's name. An arrow of a drawing is no flag.
    let others = Regex::new(
        r"kubectl|helm|cargo|make |skopeo|buildah|git |openssl|New-|curl|systemctl|mokutil|apt|dpkg|ossci-lab|iperf3|argocd|rocm-smi |promtool|amtool|docker|kured|amd-smi |-->",
    )
    .unwrap();
    let flag = Regex::new(r"(?:^|[\s`(])(--[a-z][a-z0-9.-]*[a-z0-9])").unwrap();
    let flags: BTreeSet<&str> = [&remediator, &exporter]
        .into_iter()
        .flat_map(|help| flag.captures_iter(help).map(|found| found.get(1).unwrap().as_str()))
        .collect();
    let (mut seen, mut unknown) = (0, Vec::new());
    for (page, text) in pages() {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !others.is_match(line)) {
            for found in flag.captures_iter(line) {
                seen += 1;
                let name = &found[1];
                // `--tool.NAME` stands for one flag of each tool.
                let family = flags.iter().any(|flag| flag.starts_with(&format!("{name}.")));
                if !flags.contains(name) && !family && !foreign.contains(&name) {
                    unknown.push(format!("{}:{}: {name}", page.display(), at + 1));
                }
            }
        }
    }
    assert!(seen > 30, "{seen} flags");
    none(unknown, "no program of ours has this flag");
}
