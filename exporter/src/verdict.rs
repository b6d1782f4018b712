//! Pure: the words for what a run of a check found. No parsing, no judging, no I/O.

use jiff::Timestamp;

/// A health check of this node. The names are label values and part of the contract with the alert rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    RocmSmi,
    Rocminfo,
    Network,
}

impl Check {
    pub const ALL: [Check; 3] = [Check::RocmSmi, Check::Rocminfo, Check::Network];

    pub fn as_str(self) -> &'static str {
        match self {
            Check::RocmSmi => "rocm-smi",
            Check::Rocminfo => "rocminfo",
            Check::Network => "network",
        }
    }

    pub fn from_name(name: &str) -> Option<Check> {
        Check::ALL.into_iter().find(|check| check.as_str() == name)
    }
}

/// What one run says about the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// The node is at fault: a strike.
    Failed(Fault),
    /// Nothing was learned about the node: neither a strike nor a pass.
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

    /// The one word that says why; none for a pass.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::Passed => None,
            Verdict::Failed(fault) => Some(fault.as_str()),
            Verdict::Unknown(trouble) => Some(trouble.as_str()),
        }
    }
}

/// Why a run failed. Closed: dashboards and mails know each word.
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
    NetworkSlow,
    NetworkFailed,
}

impl Fault {
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
            Fault::NetworkSlow => "network-slow",
            Fault::NetworkFailed => "network-failed",
        }
    }
}

/// Why a run says nothing about this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The exporter's own: no such tool, no permission, an output that it does not understand.
    OwnTrouble,
    /// The far end of a network test.
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

/// What a tool said about the node, whatever it means.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Physical GPUs in bus order.
    Gpus(Vec<Gpu>),
    Network(Transfer),
}

impl Facts {
    /// The GPUs; none of a network test.
    pub fn gpus(&self) -> Option<&[Gpu]> {
        match self {
            Facts::Gpus(gpus) => Some(gpus),
            Facts::Network(_) => None,
        }
    }
}

/// One physical GPU: its partitions share a bus address up to the function digit and are counted here, not listed.
/// What the tool did not say is `None`, never zero: a dead GPU must not look like an idle one.
#[derive(Debug, Clone, PartialEq)]
pub struct Gpu {
    /// `domain:bus:device.function`, lower case.
    pub pci_bus: Option<String>,
    /// `0x` and 16 hexadecimal digits.
    pub unique_id: Option<String>,
    pub serial: Option<String>,
    pub name: Option<String>,
    pub temperature_celsius: Temperatures,
    pub power_watts: Option<f64>,
    /// Busy share, 0 to 1.
    pub use_ratio: Option<f64>,
    /// Allocated share of the memory, 0 to 1.
    pub memory_use_ratio: Option<f64>,
    pub memory_used_bytes: Option<f64>,
    pub memory_total_bytes: Option<f64>,
    /// 1 when the GPU is not partitioned.
    pub partitions: u32,
}

impl Default for Gpu {
    fn default() -> Gpu {
        Gpu {
            pci_bus: None,
            unique_id: None,
            serial: None,
            name: None,
            temperature_celsius: Temperatures::default(),
            power_watts: None,
            use_ratio: None,
            memory_use_ratio: None,
            memory_used_bytes: None,
            memory_total_bytes: None,
            partitions: 1,
        }
    }
}

impl Gpu {
    /// Whether the management controller of the GPU answers: a dead one gives neither a temperature nor a power.
    pub fn responds(&self) -> bool {
        self.temperature_celsius != Temperatures::default() || self.power_watts.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Temperatures {
    pub edge: Option<f64>,
    pub junction: Option<f64>,
    pub memory: Option<f64>,
}

/// One network transfer from the test server to this node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transfer {
    pub download_bits_per_second: f64,
    pub bytes: f64,
    pub seconds: f64,
    pub retransmits: Option<f64>,
    /// `host:port` of the far end.
    pub server: Option<String>,
}

/// One run of one check, finished.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub check: Check,
    pub started_at: Timestamp,
    /// From start to verdict, by the monotonic clock.
    pub seconds: f64,
    pub judgement: Judgement,
    pub facts: Option<Facts>,
    pub not_understood: Vec<String>,
}

impl Run {
    pub fn verdict(&self) -> Verdict {
        self.judgement.verdict
    }
}
