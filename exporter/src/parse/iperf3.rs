//! Parser of `iperf3 -J`, 3.7 to 3.21: one JSON document, on success and on failure. A failure has
//! the key `error`; 3.12 exits with 0 even then. `--json-stream` prints the same parts as events,
//! one per line. Decides nothing.

use super::blame::blame;
use super::documents::{Wanted, documents};
use super::leaf::number;
use super::output::{Output, Parsed, Reading};
use super::text::{plain, quote};
use crate::facts::{Facts, Transfer};
use serde_json::{Map, Value};
use std::time::Duration;

/// Report interval of iperf3, in seconds. Releases from 3.16 on notice the end of a test only then:
/// with the default of one second, 8 MiB would give at most 67 Mbit/s.
const LOOK: &str = "0.1";

/// Returns the arguments of one run. Its volume is limited: 8 MiB take less than a second on a
/// healthy network, and cannot fill a fabric even if a whole fleet runs it. The direction is always
/// towards this node (`-R`). If directions alternated, a pass of one would reset the strikes of the
/// other, and a link broken in one direction would never fail three times in a row.
pub fn arguments(host: &str, port: u16, bytes: &str, connect: Duration) -> Vec<String> {
    let (port, connect) = (port.to_string(), connect.as_millis().to_string());
    ["-c", host, "-p", &port, "-J", "--connect-timeout", &connect, "-n", bytes, "-R", "-i", LOOK]
        .map(str::to_string)
        .to_vec()
}

/// Parses one run.
pub fn parse(output: Output<'_>) -> Parsed {
    let stdout = plain(output.stdout);
    let stderr = plain(output.stderr);
    let found = documents(&stdout, Wanted::All);
    let mut not_understood = Vec::new();
    let reading = match found.whole.first() {
        Some(first) if first.get("event").is_some() => {
            let joined = joined(found.whole);
            match joined.get("end").is_some() || joined.get("error").is_some() {
                true => document(&joined),
                false => Reading::Cut,
            }
        }
        Some(Value::Object(_)) => {
            if found.rest > 0 || found.whole.len() > 1 {
                not_understood.push("more than one document".to_string());
            }
            document(&found.whole[0])
        }
        _ if found.cut => Reading::Cut,
        _ => without_document(&stdout, &stderr),
    };
    Parsed { reading, not_understood }
}

fn without_document(stdout: &str, stderr: &str) -> Reading {
    let said = if stdout.trim().is_empty() { stderr } else { stdout };
    // The usage text mentions timeouts too.
    if stderr.contains("Usage: iperf") {
        return Reading::Foreign(quote(said));
    }
    match (stdout.trim().is_empty(), stderr.trim().is_empty()) {
        (true, true) => Reading::Nothing,
        _ => blame(stderr).unwrap_or_else(|| Reading::Foreign(quote(said))),
    }
}

/// Joins the events of a stream into the document that `-J` prints.
fn joined(events: Vec<Value>) -> Value {
    let mut document = Map::new();
    let mut intervals = Vec::new();
    for mut event in events {
        // Moved, not copied: the intervals are nearly all of the output.
        let Some(data) = event.get_mut("data").map(Value::take) else { continue };
        match event.get("event").and_then(Value::as_str) {
            Some("interval") => intervals.push(data),
            Some(part) => {
                document.insert(part.to_string(), data);
            }
            None => {}
        }
    }
    document.insert("intervals".to_string(), Value::Array(intervals));
    Value::Object(document)
}

fn document(value: &Value) -> Reading {
    let transfer = transfer(value);
    match (value.get("error").and_then(Value::as_str), transfer) {
        (Some(error), transfer) => failure(error, value, transfer),
        (None, Some(Transfer { loss_ratio: Some(loss), .. })) if loss > 1.0 => {
            Reading::Foreign(format!("{:.1} % of the packets lost", loss * 1e2))
        }
        (None, Some(transfer)) if transfer.bytes.is_some_and(|bytes| bytes > 0.0) => {
            Reading::Whole(Facts::Network(transfer))
        }
        (None, _) => Reading::Foreign("a JSON object without a received volume".to_string()),
    }
}

/// Classifies an error text. Only an error on this node's path to the server counts against the
/// network.
fn failure(error: &str, value: &Value, transfer: Option<Transfer>) -> Reading {
    if error.contains("interrupt - the client has terminated") {
        let connected = value.pointer("/start/connected").and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        return match transfer {
            Some(transfer) if connected => Reading::Unfinished(Facts::Network(transfer)),
            _ if connected => Reading::Unreachable("connected, but nothing arrived".to_string()),
            _ => Reading::FarEnd("the server accepted the connection and stayed silent".to_string()),
        };
    }
    blame(error).unwrap_or_else(|| Reading::Foreign(quote(error)))
}

/// Returns what was received at either end. It is this node's upload unless the test was reversed;
/// a bidirectional test has both directions.
fn transfer(value: &Value) -> Option<Transfer> {
    let end = value.get("end")?;
    let udp = end.get("sum");
    let loss_ratio = udp.and_then(|sum| field(sum, "lost_percent")).map(|percent| percent / 100.0);
    let first = match end.get("sum_received") {
        Some(received) => Way::of(value, received, "sum")?,
        // Before 3.10 the sum of a UDP test is what was sent.
        None => Way::of(value, udp?, "sum")?.arrived(1.0 - loss_ratio.unwrap_or(0.0)),
    };
    let second = end.get("sum_received_bidir_reverse").and_then(|sum| Way::of(value, sum, "sum_bidir_reverse"));
    let reversed = value.pointer("/start/test_start/reverse").and_then(Value::as_f64) == Some(1.0);
    let (download, upload) = match (second, reversed) {
        (Some(second), false) => (Some(second), Some(first)),
        (None, false) => (None, Some(first)),
        (second, true) => (Some(first), second),
    };
    let server = value.pointer("/start/connecting_to").and_then(|to| {
        let host = to.get("host")?.as_str()?;
        Some(format!("{host}:{}", to.get("port")?))
    });
    let ways = [&download, &upload];
    Some(Transfer {
        download_bits_per_second: download.as_ref().map(|way| way.bits_per_second),
        upload_bits_per_second: upload.as_ref().map(|way| way.bits_per_second),
        latency_seconds: round_trip(end),
        jitter_seconds: udp.and_then(|sum| field(sum, "jitter_ms")).map(|ms| ms / 1e3),
        loss_ratio,
        bytes: ways.iter().filter_map(|way| Some(way.as_ref()?.bytes)).reduce(|one, two| one + two),
        seconds: ways.iter().filter_map(|way| Some(way.as_ref()?.seconds)).reduce(f64::max),
        retransmits: end.get("sum_sent").and_then(|sent| field(sent, "retransmits")),
        server,
    })
}

/// One direction.
struct Way {
    bits_per_second: f64,
    bytes: f64,
    seconds: f64,
}

impl Way {
    /// Uses the intervals if the sum is zero, which happens in an interrupted test.
    fn of(value: &Value, sum: &Value, name: &str) -> Option<Way> {
        let seconds = field(sum, "seconds")?;
        let mut bytes = field(sum, "bytes")?;
        let mut bits_per_second = field(sum, "bits_per_second")?;
        if bytes <= 0.0 && seconds > 0.0 {
            let intervals = value.get("intervals").and_then(Value::as_array);
            bytes = intervals.into_iter().flatten().filter_map(|interval| field(interval.get(name)?, "bytes")).sum();
            bits_per_second = bytes * 8.0 / seconds;
        }
        let sound = [bytes, seconds, bits_per_second].iter().all(|number| number.is_finite() && *number >= 0.0);
        sound.then_some(Way { bits_per_second, bytes, seconds })
    }

    /// Returns the part of it that arrived.
    fn arrived(self, ratio: f64) -> Way {
        let ratio = ratio.clamp(0.0, 1.0);
        Way { bits_per_second: self.bits_per_second * ratio, bytes: self.bytes * ratio, ..self }
    }
}

fn field(of: &Value, name: &str) -> Option<f64> {
    number(of.get(name)?).ok().flatten().filter(|number| number.is_finite() && *number >= 0.0)
}

/// Returns the round-trip time in seconds. Only the sending side of a TCP test reports it, in
/// microseconds; 0 means that it was not measured.
fn round_trip(end: &Value) -> Option<f64> {
    let streams = end.get("streams")?.as_array()?;
    let means = streams.iter().filter_map(|stream| field(stream.get("sender")?, "mean_rtt"));
    means.filter(|mean| *mean > 0.0).reduce(f64::max).map(|microseconds| microseconds / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::Exit;

    fn read(stdout: &str) -> Reading {
        parse(Output { stdout: stdout.as_bytes(), stderr: b"", exit: Exit::Status(0) }).reading
    }

    #[test]
    fn the_exporters_own_run_gives_the_download() {
        let Reading::Whole(Facts::Network(transfer)) =
            read(include_str!("../../testdata/iperf3/312-ok-reverse-bytes.json"))
        else {
            panic!("not whole");
        };
        assert_eq!((transfer.bytes, transfer.upload_bits_per_second), (Some(8_388_608.0), None));
        assert_eq!(transfer.server.as_deref(), Some("127.0.0.1:15201"));
        assert!(transfer.download_bits_per_second > Some(1e9));
    }

    #[test]
    fn a_test_ended_at_the_deadline_keeps_what_had_arrived() {
        let Reading::Unfinished(Facts::Network(transfer)) =
            read(include_str!("../../testdata/iperf3/312-slow-until-sigterm.json"))
        else {
            panic!("not unfinished");
        };
        assert!(transfer.bytes > Some(0.0) && transfer.download_bits_per_second < Some(3e6));
    }

    #[test]
    fn a_test_away_from_this_node_is_an_upload_and_udp_has_loss() {
        let Reading::Whole(Facts::Network(udp)) = read(include_str!("../../testdata/iperf3/312-ok-udp.json")) else {
            panic!("not whole");
        };
        assert_eq!((udp.download_bits_per_second, udp.loss_ratio), (None, Some(0.0)));
        assert!(udp.upload_bits_per_second > Some(5e7) && udp.jitter_seconds.is_some());
    }

    #[test]
    fn a_stream_of_events_is_the_same_as_one_document() {
        let end = r#"{"event":"end","data":{"sum_received":{"seconds":1,"bytes":100,"bits_per_second":800}}}"#;
        let start = r#"{"event":"start","data":{"test_start":{"reverse":1}}}"#;
        let Reading::Whole(Facts::Network(transfer)) = read(&format!("{start}\n{end}\n")) else { panic!("not whole") };
        assert_eq!(transfer.download_bits_per_second, Some(800.0));
        assert_eq!(read(&format!("{start}\n")), Reading::Cut);
        let error = r#"{"event":"error","data":"unable to connect to server: Connection refused"}"#;
        assert!(matches!(read(&format!("{start}\n{error}\n")), Reading::FarEnd(_)));
    }

    #[test]
    fn busy_refused_and_unresolved_are_server_trouble() {
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
    fn an_unreachable_server_is_a_network_failure() {
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
        let arguments = arguments("speed.example", 5203, "8M", Duration::from_secs(3));
        assert_eq!(arguments[..4], ["-c", "speed.example", "-p", "5203"]);
        assert!(arguments.contains(&"-R".to_string()));
    }
}
