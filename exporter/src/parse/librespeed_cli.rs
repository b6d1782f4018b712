//! Parser of `librespeed-cli`, 1.0 to 1.0.14 and later: `--json` (an object up to 1.0.9, an array
//! since), `--json-stream`, `--csv`, `--simple`. Speeds are Mbit/s, although its help claims
//! otherwise. A dead server is `null` with status 0. Decides nothing.

use super::blame::blame;
use super::documents::{Wanted, documents};
use super::leaf::{number, quantity, text, within};
use super::output::{Output, Parsed, Reading};
use super::text::{plain, quote};
use crate::facts::{Facts, Transfer};
use serde_json::Value;
use std::ops::RangeInclusive;

/// Seconds per direction: the default of 15 would not fit an interval.
const DURATION: &str = "3";

/// The arguments of one run.
pub const ARGUMENTS: [&str; 3] = ["--json", "--duration", DURATION];

const MEGABITS: RangeInclusive<f64> = 0.0..=1e7;
const MILLISECONDS: RangeInclusive<f64> = 0.0..=1e6;
const BYTES: RangeInclusive<f64> = 0.0..=1e15;
const NO_ANSWER: &str = "the server did not answer";

/// Parses one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    let found = documents(&stdout, Wanted::All);
    let mut odd = Vec::new();
    let reports: Vec<&Value> = found.whole.iter().flat_map(reports).collect();
    let stream = found.whole.iter().any(|value| value.get("event").is_some());
    let ended = found.whole.iter().any(|value| value.get("reports").is_some());
    let transfer = match reports.first() {
        Some(report) => of_json(report, &mut odd),
        None if found.whole.is_empty() => of_csv(&stdout, &mut odd)
            .or_else(|| of_lines(&stdout, &mut odd))
            // Up to 1.0.10, and without --simple, the lines go to stderr.
            .or_else(|| of_lines(&stderr, &mut odd)),
        None => None,
    };
    let reading = match transfer {
        Some(transfer) if transfer.download_bits_per_second.is_some_and(|speed| speed > 0.0) => {
            Reading::Whole(Facts::Network(transfer))
        }
        Some(_) => Reading::FarEnd("nothing was downloaded".to_string()),
        None if stream && !ended => Reading::Cut,
        None => without_report(&stdout, &stderr, found.cut),
    };
    Parsed { reading, not_understood: odd }
}

fn without_report(stdout: &str, stderr: &str, cut: bool) -> Reading {
    if let Some(reading) = blame(stderr).or_else(|| blame(stdout)) {
        reading
    } else if cut {
        Reading::Cut
    } else if matches!(stdout.trim(), "null" | "[]") || (stdout.contains("\"reports\"") && stderr.trim().is_empty()) {
        Reading::FarEnd(NO_ANSWER.to_string())
    } else if stdout == "\n" && stderr.trim().is_empty() {
        // The same in CSV.
        Reading::FarEnd(NO_ANSWER.to_string())
    } else if stdout.trim().is_empty() && stderr.trim().is_empty() {
        Reading::Nothing
    } else {
        Reading::Foreign(quote(if stdout.trim().is_empty() { stderr } else { stdout }))
    }
}

/// Returns the results in a document of any of the JSON formats.
fn reports(document: &Value) -> Vec<&Value> {
    let result = |value: &&Value| value.get("download").is_some();
    match document {
        Value::Array(all) => all.iter().filter(result).collect(),
        _ => match document.get("reports") {
            Some(Value::Array(all)) => all.iter().filter(result).collect(),
            _ => Some(document).filter(result).into_iter().collect(),
        },
    }
}

fn of_json(report: &Value, odd: &mut Vec<String>) -> Option<Transfer> {
    let mut measure = |name: &str, range: &RangeInclusive<f64>| within(name, number(report.get(name)?), range, odd);
    let bytes = [measure("bytes_sent", &BYTES), measure("bytes_received", &BYTES)];
    Some(Transfer {
        download_bits_per_second: measure("download", &MEGABITS).map(|megabits| megabits * 1e6),
        // 0 if the upload was skipped.
        upload_bits_per_second: measure("upload", &MEGABITS)
            .filter(|speed| *speed > 0.0)
            .map(|megabits| megabits * 1e6),
        latency_seconds: measure("ping", &MILLISECONDS).map(|ms| ms / 1e3),
        jitter_seconds: measure("jitter", &MILLISECONDS).map(|ms| ms / 1e3),
        bytes: bytes.into_iter().flatten().reduce(|one, two| one + two),
        server: report
            .pointer("/server/name")
            .or_else(|| report.pointer("/server/url"))
            .and_then(text)
            .map(|name| name.into_owned()),
        ..Transfer::default()
    })
}

/// Parses `Timestamp,Server Name,Address,Ping,Jitter,Download,Upload,Share,IP`; names with commas
/// are quoted.
fn of_csv(text: &str, odd: &mut Vec<String>) -> Option<Transfer> {
    let row = text
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(','))?;
    let cells = csv_cells(row);
    let [_, name, _, ping, jitter, download, upload, ..] = cells.as_slice() else { return None };
    let mut measure = |name: &str, cell: &str, range: &RangeInclusive<f64>| within(name, quantity(cell), range, odd);
    Some(Transfer {
        download_bits_per_second: measure("download", download, &MEGABITS).map(|megabits| megabits * 1e6),
        upload_bits_per_second: measure("upload", upload, &MEGABITS)
            .filter(|speed| *speed > 0.0)
            .map(|megabits| megabits * 1e6),
        latency_seconds: measure("ping", ping, &MILLISECONDS).map(|ms| ms / 1e3),
        jitter_seconds: measure("jitter", jitter, &MILLISECONDS).map(|ms| ms / 1e3),
        server: Some(name.clone()).filter(|name| !name.is_empty()),
        ..Transfer::default()
    })
}

fn csv_cells(row: &str) -> Vec<String> {
    let (mut cells, mut quoted) = (vec![String::new()], false);
    for c in row.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            _ => {
                if let Some(cell) = cells.last_mut() {
                    cell.push(c);
                }
            }
        }
    }
    cells
}

/// Parses `Ping: 0.10 ms   Jitter: 0.02 ms`, `Download rate: ... Mbps`, `Upload rate: ... Mbps`.
fn of_lines(text: &str, odd: &mut Vec<String>) -> Option<Transfer> {
    let mut measure = |key: &str, range: &RangeInclusive<f64>| {
        let value = text.lines().find_map(|line| line.split_once(key))?.1;
        let cell = value.split(['\t', '\n']).find(|cell| !cell.trim().is_empty())?;
        let cell = cell.split("  ").find(|cell| !cell.trim().is_empty())?;
        within(key.trim_end_matches(':'), quantity(cell), range, odd)
    };
    let transfer = Transfer {
        download_bits_per_second: Some(measure("Download rate:", &(0.0..=1e13))?),
        upload_bits_per_second: measure("Upload rate:", &(0.0..=1e13)).filter(|speed| *speed > 0.0),
        latency_seconds: measure("Ping:", &(0.0..=1e3)),
        jitter_seconds: measure("Jitter:", &(0.0..=1e3)),
        ..Transfer::default()
    };
    // The upload line is the last one.
    text.contains("Upload rate:").then_some(transfer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;

    fn read(stdout: &str, stderr: &str) -> Reading {
        parse(Output { stdout: stdout.as_bytes(), stderr: stderr.as_bytes(), exit: Exit::Status(0) }).reading
    }

    const REPORT: &str = r#"{"server":{"name":"Berlin","url":"http://speed.example/"},"ping":0.5,"jitter":0.1,"upload":400.5,"download":900.25}"#;

    #[test]
    fn all_forms_give_the_same_speeds() {
        let array = format!("[{REPORT}]");
        let stream =
            format!("{{\"event\":\"phase\",\"phase\":\"ping\"}}\n{{\"event\":\"result\",\"reports\":[{REPORT}]}}\n");
        let csv = "2026-11-22T12:00:00Z,\"Berlin, Germany\",http://speed.example/,0.5,0.1,900.25,400.5,,203.0.113.7\n";
        let simple = "Ping:\t0.50 ms\tJitter:\t0.10 ms\nDownload rate:\t900.25 Mbps\nUpload rate:\t400.50 Mbps\n";
        for form in [REPORT, &array, &stream, csv, simple] {
            let Reading::Whole(Facts::Network(transfer)) = read(form, "") else {
                panic!("{form}: {:?}", read(form, ""))
            };
            let speeds = (transfer.download_bits_per_second, transfer.upload_bits_per_second);
            assert_eq!(speeds, (Some(900_250_000.0), Some(400_500_000.0)), "{form}");
            assert_eq!((transfer.latency_seconds, transfer.jitter_seconds), (Some(0.0005), Some(0.0001)), "{form}");
        }
        assert!(matches!(read("", simple), Reading::Whole(_)));
    }

    #[test]
    fn a_dead_server_is_server_trouble_in_every_form() {
        for stdout in ["null", "\n", "{\"event\":\"result\",\"reports\":null}\n"] {
            assert!(matches!(read(stdout, ""), Reading::FarEnd(_)), "{stdout:?}: {:?}", read(stdout, ""));
        }
        assert!(matches!(read("", "No server is currently available, please try again later."), Reading::FarEnd(_)));
        assert!(matches!(read(&REPORT.replace("900.25", "0"), ""), Reading::FarEnd(_)));
    }

    #[test]
    fn a_stream_without_its_result_is_cut() {
        assert_eq!(read("{\"event\":\"phase\",\"phase\":\"ping\"}\n", ""), Reading::Cut);
        assert_eq!(read("", ""), Reading::Nothing);
    }

    #[test]
    fn an_unreachable_network_is_a_network_failure() {
        assert!(matches!(read("", "dial udp 192.0.2.53:53: connect: network is unreachable"), Reading::Unreachable(_)));
    }
}
