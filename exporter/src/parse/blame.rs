//! Classification of the error text of a network test. Only an error on this node's path to the
//! server counts against the network. A server that is busy, unknown or refusing proves nothing
//! about this node. Pure; knows no format.

use super::output::Reading;
use super::text::quote;

/// Errors that mean that the node has no network.
const UNREACHABLE: [&str; 8] = [
    "timed out",
    "timeout occurred",
    "no route to host",
    "network is unreachable",
    "network is down",
    "operation now in progress",
    "idle timeout",
    "host is unreachable",
];

/// Errors of the server, its name, or whatever is in front of it.
const FAR_END: [&str; 40] = [
    "server is busy",
    "connection refused",
    "connection reset by peer",
    "broken pipe",
    "control socket has closed",
    "server has terminated",
    "unknown control message",
    "resource temporarily unavailable",
    "name or service not known",
    "temporary failure in name resolution",
    "no address associated with hostname",
    "try again later",
    "couldn't resolve host",
    "no such host",
    "hostnotfound",
    "getaddrinfo failed",
    "cannot retrieve configuration",
    "could not retrieve or read configuration",
    "cannot retrieve speedtest configuration",
    "limit reached",
    "too many requests",
    "http error 4",
    "http error 5",
    "failed to find a working test server",
    "no servers defined",
    "unable to connect to servers",
    "no matched servers",
    "no server is currently available",
    "not responding at the moment",
    "malformed speedtest.net configuration",
    "ssl connect error",
    "certificate verify failed",
    "tls: ",
    "x509: ",
    "unexpected eof",
    "connection aborted",
    "protocol error",
    "server returned",
    "server error",
    "bad gateway",
];

/// Returns the reading of a test that failed with this text; `None` if it matches neither list.
pub fn blame(text: &str) -> Option<Reading> {
    let lower = text.to_ascii_lowercase();
    let line = |words: &[&str]| {
        let at = words.iter().filter_map(|word| lower.find(word)).min()?;
        // Lower case in ASCII keeps all byte offsets.
        let from = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        Some(quote(&text[from..]))
    };
    line(&UNREACHABLE).map(Reading::Unreachable).or_else(|| line(&FAR_END).map(Reading::FarEnd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_is_recognised_and_its_line_is_quoted() {
        assert_eq!(
            blame("a\nunable to connect to server: Connection refused\nb"),
            Some(Reading::FarEnd("unable to connect to server: Connection refused".to_string()))
        );
        let unreachable = blame("dial udp: connect: network is unreachable");
        assert!(matches!(unreachable, Some(Reading::Unreachable(_))), "{unreachable:?}");
        assert_eq!(blame("unrecognized option"), None);
    }
}
