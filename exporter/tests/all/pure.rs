//! Files that are said to be pure may use nothing that reads the world.

use std::path::Path;

const PURE: [&str; 32] = [
    "config/checks.rs",
    "config/collectors.rs",
    "config/gpus.rs",
    "config/log.rs",
    "config/network.rs",
    "config/paths.rs",
    "config/tools.rs",
    "config/values.rs",
    "verdict.rs",
    "judge/mod.rs",
    "judge/gpus.rs",
    "judge/transfer.rs",
    "metrics/samples.rs",
    "metrics/table.rs",
    "inventory.rs",
    "strikes.rs",
    "schedule.rs",
    "parse/mod.rs",
    "parse/rocm_smi.rs",
    "parse/rocminfo.rs",
    "parse/iperf3.rs",
    "parse/amd_smi.rs",
    "parse/amd_smi_text.rs",
    "parse/blame.rs",
    "parse/devices.rs",
    "parse/documents.rs",
    "parse/leaf.rs",
    "parse/librespeed_cli.rs",
    "parse/rocm_smi_json.rs",
    "parse/rocm_smi_text.rs",
    "parse/speedtest.rs",
    "parse/speedtest_cli.rs",
];

const WORLD: [&str; 10] = [
    "tokio",
    "rustix",
    "tracing",
    "std::fs",
    "std::process",
    "std::env",
    "std::net",
    "std::os",
    "crate::clock",
    "crate::config",
];

/// The paths that a file uses, by `use` or in full, outside of its tests.
fn used(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: Vec<&str> = code.collect();
    code.join("\n").split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).map(str::to_string).collect()
}

/// Anything in one of the pure files that belongs to the world.
fn stains(source: &str) -> Vec<String> {
    let of_the_world = |word: &String| WORLD.iter().any(|path| word == path || word.starts_with(&format!("{path}::")));
    let nested = source.contains("use std::{");
    used(source).into_iter().filter(of_the_world).chain(nested.then(|| "use std::{".to_string())).collect()
}

#[test]
fn pure_files_use_nothing_that_reads_the_world() {
    for file in PURE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let source = std::fs::read_to_string(path).unwrap();
        assert_eq!(stains(&source), Vec::<String>::new(), "{file}");
        assert!(source.starts_with("//! Pure:"), "{file} does not say that it is pure");
    }
}

#[test]
fn a_file_that_reads_the_world_is_noticed() {
    assert_eq!(stains("use std::fs;\n"), ["std::fs"]);
    assert_eq!(stains("fn f() { std::process::id(); }\n"), ["std::process::id"]);
    assert_eq!(stains("use std::{fs, io};\n"), ["use std::{"]);
    assert_eq!(stains("use crate::clock::now;\n"), ["crate::clock::now"]);
    assert_eq!(stains("// std::fs\nuse std::fmt;\n"), Vec::<String>::new());
}

#[test]
fn every_parser_is_among_the_pure_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parse");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = format!("parse/{}", entry.unwrap().file_name().to_str().unwrap());
        assert!(PURE.contains(&name.as_str()), "{name}");
    }
}
