//! Fuzz target: any bytes as the output of `iperf3`. The parser returns and never panics.
#![no_main]

use ossci_exporter::parse::ToolName;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ossci_exporter_fuzz::check(ToolName::Iperf3, data));
