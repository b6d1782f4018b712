//! Files of the run directory, which the agent writes for the exporter: names and formats, one line
//! each.

use jiff::Timestamp;

/// The run directory of both programs.
pub const RUN_DIR: &str = "/run/ossci";
/// The exporter's probe socket.
pub const PROBE_SOCKET: &str = "/run/ossci/exporter.sock";
/// Time until which the periodic checks are paused, in RFC 3339. A forgotten pause expires.
pub const PAUSE: &str = "pause";
/// Expected number of GPUs of the node.
pub const INVENTORY: &str = "inventory";

/// Formats the content of a pause file.
pub fn pause_text(until: Timestamp) -> String {
    format!("{until}\n")
}

/// Parses the content of a pause file.
///
/// # Errors
/// A sentence that states the expected content.
pub fn parse_pause(text: &str) -> Result<Timestamp, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("the pause file must hold one RFC 3339 time, it holds {:.40?}", text.trim()))
}

/// Formats the content of an inventory file.
pub fn inventory_text(gpus: u32) -> String {
    format!("{gpus}\n")
}

/// Upper limit of a plausible number; a larger one is a typing error.
const MOST_GPUS: u32 = 1024;

/// Parses the content of an inventory file.
///
/// # Errors
/// A sentence that states the expected content.
pub fn parse_inventory(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(gpus) if gpus <= MOST_GPUS => Ok(gpus),
        _ => Err(format!("the inventory file must hold one number up to {MOST_GPUS}, it holds {:.40?}", text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exporter_reads_what_the_agent_writes() {
        let until: Timestamp = "2026-11-22T12:00:01Z".parse().unwrap();
        assert_eq!(parse_pause(&pause_text(until)), Ok(until));
        assert_eq!(parse_inventory(&inventory_text(8)), Ok(8));
    }

    #[test]
    fn a_bad_file_is_refused() {
        for bad in ["", "tomorrow", "2026-11-22", "1795348989"] {
            assert!(parse_pause(bad).is_err(), "{bad}");
        }
        for bad in ["", "eight", "8 9", "-1", "99999"] {
            assert!(parse_inventory(bad).is_err(), "{bad}");
        }
    }
}
