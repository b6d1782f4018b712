//! The house: which floor may import which, no import circle, and pure floors that touch nothing.
//! Read off the `use` lines and the paths that are written in full. docs/ARCHITECTURE.md describes
//! the floors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ossci_lab::environment;
use regex::Regex;

/// One crate: its folder, the name that other crates know it by, and its floors from top to bottom.
/// A file belongs to the longest prefix that fits; it imports its own floor and those below, never
/// one above.
struct House {
    folder: &'static str,
    floors: &'static [&'static [&'static str]],
}

const HOUSES: [House; 3] = [
    House { folder: "base/src", floors: &[&["lib"], &["door"], &["contract", "words", "clock", "log", "golden"]] },
    House {
        folder: "exporter/src",
        floors: &[
            &["main"],
            &["lib", "serve"],
            &["commands"],
            &["show"],
            &["check"],
            &["start", "state"],
            &["config"],
            &["door"],
            &["judge", "strikes"],
            &["inventory", "schedule"],
            &["parse"],
            &["run"],
            &["ending", "facts", "verdict"],
            &["health"],
            &["scratch"],
        ],
    },
    House {
        folder: "remediator/src",
        floors: &[
            &["main"],
            &["lib"],
            &["controller", "agent", "commands", "reimage_service"],
            &["controller/outputs"],
            &["controller/reconcile"],
            &["controller/inputs"],
            &["controller/context"],
            &["controller/state"],
            &["controller/services"],
            &["mail"],
            &["api"],
            &["metrics", "metrics_server", "logging", "outbound", "certificate"],
            &["wire"],
            &["core"],
        ],
    },
];

/// Folders and files that decide and touch nothing.
const PURE: [&str; 19] = [
    "base/src/contract",
    "base/src/words.rs",
    "exporter/src/facts.rs",
    "exporter/src/health.rs",
    "exporter/src/inventory.rs",
    "exporter/src/judge",
    "exporter/src/parse",
    "exporter/src/schedule.rs",
    "exporter/src/strikes.rs",
    "exporter/src/verdict.rs",
    "remediator/src/agent/driver.rs",
    "remediator/src/agent/inventory.rs",
    "remediator/src/agent/load_test.rs",
    "remediator/src/agent/redact.rs",
    "remediator/src/core",
    "remediator/src/mail/compose",
    "tests/lab/src/audit.rs",
    "tests/lab/src/story.rs",
    "tests/lab/src/verdict.rs",
];

/// What a pure file does not name: clients, clocks, the environment, files, processes, sockets,
/// other tasks.
const TOUCHES: [&str; 15] = [
    "kube::",
    "tokio",
    "reqwest",
    "hyper",
    "axum",
    "lettre",
    "rustix",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "::clock",
    "crate::process",
    "::now()",
];

/// A source file without its comments and its tests.
struct Source {
    /// Where it lies below its crate's `src`, without `.rs`; `a/mod.rs` is `a`.
    module: String,
    code: String,
}

pub fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect();
    files.sort();
    files
}

/// The code of a file, without comments and without what follows `#[cfg(test)]` at the end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Modules that a file declares for tests only, as files and as folders.
fn test_modules(file: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(file).unwrap();
    let declaration = Regex::new(r"#\[cfg\(test\)\]\n\s*(?:pub(?:\([\w: ]+\))? )?mod (\w+);").unwrap();
    let folder = match file.file_stem().unwrap().to_str().unwrap() {
        "mod" | "lib" | "main" => file.parent().unwrap().to_owned(),
        _ => file.with_extension(""),
    };
    let names = declaration.captures_iter(&text).map(|found| found[1].to_owned());
    names.flat_map(|name| [folder.join(&name), folder.join(format!("{name}.rs"))]).collect()
}

fn product_files(path: &Path) -> Vec<PathBuf> {
    let files = rust_files(path);
    let tests: Vec<PathBuf> = files.iter().flat_map(|file| test_modules(file)).collect();
    files.into_iter().filter(|file| !tests.iter().any(|test| file.starts_with(test))).collect()
}

fn sources(folder: &str) -> Vec<Source> {
    let root = environment::repository().join(folder);
    let source = |file: PathBuf| {
        let module = file.strip_prefix(&root).unwrap().with_extension("");
        let module = if module.ends_with("mod") { module.parent().unwrap().to_owned() } else { module };
        Source { module: module.display().to_string(), code: code(&file) }
    };
    product_files(&root).into_iter().map(source).collect()
}

/// Splits `a, b::{c, d}` at the commas outside of braces.
fn split(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The single paths of a `use` tree.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let tree = tree.split(" as ").next().unwrap();
    match tree.split_once('{') {
        Some((prefix, rest)) => {
            let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
            split(inner).into_iter().flat_map(paths).map(|path| format!("{prefix}{path}")).collect()
        }
        None => vec![tree.to_owned()],
    }
}

/// The modules that a file names. A folder's `mod.rs` is wiring to what lies in the folder: it
/// shows it under its own name.
fn imports(source: &Source, modules: &BTreeSet<String>) -> BTreeSet<String> {
    let statement = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))? )?use ([^;]+);").unwrap();
    let inline = Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap();
    let mut named: Vec<String> = statement.captures_iter(&source.code).flat_map(|found| paths(&found[1])).collect();
    let rest = statement.replace_all(&source.code, "");
    named.extend(inline.find_iter(&rest).map(|found| found.as_str().to_owned()));
    let own: Vec<&str> = match source.module.as_str() {
        "lib" | "main" => Vec::new(),
        module => module.split('/').collect(),
    };
    let resolve = |path: String| -> Option<String> {
        let mut base: Vec<&str> = own.clone();
        let mut segments = path.split("::").map(str::trim).peekable();
        match *segments.peek()? {
            "crate" => {
                base.clear();
                segments.next();
            }
            "self" => drop(segments.next()),
            "super" => {
                while segments.next_if_eq(&"super").is_some() {
                    base.pop();
                }
            }
            _ => return None,
        }
        let whole: Vec<&str> = base.into_iter().chain(segments).collect();
        (1..=whole.len()).rev().map(|length| whole[..length].join("/")).find(|module| modules.contains(module))
    };
    let mut found: BTreeSet<String> = named.into_iter().filter_map(resolve).collect();
    found.remove(&source.module);
    let folder = format!("{}/", source.module);
    found.retain(|module| !module.starts_with(&folder));
    found
}

fn floor(house: &House, module: &str) -> Option<usize> {
    let fits = |prefix: &str| module == prefix || module.starts_with(&format!("{prefix}/"));
    let all = house.floors.iter().enumerate();
    let named = all.flat_map(|(floor, names)| names.iter().map(move |name| (floor, *name)));
    named.filter(|(_, name)| fits(name)).max_by_key(|(_, name)| name.len()).map(|(floor, _)| floor)
}

/// What is wrong with the imports of one crate.
fn wrong(house: &House, sources: &[Source]) -> Vec<String> {
    let modules: BTreeSet<String> = sources.iter().map(|source| source.module.clone()).collect();
    let graph: BTreeMap<&str, BTreeSet<String>> =
        sources.iter().map(|source| (source.module.as_str(), imports(source, &modules))).collect();
    let mut wrong = Vec::new();
    for (module, imported) in &graph {
        let Some(from) = floor(house, module) else {
            wrong.push(format!("{}/{module} is on no floor: add it to HOUSES", house.folder));
            continue;
        };
        // The wiring of a crate names every floor.
        if ["lib", "main"].contains(module) {
            continue;
        }
        for other in imported {
            if floor(house, other).is_some_and(|to| to < from) {
                wrong.push(format!("{}: {module} imports {other}, which is on a floor above", house.folder));
            }
        }
    }
    wrong.extend(circle(&graph).map(|names| format!("{}: a circle: {}", house.folder, names.join(" -> "))));
    wrong
}

/// One circle of imports, if there is one.
fn circle(graph: &BTreeMap<&str, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        node: &str,
        graph: &BTreeMap<&str, BTreeSet<String>>,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|name| name == node) {
            let mut names = path[at..].to_vec();
            names.push(node.to_owned());
            return Some(names);
        }
        if !done.insert(node.to_owned()) {
            return None;
        }
        path.push(node.to_owned());
        let found = graph.get(node).into_iter().flatten().find_map(|next| visit(next, graph, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|node| visit(node, graph, &mut Vec::new(), &mut done))
}

#[test]
fn imports_point_down_and_never_in_a_circle() {
    let all: Vec<String> = HOUSES.iter().flat_map(|house| wrong(house, &sources(house.folder))).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn a_circle_and_an_arrow_up_are_seen() {
    let house = House { folder: "x", floors: &[&["top"], &["low"]] };
    let source = |module: &str, code: &str| Source { module: module.to_owned(), code: code.to_owned() };
    let sound =
        [source("top/a", "use crate::low::{b::B, c};"), source("low/b", "use super::c::C;"), source("low/c", "")];
    assert_eq!(wrong(&house, &sound), Vec::<String>::new());
    let broken = [source("low/b", "fn f() { super::super::top::a::go() }"), source("top/a", "use crate::low::b;")];
    let found = wrong(&house, &broken).join("\n");
    assert!(found.contains("low/b imports top/a") && found.contains("a circle"), "{found}");
    assert!(wrong(&house, &[source("new", "")])[0].contains("on no floor"));
}

#[test]
fn nothing_of_kubernetes_is_in_the_exporter_or_the_base() {
    for manifest in ["base/Cargo.toml", "exporter/Cargo.toml"] {
        let text = fs::read_to_string(environment::repository().join(manifest)).unwrap();
        assert!(!text.contains("kube") && !text.contains("k8s"), "{manifest} names a crate of Kubernetes");
    }
}

#[test]
fn pure_files_touch_nothing() {
    let mut wrong = Vec::new();
    for pure in PURE {
        let path = environment::repository().join(pure);
        assert!(path.exists(), "{pure} is gone: correct the list");
        for file in product_files(&path) {
            for (number, line) in code(&file).lines().enumerate() {
                let named = TOUCHES.iter().filter(|word| line.contains(**word));
                wrong.extend(named.map(|word| format!("{}:{}: {word}", file.display(), number + 1)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
