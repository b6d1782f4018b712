//! Tests on outputs that no tool should print: each gets a verdict quickly, and none passes
//! undeserved.
#![allow(clippy::disallowed_methods, reason = "these tests watch the time")]

use ossci_exporter::ending::Ending;
use ossci_exporter::facts::{Facts, Gpu};
use ossci_exporter::judge::{Bounds, Finding, Known, find};
use ossci_exporter::parse::ToolName;
use ossci_exporter::verdict::Verdict;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn sample(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)).unwrap()
}

fn finding(tool: ToolName, stdout: &[u8]) -> Finding {
    find(tool, &Ending::exited(0, stdout, ""), Known { passed_before: true, ..Known::default() }, Bounds::default())
}

fn reason(tool: ToolName, stdout: &[u8]) -> Option<&'static str> {
    finding(tool, stdout).judgement.verdict.reason()
}

fn gpus(tool: ToolName, stdout: &[u8]) -> Vec<Gpu> {
    let finding = finding(tool, stdout);
    finding.facts.as_ref().and_then(Facts::gpus).map(<[Gpu]>::to_vec).unwrap_or_default()
}

/// The JSON outputs of each tool that pass.
fn healthy() -> Vec<(ToolName, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let of_tool = |tool: &ToolName| {
        let entries = std::fs::read_dir(root.join(tool.as_str())).unwrap();
        let names = entries.map(|entry| format!("{}/{}", tool.as_str(), entry.unwrap().file_name().display()));
        // The other texts have no end that could be missing.
        let whole = |name: &String| {
            name.ends_with(".json") || [ToolName::RocmSmi, ToolName::Rocminfo].contains(tool) && name.ends_with(".txt")
        };
        let passing = names.filter(whole).filter(|name| reason(*tool, &sample(name)).is_none());
        passing.map(|name| (*tool, name)).collect::<Vec<_>>()
    };
    ToolName::ALL.iter().flat_map(of_tool).collect()
}

#[test]
fn a_truncated_output_never_passes() {
    let healthy = healthy();
    let tools: std::collections::BTreeSet<ToolName> = healthy.iter().map(|(tool, _)| *tool).collect();
    assert!(tools.len() > 4, "only {tools:?} have a JSON output that passes");
    for (tool, name) in healthy {
        let whole = sample(&name);
        let half = finding(tool, &whole[..whole.len() / 2]).judgement.verdict;
        assert_ne!(half, Verdict::Passed, "{name}");
    }
}

#[test]
fn binary_data_never_passes() {
    let mut state = 7u64;
    let rubbish: Vec<u8> = (0..100_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        })
        .collect();
    for &tool in ToolName::ALL {
        for bytes in [rubbish.as_slice(), &[0; 5000], b"\xff\xfe\0\0{", b"{", b"[", b"\x1b[", b"\x1b"] {
            assert_ne!(finding(tool, bytes).judgement.verdict, Verdict::Passed, "{tool:?}");
        }
    }
}

#[test]
fn invalid_utf8_in_a_value_costs_that_value() {
    let text = br#"{"card0": {"PCI Bus": "0000:05:00.0", "Serial Number": "a\xffb", "Temperature (Sensor junction) (C)": "41.0"}}"#;
    let bytes: Vec<u8> = String::from_utf8_lossy(text).replace("\\xff", "\u{1}").into_bytes();
    let bytes: Vec<u8> = bytes.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let gpus = gpus(ToolName::RocmSmi, &bytes);
    assert_eq!(gpus[0].serial.as_deref(), Some("a\u{fffd}b"));
    assert_eq!(gpus[0].temperature_celsius.junction, Some(41.0));
}

#[test]
fn another_language_is_own_trouble_and_no_fault_of_the_node() {
    for tool in [ToolName::RocmSmi, ToolName::AmdSmi, ToolName::Rocminfo, ToolName::Iperf3] {
        assert_eq!(
            reason(tool, "Der Vorgang wurde erfolgreich beendet.\n".as_bytes()),
            Some("own-trouble"),
            "{tool:?}"
        );
    }
}

#[test]
fn colours_between_the_words_change_nothing() {
    for (tool, name) in [(ToolName::RocmSmi, "rocm-smi/table-7.0.txt"), (ToolName::Rocminfo, "rocminfo/healthy.txt")] {
        let coloured = String::from_utf8(sample(name)).unwrap().replace('\n', "\x1b[0m\n\x1b[1;31m");
        assert_eq!(gpus(tool, coloured.as_bytes()), gpus(tool, &sample(name)), "{name}");
    }
}

#[test]
fn a_second_document_is_reported() {
    let mut twice = sample("rocm-smi/healthy.json");
    twice.extend(sample("rocm-smi/seven-of-eight.json"));
    let finding = finding(ToolName::RocmSmi, &twice);
    assert_eq!(finding.facts.as_ref().and_then(Facts::gpus).map(<[Gpu]>::len), Some(8), "the first one counts");
    assert!(finding.not_understood[0].contains("after the document"), "{:?}", finding.not_understood);
    let mut twice = sample("iperf3/fast.json");
    twice.extend(sample("iperf3/slow.json"));
    assert_eq!(self::finding(ToolName::Iperf3, &twice).not_understood, ["more than one document"]);
}

#[test]
fn numbers_that_overflow_are_no_values() {
    let digits = "9".repeat(400);
    let text = format!(
        "{{\"card0\": {{\"PCI Bus\": \"0000:05:00.0\", \"Temperature (Sensor junction) (C)\": \"41.0\",
            \"Average Graphics Package Power (W)\": \"{digits}\", \"VRAM Total Memory (B)\": \"-{digits}\"}}}}"
    );
    let finding = finding(ToolName::RocmSmi, text.as_bytes());
    let gpu = &finding.facts.as_ref().and_then(Facts::gpus).unwrap()[0];
    assert_eq!((gpu.power_watts, gpu.memory_total_bytes, gpu.temperature_celsius.junction), (None, None, Some(41.0)));
    assert_eq!(finding.not_understood.len(), 2);
    let speed =
        format!("{{\"end\": {{\"sum_received\": {{\"seconds\": 1, \"bytes\": 1, \"bits_per_second\": {digits}}}}}}}");
    assert_ne!(reason(ToolName::Iperf3, speed.as_bytes()), None);
    assert_eq!(reason(ToolName::RocmSmi, format!("{{\"card{digits}\": {{}}}}").as_bytes()), Some("own-trouble"));
}

#[test]
fn nothing_takes_more_than_linear_time() {
    let deep = "[".repeat(1 << 20);
    let braces = "{\"a\":".repeat(1 << 18);
    let lines = "GPU[0]\t\t: x: y\n".repeat(1 << 16);
    let agents = "Agent 1\n".repeat(1 << 18);
    let escapes = "\x1b[31".repeat(1 << 18);
    let rows = "0 2 0x74a1, 1 41.0C 1W NPS1, SPX, 0 1Mhz 9Mhz 0% auto 7W 0% 0%\n".repeat(1 << 14);
    let table = format!("ROCm System Management Interface\nDevice Temp\n{rows}");
    let million = |head: &str, element: &str, tail: &str| format!("{head}{}0{tail}", element.repeat(1_000_000));
    let elements = [
        million("[", "0,", "]"),
        million("[", "{\"gpu\":1},", "]"),
        million("{\"card0\":[", "\"a\",", "]}"),
        million("{\"intervals\":[", "{\"sum\":{}},", "]}"),
    ];
    for text in [&deep, &braces, &lines, &agents, &escapes, &table].into_iter().chain(&elements) {
        for &tool in ToolName::ALL {
            let begun = Instant::now();
            finding(tool, text.as_bytes());
            // Linear time is some milliseconds, a hundred times that in this unoptimised build;
            // quadratic time would be hours.
            assert!(begun.elapsed() < Duration::from_secs(30), "{tool:?}: {text:.20}");
        }
    }
}

fn parse_command(stdin: impl FnOnce(&mut dyn Write) + Send + 'static, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ossci-exporter"))
        .arg("parse")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || stdin(&mut pipe));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_hundred_megabytes_exceed_the_output_limit() {
    let flood = |pipe: &mut dyn Write| {
        let chunk = vec![b'{'; 1 << 20];
        // The reader closes the pipe at its limit.
        for _ in 0..100 {
            if pipe.write_all(&chunk).is_err() {
                break;
            }
        }
    };
    let (status, answer) = parse_command(flood, &["rocm-smi", "-"]);
    assert_eq!(status, Some(1));
    assert!(answer.contains("\"reason\": \"output-limit\""), "{answer}");
}

#[test]
fn the_command_answers_with_one_object_and_a_status() {
    let cases = [
        ("rocm-smi", "rocm-smi/healthy.json", &[][..], Some(0), "\"verdict\": \"passed\""),
        ("rocm-smi", "rocm-smi/seven-of-eight.json", &["--expect-gpus", "8"], Some(1), "\"reason\": \"gpu-missing\""),
        ("iperf3", "iperf3/312-busy.json", &[], Some(3), "\"reason\": \"target-trouble\""),
        ("rocm-smi", "rocm-smi/traceback.json", &["--exit-status", "1"], Some(1), "\"reason\": \"exit-status\""),
        ("wget", "rocm-smi/healthy.json", &[], Some(2), ""),
        ("rocm-smi", "nowhere", &[], Some(2), ""),
    ];
    for (tool, name, flags, status, said) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
        let mut arguments = vec![tool];
        arguments.extend(flags);
        let path = path.to_string_lossy().into_owned();
        arguments.push(&path);
        let (got, answer) = parse_command(|_| {}, &arguments);
        assert_eq!(got, status, "{name}: {answer}");
        assert!(answer.contains(said), "{name}: {answer}");
    }
}

#[test]
fn the_fields_of_the_answer_are_a_contract() {
    let bytes = sample("rocm-smi/healthy.json");
    let (_, answer) = parse_command(move |pipe| pipe.write_all(&bytes).unwrap(), &["rocm-smi", "-"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&answer), "tool verdict reason detail gpus network not_understood");
    assert_eq!(
        keys(&answer["gpus"][0]),
        "gpu pci_bus unique_id serial name temperature_celsius use_ratio memory_use_ratio memory_used_bytes \
         memory_total_bytes power_watts partitions"
    );
    assert_eq!(keys(&answer["gpus"][0]["temperature_celsius"]), "edge junction memory");
    assert!(answer["reason"].is_null() && answer["network"].is_null());
    let bytes = sample("iperf3/fast.json");
    let (_, answer) = parse_command(move |pipe| pipe.write_all(&bytes).unwrap(), &["iperf3", "-"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        keys(&answer["network"]),
        "download_bits_per_second upload_bits_per_second latency_seconds jitter_seconds loss_ratio server"
    );
}
