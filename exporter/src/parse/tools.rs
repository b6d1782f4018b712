//! The table of the tools whose output is understood. A new tool is a parser in a file of its own, and a row here.

use super::output::{Output, Parsed};
use super::{amd_smi, iperf3, librespeed_cli, rocm_smi, rocminfo, speedtest, speedtest_cli};
use crate::verdict::Check;

/// One row: variant, name, check, whether its far end is public, the calls of one run, the parser.
macro_rules! tools {
    ($($(#[$about:meta])* $tool:ident = $name:literal, $check:ident, $far_end:ident, $calls:expr, $parse:path;)+) => {
        /// A program whose output is understood. A check runs one of them; the network check has a choice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ToolName { $($(#[$about])* $tool),+ }

        impl ToolName {
            pub const ALL: &'static [Self] = &[$(Self::$tool),+];

            /// The name of the program.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$tool => $name),+ }
            }

            /// The check that this tool is run for.
            pub fn check(self) -> Check {
                match self { $(Self::$tool => Check::$check),+ }
            }

            /// Where a network test goes.
            pub fn far_end(self) -> FarEnd {
                match self { $(Self::$tool => FarEnd::$far_end),+ }
            }

            /// The calls of one run; none for a tool whose arguments depend on the configuration.
            pub fn calls(self) -> &'static [&'static [&'static str]] {
                match self { $(Self::$tool => $calls),+ }
            }

            pub(super) fn read(self, output: Output<'_>) -> Parsed {
                match self { $(Self::$tool => $parse(output)),+ }
            }
        }
    };
}

tools! {
    RocmSmi = "rocm-smi", RocmSmi, Nowhere, &[&rocm_smi::ARGUMENTS], rocm_smi::parse;
    AmdSmi = "amd-smi", AmdSmi, Nowhere, &amd_smi::CALLS, amd_smi::parse;
    Rocminfo = "rocminfo", Rocminfo, Nowhere, &[&rocminfo::ARGUMENTS], rocminfo::parse;
    /// Ookla's.
    Speedtest = "speedtest", Network, Public, &[&speedtest::ARGUMENTS], speedtest::parse;
    SpeedtestCli = "speedtest-cli", Network, Public, &[&speedtest_cli::ARGUMENTS], speedtest_cli::parse;
    LibrespeedCli = "librespeed-cli", Network, Public, &[&librespeed_cli::ARGUMENTS], librespeed_cli::parse;
    Iperf3 = "iperf3", Network, OfTheSite, &[], iperf3::parse;
}

/// The far end of a tool's test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarEnd {
    /// The tool does not test the network.
    Nowhere,
    /// A server that the site names.
    OfTheSite,
    /// A server outside of the site, where others pay for each test.
    Public,
}

impl ToolName {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tool| tool.as_str() == name)
    }

    /// Whether the far end lies outside of the site.
    pub fn is_public(self) -> bool {
        self.far_end() == FarEnd::Public
    }

    /// The names of the tools of one check, for messages: `iperf3 or speedtest`.
    pub fn names(of: impl Fn(Self) -> bool) -> String {
        let names: Vec<&str> = Self::ALL.iter().filter(|tool| of(**tool)).map(|tool| tool.as_str()).collect();
        match names.as_slice() {
            [front @ .., last] if !front.is_empty() => format!("{} or {last}", front.join(", ")),
            names => names.concat(),
        }
    }
}
