//! Parser of the Python `speedtest-cli`, `--json` and `--simple`. It exits with 0 even after
//! failures, and then reports zeros and a latency of half an hour. Decides nothing.

use super::blame::blame;
use super::documents::{Wanted, documents};
use super::leaf::{number, text, within};
use super::output::{Output, Parsed, Reading};
use super::text::{plain, quote, traceback};
use crate::facts::{Facts, Transfer};
use serde_json::Value;
use std::ops::RangeInclusive;

/// The arguments of one run. The servers have refused plain HTTP since 2021.
pub const ARGUMENTS: [&str; 2] = ["--secure", "--json"];

const BITS_PER_SECOND: RangeInclusive<f64> = 0.0..=1e13;
const MILLISECONDS: RangeInclusive<f64> = 0.0..=1e7;
const BYTES: RangeInclusive<f64> = 0.0..=1e15;
/// Latency in ms that the tool prints if no server answered its latency test.
const NO_LATENCY: f64 = 1_800_000.0;

/// Parses one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    let found = documents(&stdout, Wanted::First);
    let mut odd = Vec::new();
    let transfer = match found.whole.first() {
        Some(document) => of_json(document, &mut odd),
        None => of_lines(&stdout, &mut odd),
    };
    let reading = match transfer {
        Some(transfer) => judge_numbers(transfer),
        None => [&*stderr, &*stdout].into_iter().find_map(blame).unwrap_or_else(|| {
            if found.cut {
                Reading::Cut
            } else if stdout.trim().is_empty() && stderr.trim().is_empty() {
                Reading::Nothing
            } else {
                let said = traceback(&stderr)
                    .unwrap_or_else(|| quote(if stdout.trim().is_empty() { &stderr } else { &stdout }));
                Reading::Foreign(said)
            }
        }),
    };
    Parsed { reading, not_understood: odd }
}

/// Detects failures: zeros or a latency of half an hour mean that the server did not answer, not
/// that the node is slow.
fn judge_numbers(transfer: Transfer) -> Reading {
    if transfer.latency_seconds.is_some_and(|latency| latency >= NO_LATENCY / 1e3) {
        return Reading::FarEnd("no server answered the latency test".to_string());
    }
    match transfer.download_bits_per_second {
        Some(speed) if speed > 0.0 => Reading::Whole(Facts::Network(transfer)),
        _ => Reading::FarEnd("nothing was downloaded".to_string()),
    }
}

fn of_json(document: &Value, odd: &mut Vec<String>) -> Option<Transfer> {
    let mut measure = |name: &str, range: &RangeInclusive<f64>| within(name, number(document.get(name)?), range, odd);
    let bytes = [measure("bytes_sent", &BYTES), measure("bytes_received", &BYTES)];
    let transfer = Transfer {
        download_bits_per_second: measure("download", &BITS_PER_SECOND),
        // 0 if the upload was skipped.
        upload_bits_per_second: measure("upload", &BITS_PER_SECOND).filter(|speed| *speed > 0.0),
        latency_seconds: measure("ping", &MILLISECONDS).map(|ms| ms / 1e3),
        bytes: bytes.into_iter().flatten().reduce(|one, two| one + two),
        server: document.pointer("/server/host").and_then(text).map(|host| host.into_owned()),
        ..Transfer::default()
    };
    document.get("download").is_some().then_some(transfer)
}

/// Parses three lines: `Ping: 1.1 ms`, `Download: 93.2 Mbit/s`, `Upload: ...`.
fn of_lines(text: &str, odd: &mut Vec<String>) -> Option<Transfer> {
    let mut measure = |key: &str, range: &RangeInclusive<f64>| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(key))?;
        within(key.trim_end_matches(':'), super::leaf::quantity(value), range, odd)
    };
    let transfer = Transfer {
        download_bits_per_second: Some(measure("Download:", &BITS_PER_SECOND)?),
        upload_bits_per_second: measure("Upload:", &BITS_PER_SECOND).filter(|speed| *speed > 0.0),
        latency_seconds: measure("Ping:", &(0.0..=1e4)),
        ..Transfer::default()
    };
    // The upload line is the last one.
    text.contains("Upload:").then_some(transfer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;

    fn read(stdout: &str, stderr: &str) -> Reading {
        parse(Output { stdout: stdout.as_bytes(), stderr: stderr.as_bytes(), exit: Exit::Status(0) }).reading
    }

    #[test]
    fn both_forms_give_bits_per_second() {
        let json = r#"{"download": 93200000.0, "upload": 5e6, "ping": 1.1, "server": {"host": "speed.example:80"}}"#;
        for form in [json, "Ping: 1.1 ms\nDownload: 93.2 Mbit/s\nUpload: 5.00 Mbit/s\n"] {
            let Reading::Whole(Facts::Network(transfer)) = read(form, "") else { panic!("{form}") };
            assert_eq!(transfer.download_bits_per_second.map(f64::round), Some(93_200_000.0), "{form}");
            assert_eq!(transfer.upload_bits_per_second, Some(5e6));
            assert!(transfer.latency_seconds.is_some_and(|latency| (latency - 0.0011).abs() < 1e-9));
        }
    }

    #[test]
    fn impossible_values_with_status_0_are_server_trouble() {
        assert!(matches!(read(r#"{"download": 4e9, "upload": 3e9, "ping": 1800000.0}"#, ""), Reading::FarEnd(_)));
        assert!(matches!(read(r#"{"download": 0.0, "upload": 3e9, "ping": 1.0}"#, ""), Reading::FarEnd(_)));
    }

    #[test]
    fn errors_are_classified() {
        assert!(matches!(read("", "ERROR: HTTP Error 403: Forbidden"), Reading::FarEnd(_)));
        assert!(matches!(
            read("", "Cannot retrieve speedtest configuration\nERROR: timed out"),
            Reading::Unreachable(_)
        ));
        assert!(matches!(read("", "speedtest.py: error: unrecognized arguments: --nosuch"), Reading::Foreign(_)));
        assert_eq!(read("Ping: 1.1 ms\nDownload: 93.2 Mbit/s\n", ""), Reading::Foreign("Ping: 1.1 ms".to_string()));
    }
}
