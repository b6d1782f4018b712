//! Parser of Ookla's `speedtest -f json`, 1.0 to 1.2: one object with `type: result` on success;
//! log objects, log lines and the licence otherwise. Speeds are bytes per second. Addresses and the
//! provider are in the output too and are not read. Decides nothing.

use super::blame::blame;
use super::documents::{Wanted, documents};
use super::leaf::{number, text, within};
use super::output::{Output, Parsed, Reading};
use super::text::{plain, quote};
use crate::facts::{Facts, Transfer};
use serde_json::Value;
use std::ops::RangeInclusive;

/// The arguments of one run. The licence allows personal, non-commercial use; a site that
/// configures this tool needs one that allows more.
pub const ARGUMENTS: [&str; 6] = ["--accept-license", "--accept-gdpr", "-f", "json", "-p", "no"];

const BYTES_PER_SECOND: RangeInclusive<f64> = 0.0..=1e12;
const MILLISECONDS: RangeInclusive<f64> = 0.0..=1e6;
const PERCENT: RangeInclusive<f64> = 0.0..=100.0;
const BYTES: RangeInclusive<f64> = 0.0..=1e15;

/// Parses one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    let found = documents(&stdout, Wanted::All);
    let of_type = |name: &str| found.whole.iter().find(|value| value.get("type").and_then(Value::as_str) == Some(name));
    if let Some(result) = of_type("result") {
        return read(result);
    }
    // The reason is in a line before the last, general one.
    let message = of_type("log").and_then(|log| log.get("message")).and_then(Value::as_str).unwrap_or_default();
    let said = [&*stderr, message, &*stdout];
    if let Some(reading) = said.iter().find_map(|text| blame(text)) {
        return reading.into();
    }
    let both = [&*stdout, &*stderr];
    let licence = |text: &&str| text.contains("License acceptance") || text.contains("End User License Agreement");
    let reading = if both.iter().any(licence) {
        Reading::Denied("the licence of the tool was not accepted".to_string())
    } else if found.cut {
        Reading::Cut
    } else if both.iter().all(|text| text.trim().is_empty()) {
        Reading::Nothing
    } else {
        let said =
            if message.is_empty() { both.into_iter().find(|text| !text.trim().is_empty()) } else { Some(message) };
        Reading::Foreign(quote(said.unwrap_or_default()))
    };
    reading.into()
}

fn read(result: &Value) -> Parsed {
    let mut odd = Vec::new();
    let mut measure = |pointer: &str, range: &RangeInclusive<f64>| {
        within(pointer.trim_start_matches('/'), number(result.pointer(pointer)?), range, &mut odd)
    };
    let bytes = [measure("/download/bytes", &BYTES), measure("/upload/bytes", &BYTES)];
    let milliseconds = [measure("/download/elapsed", &MILLISECONDS), measure("/upload/elapsed", &MILLISECONDS)];
    let transfer = Transfer {
        download_bits_per_second: measure("/download/bandwidth", &BYTES_PER_SECOND).map(|bytes| bytes * 8.0),
        upload_bits_per_second: measure("/upload/bandwidth", &BYTES_PER_SECOND).map(|bytes| bytes * 8.0),
        latency_seconds: measure("/ping/latency", &MILLISECONDS).map(|ms| ms / 1e3),
        jitter_seconds: measure("/ping/jitter", &MILLISECONDS).map(|ms| ms / 1e3),
        loss_ratio: measure("/packetLoss", &PERCENT).map(|percent| percent / 100.0),
        bytes: sum(&bytes),
        seconds: sum(&milliseconds).map(|ms| ms / 1e3),
        retransmits: None,
        server: server(result),
    };
    let moved = |speed: Option<f64>| speed.is_some_and(|speed| speed > 0.0);
    let reading = if moved(transfer.download_bits_per_second) && moved(transfer.upload_bits_per_second) {
        Reading::Whole(Facts::Network(transfer))
    } else {
        Reading::FarEnd("the result has no speed".to_string())
    };
    Parsed { reading, not_understood: odd }
}

fn sum(parts: &[Option<f64>]) -> Option<f64> {
    parts.iter().flatten().copied().reduce(|one, two| one + two)
}

fn server(result: &Value) -> Option<String> {
    let server = result.get("server")?;
    let host = text(server.get("host")?)?;
    Some(match server.get("port").and_then(text) {
        Some(port) => format!("{host}:{port}"),
        None => host.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;

    fn read(stdout: &str, stderr: &str) -> Reading {
        parse(Output { stdout: stdout.as_bytes(), stderr: stderr.as_bytes(), exit: Exit::Status(0) }).reading
    }

    const RESULT: &str = r#"{"type":"result","ping":{"jitter":0.5,"latency":8.0},"download":{"bandwidth":1000,"bytes":7,"elapsed":4},
        "upload":{"bandwidth":500,"bytes":3,"elapsed":5},"packetLoss":25,"server":{"id":1,"host":"speed.example","port":8080}}"#;

    #[test]
    fn bytes_become_bits_and_percent_becomes_a_share() {
        let Reading::Whole(Facts::Network(transfer)) = read(RESULT, "") else { panic!() };
        assert_eq!(transfer.download_bits_per_second, Some(8000.0));
        assert_eq!(transfer.upload_bits_per_second, Some(4000.0));
        assert_eq!((transfer.latency_seconds, transfer.loss_ratio), (Some(0.008), Some(0.25)));
        assert_eq!((transfer.bytes, transfer.server.as_deref()), (Some(10.0), Some("speed.example:8080")));
    }

    #[test]
    fn a_licence_before_the_result_does_not_hide_it() {
        assert!(matches!(read(&format!("End User License Agreement\n{RESULT}"), ""), Reading::Whole(_)));
        assert!(matches!(read("End User License Agreement\n", ""), Reading::Denied(_)));
    }

    #[test]
    fn a_limit_of_the_server_is_not_a_slow_node() {
        let limit = "[2026-08-19 12:21:51.588] [error] Limit reached: Too many requests received.";
        assert!(matches!(read("", limit), Reading::FarEnd(_)));
        let log =
            r#"{"type":"log","message":"Configuration - No servers defined (NoServersException)","level":"error"}"#;
        assert!(matches!(read(log, ""), Reading::FarEnd(_)));
        let unreachable = r#"{"type":"log","message":"Error: [0] Timeout occurred in connect.","level":"error"}"#;
        assert!(matches!(read(unreachable, ""), Reading::Unreachable(_)));
    }

    #[test]
    fn a_cut_result_is_cut_and_an_empty_one_is_nothing() {
        assert_eq!(read(&RESULT[..60], ""), Reading::Cut);
        assert_eq!(read("", ""), Reading::Nothing);
    }
}
