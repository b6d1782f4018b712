//! What a tool said about the node, whatever it means. No parsing, no judging, no I/O.

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
