//! The shape of the text: head comments, widths, plain words.

use std::fs;
use std::path::PathBuf;

use ossci_lab::environment;
use regex::Regex;

use crate::house::rust_files;

/// The folders with our Rust code.
const CRATES: [&str; 4] = ["base", "exporter", "remediator", "tests"];

fn all_files() -> Vec<PathBuf> {
    let folder = |name: &&str| rust_files(&environment::repository().join(name));
    CRATES.iter().flat_map(folder).filter(|file| !file.components().any(|part| part.as_os_str() == "target")).collect()
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = all_files()
        .iter()
        .filter(|file| !fs::read_to_string(file).unwrap().starts_with("//!"))
        .map(|file| file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no head comment in\n{}", silent.join("\n"));
}

/// Comments wrap here; code has rustfmt's 120 columns.
const COMMENT_COLUMNS: usize = 100;

/// Lines of comments that are wider, as far as a line could be broken: an address or a table
/// cannot.
fn wide(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let lines = text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//"));
    let wide = lines.filter(|(_, line)| line.chars().count() > COMMENT_COLUMNS);
    let breakable =
        wide.filter(|(_, line)| !line.contains("://") && !line.trim_start_matches('/').trim().starts_with('|'));
    breakable.map(|(number, line)| (number + 1, line.chars().count()))
}

#[test]
fn comments_wrap_at_100_columns() {
    let mut found = Vec::new();
    for file in all_files() {
        let text = fs::read_to_string(&file).unwrap();
        found.extend(wide(&text).map(|(line, columns)| format!("{}:{line}: {columns} columns", file.display())));
    }
    assert!(found.is_empty(), "{} comments are too wide:\n{}", found.len(), found.join("\n"));
}

/// Words of our former idiom, and what to write instead. A pattern sees words, not sentences: each
/// of these was always wrong.
const IDIOM: [(&str, &str); 12] = [
    (r"\b[Tt]he word of\b", "name what was received: the alert, the watch, the report"),
    (r"\b(?:is|was|are|were|be|been) told (?:of|so|again|by|to)\b", "say who reports, sends or records it"),
    (r"\b[Ss]o many\b", "name the setting or the number"),
    (r"\b[Ss]o long\b", "name the setting or the number"),
    (r"\b[Ss]o often\b", "name the setting or the number"),
    (r"\b[Nn]obody\b", "name the actor: the controller, the agent, an administrator"),
    (r"\b[Ww]hoever\b", "name the actor"),
    (r"\b[Ll]ately\b", "name the time or the event"),
    (r"\bstands? in line\b", "is queued"),
    (r"\b(?:holds?|held) up\b", "blocks"),
    (r"\btakes? (?:its|the|a) turns?\b", "is reconciled"),
    (r"\bplays? along\b", "say what the part does"),
];

/// Files that may quote the idiom: this one, and the history.
const QUOTES: [&str; 3] = ["tests/all/style.rs", "docs/CHANGELOG.md", "docs/decisions"];

/// What a person reads: source, documents, rules, manifests.
fn prose() -> Vec<PathBuf> {
    let root = environment::repository();
    let mut files = all_files();
    let mut folders = vec![root.join("docs"), root.join("alerts"), root.join("deploy"), root.join("tests/stories")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(|extension| extension.to_str()) {
                None if path.is_dir() => folders.push(path),
                Some("md" | "yml" | "yaml" | "sh" | "story") => files.push(path),
                _ => {}
            }
        }
    }
    files.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile"].map(|name| root.join(name)));
    files.retain(|file| !QUOTES.iter().any(|quote| file.starts_with(root.join(quote))));
    files
}

/// Lines with a word of the idiom, and what to write instead.
fn idiom(text: &str) -> Vec<(usize, String)> {
    let patterns = IDIOM.map(|(pattern, instead)| (Regex::new(pattern).unwrap(), instead));
    let lines = text.lines().enumerate();
    let found = lines.flat_map(|(number, line)| {
        let hits = patterns.iter().filter_map(move |(pattern, instead)| Some((pattern.find(line)?, *instead)));
        hits.map(move |(word, instead)| (number + 1, format!("{:?}: {instead}", word.as_str())))
    });
    found.collect()
}

#[test]
fn people_read_plain_words() {
    let mut found = Vec::new();
    for file in prose() {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        found.extend(idiom(&text).into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.display())));
    }
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_wide_comment_and_a_word_of_the_idiom_are_seen() {
    let text = format!("// {}\n// short\nlet x = \"{}\";\n", "word ".repeat(25), "y".repeat(110));
    assert_eq!(wide(&text).count(), 1);
    assert_eq!(idiom("a plain line\n// nobody takes its turn\n").len(), 2);
}
