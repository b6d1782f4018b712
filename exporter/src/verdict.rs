//! Pure: the words for what a run of a check found. No parsing, no judging, no I/O.

use jiff::Timestamp;

/// A health check of this node. The names are label values and part of the contract with the alert rules.
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

/// A program whose output is understood. A check runs one of them; the network check has a choice of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ToolName {
    RocmSmi,
    AmdSmi,
    Rocminfo,
    /// Ookla's.
    Speedtest,
    SpeedtestCli,
    LibrespeedCli,
    Iperf3,
}

impl ToolName {
    pub const ALL: [ToolName; 7] = [
        ToolName::RocmSmi,
        ToolName::AmdSmi,
        ToolName::Rocminfo,
        ToolName::Speedtest,
        ToolName::SpeedtestCli,
        ToolName::LibrespeedCli,
        ToolName::Iperf3,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            ToolName::RocmSmi => "rocm-smi",
            ToolName::AmdSmi => "amd-smi",
            ToolName::Rocminfo => "rocminfo",
            ToolName::Speedtest => "speedtest",
            ToolName::SpeedtestCli => "speedtest-cli",
            ToolName::LibrespeedCli => "librespeed-cli",
            ToolName::Iperf3 => "iperf3",
        }
    }

    pub fn from_name(name: &str) -> Option<ToolName> {
        ToolName::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// The check that this tool is run for.
    pub fn check(self) -> Check {
        match self {
            ToolName::RocmSmi => Check::RocmSmi,
            ToolName::AmdSmi => Check::AmdSmi,
            ToolName::Rocminfo => Check::Rocminfo,
            ToolName::Speedtest | ToolName::SpeedtestCli | ToolName::LibrespeedCli | ToolName::Iperf3 => Check::Network,
        }
    }

    /// Whether the far end lies outside of the site, where others pay for each test.
    pub fn is_public(self) -> bool {
        matches!(self, ToolName::Speedtest | ToolName::SpeedtestCli | ToolName::LibrespeedCli)
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
    EccUncorrectable,
    BadPages,
    NetworkSlow,
    NetworkLossy,
    NetworkFailed,
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
        Fault::NetworkFailed,
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
    /// The junction temperature from which the device itself takes measures, where the tool says it.
    pub critical_junction_celsius: Option<f64>,
    /// ECC errors of this boot that could not be corrected, all blocks together.
    pub uncorrectable_errors: Option<f64>,
    /// ECC errors of this boot that were corrected, all blocks together. No fault: they are what ECC is for.
    pub correctable_errors: Option<f64>,
    pub throttled: Throttled,
    pub bad_pages: BadPages,
    /// Whether the output had a place for temperature or power. Without one their absence means nothing.
    pub asked_for_sensors: bool,
    /// Whether something else of the management controller was read (a clock).
    pub other_sign_of_life: bool,
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
            critical_junction_celsius: None,
            uncorrectable_errors: None,
            correctable_errors: None,
            throttled: Throttled::default(),
            bad_pages: BadPages::default(),
            asked_for_sensors: false,
            other_sign_of_life: false,
        }
    }
}

impl Gpu {
    /// Whether the management controller of the GPU answers: a dead one gives neither a temperature nor a power, or a zero for each.
    pub fn responds(&self) -> bool {
        let Temperatures { edge, junction, memory } = self.temperature_celsius;
        [edge, junction, memory, self.power_watts].into_iter().flatten().any(|reading| reading != 0.0)
    }
}

/// Pages of a GPU's memory that are out of use, where the tool says it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BadPages {
    pub retired: Option<f64>,
    pub pending: Option<f64>,
    /// Bad and still in use: they could not be reserved.
    pub unreservable: Option<f64>,
    /// The device's own word that there are too many.
    pub threshold_exceeded: bool,
}

/// Whether the device slows itself down at this moment, and what for; `None` where the tool does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Throttled {
    /// The power limit of the package. Common, and no fault, under full load.
    pub power: Option<bool>,
    pub socket_thermal: Option<bool>,
    pub memory_thermal: Option<bool>,
    /// The voltage regulators.
    pub vr_thermal: Option<bool>,
    /// The signal of the board that some part of it is too hot.
    pub prochot: Option<bool>,
}

impl Throttled {
    /// Each cause by the word that is its label value. Closed: rules know each word.
    pub fn causes(&self) -> [(&'static str, Option<bool>); 5] {
        [
            ("power", self.power),
            ("socket-thermal", self.socket_thermal),
            ("memory-thermal", self.memory_thermal),
            ("vr-thermal", self.vr_thermal),
            ("prochot", self.prochot),
        ]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Temperatures {
    pub edge: Option<f64>,
    pub junction: Option<f64>,
    pub memory: Option<f64>,
}

/// One network test. What the tool did not measure is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transfer {
    /// Towards this node.
    pub download_bits_per_second: Option<f64>,
    /// From this node.
    pub upload_bits_per_second: Option<f64>,
    /// There and back.
    pub latency_seconds: Option<f64>,
    pub jitter_seconds: Option<f64>,
    /// Lost share of the packets, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Volume of the test, both directions.
    pub bytes: Option<f64>,
    pub seconds: Option<f64>,
    pub retransmits: Option<f64>,
    /// The far end: `host:port` or its name.
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
    /// What the tool printed, for whoever asks for it with a probe; not kept.
    pub printed: Option<Printed>,
}

/// What a tool printed, bounded.
#[derive(Debug, Clone, PartialEq)]
pub struct Printed {
    /// Negative for a signal.
    pub exit_status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    pub fn verdict(&self) -> Verdict {
        self.judgement.verdict
    }
}
