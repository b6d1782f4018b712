//! Facts about the node that a tool reported, without interpretation. No parsing, no judging, no
//! I/O.

use crate::health::Health;

/// Facts about the node that a tool reported.
#[derive(Debug, Clone, PartialEq)]
pub enum Facts {
    /// Physical GPUs in bus order.
    Gpus(Vec<Gpu>),
    Network(Transfer),
}

impl Facts {
    /// Returns the GPUs; `None` for a network test.
    pub fn gpus(&self) -> Option<&[Gpu]> {
        match self {
            Facts::Gpus(gpus) => Some(gpus),
            Facts::Network(_) => None,
        }
    }
}

/// One physical GPU. Its partitions share a bus address up to the function digit; they are counted
/// here, not listed. A value that the tool did not report is `None`, never zero: a dead GPU must
/// not look like an idle one.
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
    pub limits_celsius: Limits,
    /// Uncorrectable ECC errors since boot, all blocks together.
    pub uncorrectable_errors: Option<f64>,
    /// Corrected ECC errors since boot, all blocks together. Not a fault: correcting them is the
    /// purpose of ECC.
    pub correctable_errors: Option<f64>,
    pub throttled: Throttled,
    pub bad_pages: BadPages,
    pub health: Health,
    /// Whether the output has fields for temperature or power. Without them, missing values prove
    /// nothing.
    pub asked_for_sensors: bool,
    /// Whether the output lists the GPU, but nothing of it can be read. It is there, and its state
    /// is unknown.
    pub unreadable: bool,
    /// Whether another value of the management controller, a clock, was read.
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
            limits_celsius: Limits::default(),
            uncorrectable_errors: None,
            correctable_errors: None,
            throttled: Throttled::default(),
            bad_pages: BadPages::default(),
            health: Health::default(),
            asked_for_sensors: false,
            unreadable: false,
            other_sign_of_life: false,
        }
    }
}

impl Gpu {
    /// Returns whether the GPU's management controller responds. A dead one reports no temperature
    /// and no power, or zero for each.
    pub fn responds(&self) -> bool {
        let Temperatures { edge, junction, memory } = self.temperature_celsius;
        [edge, junction, memory, self.power_watts].into_iter().flatten().any(|reading| reading != 0.0)
    }
}

/// Bad pages of a GPU's memory, as far as the tool reports them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BadPages {
    pub retired: Option<f64>,
    pub pending: Option<f64>,
    /// Bad and still in use: they could not be reserved.
    pub unreservable: Option<f64>,
    /// The device reports too many bad pages.
    pub threshold_exceeded: Option<bool>,
}

/// Whether the device throttles itself now, by cause; `None` if the tool does not report it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Throttled {
    /// The power limit of the package. Common under full load, and not a fault.
    pub power: Option<bool>,
    pub socket_thermal: Option<bool>,
    pub memory_thermal: Option<bool>,
    /// The voltage regulators.
    pub vr_thermal: Option<bool>,
    /// The board's signal that a part of it is too hot.
    pub prochot: Option<bool>,
}

impl Throttled {
    /// Returns each value of `self`, or of `more` where `self` has none.
    pub fn or(self, more: Throttled) -> Throttled {
        Throttled {
            power: self.power.or(more.power),
            socket_thermal: self.socket_thermal.or(more.socket_thermal),
            memory_thermal: self.memory_thermal.or(more.memory_thermal),
            vr_thermal: self.vr_thermal.or(more.vr_thermal),
            prochot: self.prochot.or(more.prochot),
        }
    }

    /// Returns each cause with its label value. The list is closed: alert rules use these words.
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

impl Temperatures {
    /// Returns each value of `self`, or of `more` where `self` has none.
    pub fn or(self, more: Temperatures) -> Temperatures {
        Temperatures {
            edge: self.edge.or(more.edge),
            junction: self.junction.or(more.junction),
            memory: self.memory.or(more.memory),
        }
    }

    /// Returns each value with the name of its sensor, a closed list of label values.
    pub fn sensors(self) -> [(&'static str, Option<f64>); 3] {
        [("edge", self.edge), ("junction", self.junction), ("memory", self.memory)]
    }
}

/// Temperatures at which the device protects itself, as far as it reports them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// It slows itself down: `crit` of the kernel.
    pub slowdown: Temperatures,
    /// It switches itself off: `emergency` of the kernel.
    pub shutdown: Temperatures,
}

impl Limits {
    /// Returns each value of `self`, or of `more` where `self` has none.
    pub fn or(self, more: Limits) -> Limits {
        Limits { slowdown: self.slowdown.or(more.slowdown), shutdown: self.shutdown.or(more.shutdown) }
    }
}

/// Result of one network test. A value that the tool did not measure is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transfer {
    /// Towards this node.
    pub download_bits_per_second: Option<f64>,
    /// From this node.
    pub upload_bits_per_second: Option<f64>,
    /// Round trip.
    pub latency_seconds: Option<f64>,
    pub jitter_seconds: Option<f64>,
    /// Packet loss, 0 to 1.
    pub loss_ratio: Option<f64>,
    /// Volume of the test, both directions.
    pub bytes: Option<f64>,
    pub seconds: Option<f64>,
    pub retransmits: Option<f64>,
    /// The server: `host:port` or its name.
    pub server: Option<String>,
}
