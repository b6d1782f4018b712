//! Pure: `iperf3 -J`, 3.7 to 3.21: one JSON document on success and on failure alike; a failure has a key `error`, and 3.12 exits
//! with 0 all the same. Decides nothing.

use super::{Document, Output, Parsed, Reading, first_document, number, plain, quote};
use crate::verdict::{Facts, Transfer};
use serde_json::Value;

/// Bytes of one run: 8 MiB end a test of a sound network within a second and cannot fill a fabric even when a fleet runs it.
const BYTES: &str = "8M";
/// Milliseconds until an unanswered connection is given up; without it iperf3 waits for the kernel, minutes.
const CONNECT_TIMEOUT: &str = "3000";
/// Seconds between two looks of iperf3 at its own progress. Releases from 3.16 on notice the end of a test only then, and the second
/// that is the default would turn 8 MiB into at most 67 Mbit/s.
const LOOK: &str = "0.1";

/// The arguments of one run. The direction is always towards this node (`-R`): two directions in turn would let a pass of one reset
/// the strikes of the other, and three failures in a row of a half-broken link would never come.
pub fn arguments(host: &str, port: u16) -> Vec<String> {
    let port = port.to_string();
    ["-c", host, "-p", &port, "-J", "--connect-timeout", CONNECT_TIMEOUT, "-n", BYTES, "-R", "-i", LOOK]
        .map(str::to_string)
        .to_vec()
}

/// Reads one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    match first_document(&stdout) {
        Document::Whole { value, .. } => document(&value).into(),
        Document::Cut => Reading::Cut.into(),
        Document::Absent if stdout.trim().is_empty() && stderr.trim().is_empty() => Reading::Nothing.into(),
        Document::Absent if stdout.trim().is_empty() => Reading::Foreign(quote(&stderr)).into(),
        Document::Absent => Reading::Foreign(quote(&stdout)).into(),
    }
}

fn document(value: &Value) -> Reading {
    let transfer = transfer(value);
    match (value.get("error").and_then(Value::as_str), transfer) {
        (Some(error), transfer) => failure(error, value, transfer),
        (None, Some(transfer)) if transfer.bytes > 0.0 => Reading::Whole(Facts::Network(transfer)),
        (None, _) => Reading::Foreign("a JSON object without a received volume".to_string()),
    }
}

/// What an error text says about. Only what names this node's way to the server counts against the network.
fn failure(error: &str, value: &Value, transfer: Option<Transfer>) -> Reading {
    let said = quote(error);
    let has = |words: &[&str]| words.iter().any(|word| error.contains(word));
    if has(&["interrupt - the client has terminated"]) {
        let connected = value.pointer("/start/connected").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        return match transfer {
            Some(transfer) if connected => Reading::Unfinished(Facts::Network(transfer)),
            _ if connected => Reading::Unreachable("connected, but nothing arrived".to_string()),
            _ => Reading::FarEnd("the server accepted the connection and stayed silent".to_string()),
        };
    }
    let unreachable = [
        "timed out",
        "No route to host",
        "Network is unreachable",
        "Network is down",
        "Operation now in progress",
        "idle timeout",
    ];
    let far_end = [
        "server is busy",
        "Connection refused",
        "Connection reset by peer",
        "Broken pipe",
        "control socket has closed",
        "server has terminated",
        "unknown control message",
        "Resource temporarily unavailable",
        "Name or service not known",
        "Temporary failure in name resolution",
        "No address associated with hostname",
        "try again later",
    ];
    if has(&unreachable) {
        Reading::Unreachable(said)
    } else if has(&far_end) {
        Reading::FarEnd(said)
    } else {
        Reading::Foreign(said)
    }
}

/// What arrived. In an interrupted test the sum at the end may be zero while the intervals are not.
fn transfer(value: &Value) -> Option<Transfer> {
    let end = value.get("end")?;
    let sum = end.get("sum_received").or_else(|| end.get("sum"))?;
    let field = |of: &Value, name: &str| of.get(name).and_then(|value| number(value).ok().flatten());
    let seconds = field(sum, "seconds")?;
    let mut bytes = field(sum, "bytes")?;
    let mut download_bits_per_second = field(sum, "bits_per_second")?;
    if bytes <= 0.0 && seconds > 0.0 {
        let intervals = value.get("intervals").and_then(Value::as_array);
        bytes = intervals.into_iter().flatten().filter_map(|interval| field(interval.get("sum")?, "bytes")).sum();
        download_bits_per_second = bytes * 8.0 / seconds;
    }
    let server = value.pointer("/start/connecting_to").and_then(|to| {
        let host = to.get("host")?.as_str()?;
        Some(format!("{host}:{}", to.get("port")?))
    });
    let retransmits = end.get("sum_sent").and_then(|sent| field(sent, "retransmits"));
    Some(Transfer { download_bits_per_second, bytes, seconds, retransmits, server })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Exit;

    fn read(stdout: &str) -> Reading {
        parse(Output { stdout: stdout.as_bytes(), stderr: b"", exit: Exit::Status(0) }).reading
    }

    #[test]
    fn the_exporters_own_run_gives_what_arrived() {
        let Reading::Whole(Facts::Network(transfer)) =
            read(include_str!("../../testdata/iperf3/312-ok-reverse-bytes.json"))
        else {
            panic!("not whole");
        };
        assert_eq!(transfer.bytes, 8_388_608.0);
        assert_eq!(transfer.server.as_deref(), Some("127.0.0.1:15201"));
        assert!(transfer.download_bits_per_second > 1e9);
    }

    #[test]
    fn a_test_ended_by_our_deadline_keeps_what_had_arrived() {
        let Reading::Unfinished(Facts::Network(transfer)) =
            read(include_str!("../../testdata/iperf3/312-slow-until-sigterm.json"))
        else {
            panic!("not unfinished");
        };
        assert!(transfer.bytes > 0.0 && transfer.download_bits_per_second < 3e6);
    }

    #[test]
    fn busy_refused_and_unresolved_are_the_far_end() {
        for stdout in [
            include_str!("../../testdata/iperf3/312-busy.json"),
            include_str!("../../testdata/iperf3/37-refused.json"),
            include_str!("../../testdata/iperf3/320-refused.json"),
            include_str!("../../testdata/iperf3/312-dns-fail.json"),
            include_str!("../../testdata/iperf3/312-blackhole.json"),
        ] {
            let reading = read(stdout);
            assert!(matches!(reading, Reading::FarEnd(_)), "{reading:?}");
        }
    }

    #[test]
    fn an_unreachable_server_is_the_network() {
        for error in [
            "unable to connect to server: Connection timed out",
            "error - unable to connect to server: No route to host",
        ] {
            let reading = read(&format!("{{\"start\": {{}}, \"error\": \"{error}\"}}"));
            assert!(matches!(reading, Reading::Unreachable(_)), "{reading:?}");
        }
    }

    #[test]
    fn an_unknown_error_is_not_blamed_on_the_network() {
        assert!(matches!(read(r#"{"error": "the moon is full"}"#), Reading::Foreign(_)));
        assert!(matches!(read(r#"{"end": {}}"#), Reading::Foreign(_)));
    }

    #[test]
    fn the_test_runs_towards_this_node() {
        let arguments = arguments("speed.example", 5203);
        assert_eq!(arguments[..4], ["-c", "speed.example", "-p", "5203"]);
        assert!(arguments.contains(&"-R".to_string()));
    }
}
