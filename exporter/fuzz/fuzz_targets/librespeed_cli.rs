//! Fuzz target: any bytes as the output of `librespeed-cli`. The parser returns and never panics.
#![no_main]

use ossci_exporter::parse::ToolName;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ossci_exporter_fuzz::check(ToolName::LibrespeedCli, data));
