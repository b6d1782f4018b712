//! Any bytes at all as the output of one tool: its parser returns, and never panics.
//! `OSSCI_FUZZ_TOOL` names the tool.
#![no_main]

use std::sync::LazyLock;

use ossci_exporter::parse::ToolName;

static TOOL: LazyLock<ToolName> = LazyLock::new(|| {
    let name = std::env::var("OSSCI_FUZZ_TOOL").expect("OSSCI_FUZZ_TOOL names the tool, such as rocm-smi");
    ToolName::from_name(&name).unwrap_or_else(|| panic!("{name} is not in exporter/src/parse/tools.rs"))
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| ossci_exporter_fuzz::check(*TOOL, data));
