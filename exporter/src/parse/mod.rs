//! Parsers of tool output, one per tool. Pure: a parser never panics, never does I/O, takes linear
//! time and decides nothing. It reports how far the output can be read; [`crate::judge`] decides
//! what that means for the node.

pub mod amd_smi;
mod amd_smi_fields;
mod amd_smi_health;
mod amd_smi_keys;
mod amd_smi_text;
mod blame;
mod devices;
mod documents;
pub mod iperf3;
mod leaf;
mod librespeed_cli;
mod output;
mod rocm_smi;
mod rocm_smi_fields;
mod rocm_smi_json;
mod rocm_smi_text;
mod rocminfo;
mod speedtest;
mod speedtest_cli;
pub mod text;
mod tools;

pub use self::output::{Output, Parsed, Reading};
pub use self::tools::{FarEnd, ToolName};

/// Parses the output of a tool.
pub fn parse(tool: ToolName, output: Output<'_>) -> Parsed {
    let mut parsed = tool.read(output);
    bound(&mut parsed.not_understood);
    parsed
}

/// Maximum number of reported items per output; more would only fill the log.
const COMPLAINTS: usize = 50;

fn bound(not_understood: &mut Vec<String>) {
    let more = not_understood.len().saturating_sub(COMPLAINTS);
    if more > 0 {
        not_understood.truncate(COMPLAINTS);
        not_understood.push(format!("and {more} more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_reported_items_is_limited() {
        let mut complaints = vec![String::new(); 1000];
        bound(&mut complaints);
        assert_eq!((complaints.len(), complaints[50].as_str()), (51, "and 950 more"));
    }
}
