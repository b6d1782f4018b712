//! Table of the supported tools. A new tool needs a parser in its own file, and a row here.

use super::output::{Output, Parsed};
use super::{amd_smi, iperf3, librespeed_cli, rocm_smi, rocminfo, speedtest, speedtest_cli};
use crate::verdict::Check;

/// One row: variant, name, check, location of the server, the calls of one run, the parser.
macro_rules! tools {
    ($($(#[$about:meta])* $tool:ident = $name:literal, $check:ident, $far_end:ident, $calls:expr, $parse:path;)+) => {
        /// A tool with a parser. A check runs one of them; the network check has a choice.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ToolName { $($(#[$about])* $tool),+ }

        impl ToolName {
            pub const ALL: &'static [Self] = &[$(Self::$tool),+];

            /// Returns the name of the program.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$tool => $name),+ }
            }

            /// Returns the check that runs this tool.
            pub fn check(self) -> Check {
                match self { $(Self::$tool => Check::$check),+ }
            }

            /// Returns where the server of a network test is.
            pub fn far_end(self) -> FarEnd {
                match self { $(Self::$tool => FarEnd::$far_end),+ }
            }

            /// Returns the calls of one run; empty for a tool whose arguments depend on the
            /// configuration.
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

/// Location of the server of a tool's test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarEnd {
    /// The tool does not test the network.
    Nowhere,
    /// A server that the configuration names.
    OfTheSite,
    /// A server outside of the site, whose operator pays for each test.
    Public,
}

impl ToolName {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|tool| tool.as_str() == name)
    }

    /// Returns whether the server is outside of the site.
    pub fn is_public(self) -> bool {
        self.far_end() == FarEnd::Public
    }

    /// Returns the names of the selected tools, for messages: `iperf3 or speedtest`.
    pub fn names(of: impl Fn(Self) -> bool) -> String {
        let names: Vec<&str> = Self::ALL.iter().filter(|tool| of(**tool)).map(|tool| tool.as_str()).collect();
        match names.as_slice() {
            [front @ .., last] if !front.is_empty() => format!("{} or {last}", front.join(", ")),
            names => names.concat(),
        }
    }
}
