//! Verdicts and their reasons: the closed words for the result of a run. No parsing, no judging, no
//! I/O.

/// A health check of this node. The names are label values and part of the contract with the alert
/// rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    RocmSmi,
    AmdSmi,
    Rocminfo,
    Network,
}

impl Check {
    pub const ALL: [Check; 4] = [Check::RocmSmi, Check::AmdSmi, Check::Rocminfo, Check::Network];

    pub fn as_str(self) -> &'static str {
        match self {
            Check::RocmSmi => "rocm-smi",
            Check::AmdSmi => "amd-smi",
            Check::Rocminfo => "rocminfo",
            Check::Network => "network",
        }
    }

    pub fn from_name(name: &str) -> Option<Check> {
        Check::ALL.into_iter().find(|check| check.as_str() == name)
    }
}

/// Result of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// The node is at fault: a strike.
    Failed(Fault),
    /// The run proves nothing about the node: neither a strike nor a pass.
    Unknown(Trouble),
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed(_) => "failed",
            Verdict::Unknown(_) => "unknown",
        }
    }

    /// Returns the reason as one word; `None` for a pass.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::Passed => None,
            Verdict::Failed(fault) => Some(fault.as_str()),
            Verdict::Unknown(trouble) => Some(trouble.as_str()),
        }
    }
}

/// Why a run failed. The list is closed: dashboards and mails use these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    ExitStatus,
    Timeout,
    Hung,
    OutputLimit,
    Unparsable,
    MissingTool,
    DriverNotLoaded,
    GpuMissing,
    GpuNotResponding,
    OverTemperature,
    EccUncorrectable,
    BadPages,
    NetworkSlow,
    NetworkLossy,
    NetworkUnreachable,
}

impl Fault {
    pub const ALL: [Fault; 15] = [
        Fault::ExitStatus,
        Fault::Timeout,
        Fault::Hung,
        Fault::OutputLimit,
        Fault::Unparsable,
        Fault::MissingTool,
        Fault::DriverNotLoaded,
        Fault::GpuMissing,
        Fault::GpuNotResponding,
        Fault::OverTemperature,
        Fault::EccUncorrectable,
        Fault::BadPages,
        Fault::NetworkSlow,
        Fault::NetworkLossy,
        Fault::NetworkUnreachable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Fault::ExitStatus => "exit-status",
            Fault::Timeout => "timeout",
            Fault::Hung => "hung",
            Fault::OutputLimit => "output-limit",
            Fault::Unparsable => "unparsable",
            Fault::MissingTool => "missing-tool",
            Fault::DriverNotLoaded => "driver-not-loaded",
            Fault::GpuMissing => "gpu-missing",
            Fault::GpuNotResponding => "gpu-not-responding",
            Fault::OverTemperature => "over-temperature",
            Fault::EccUncorrectable => "ecc-uncorrectable",
            Fault::BadPages => "bad-pages",
            Fault::NetworkSlow => "network-slow",
            Fault::NetworkLossy => "network-lossy",
            Fault::NetworkUnreachable => "network-unreachable",
        }
    }
}

/// Why a run proves nothing about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// A problem of the exporter: no such tool, no permission, an output in an unknown format.
    OwnTrouble,
    /// A problem of the server of a network test.
    TargetTrouble,
}

impl Trouble {
    pub fn as_str(self) -> &'static str {
        match self {
            Trouble::OwnTrouble => "own-trouble",
            Trouble::TargetTrouble => "target-trouble",
        }
    }
}

/// A verdict and one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    pub detail: String,
}
