//! Flags, and the environment behind each of them; the only module that reads the environment. Checks what it is given and says in one
//! sentence what is wrong. Opens no file and no socket.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the environment")]

use clap::{Parser, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Health checks of a GPU node as metrics: runs rocm-smi, rocminfo and a network test in the background.
#[derive(Debug, Clone, Parser)]
#[command(name = "ossci-exporter", version)]
pub struct Config {
    /// Address of the metrics and the pages. May be given more than once.
    #[arg(
        long = "web.listen-address",
        env = "OSSCI_EXPORTER_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS:PORT",
        value_delimiter = ',',
        default_value = "0.0.0.0:19400"
    )]
    pub listen_addresses: Vec<SocketAddr>,

    /// Unix socket on which the node's agent asks for a check now. Mode 0600.
    #[arg(
        long = "web.probe-socket",
        env = "OSSCI_EXPORTER_WEB_PROBE_SOCKET",
        value_name = "PATH",
        default_value = "/run/ossci/exporter.sock"
    )]
    pub probe_socket: PathBuf,

    /// Root of the host's file system. When it is not `/`, tools are started by `chroot PATH TOOL`.
    #[arg(long = "path.rootfs", env = "OSSCI_EXPORTER_PATH_ROOTFS", value_name = "PATH", default_value = "/")]
    pub rootfs: PathBuf,

    /// Where procfs is mounted. The boot id is read from sys/kernel/random/boot_id below it.
    #[arg(long = "path.procfs", env = "OSSCI_EXPORTER_PATH_PROCFS", value_name = "PATH", default_value = "/proc")]
    pub procfs: PathBuf,

    /// Directory in which the agent leaves the files `pause` and `inventory`.
    #[arg(
        long = "path.run-dir",
        env = "OSSCI_EXPORTER_PATH_RUN_DIR",
        value_name = "PATH",
        default_value = "/run/ossci"
    )]
    pub run_dir: PathBuf,

    /// Directory of what outlives a restart: strikes.json and inventory.json.
    #[arg(
        long = "path.state-dir",
        env = "OSSCI_EXPORTER_PATH_STATE_DIR",
        value_name = "PATH",
        default_value = "/var/lib/ossci"
    )]
    pub state_dir: PathBuf,

    /// Name of this node, from which its slots in the intervals follow. Also read from NODE_NAME; otherwise the host name.
    #[arg(long = "node-name", env = "OSSCI_EXPORTER_NODE_NAME", value_name = "NAME")]
    pub node_name: Option<String>,

    /// How often each check runs.
    #[arg(
        long = "check.interval",
        env = "OSSCI_EXPORTER_CHECK_INTERVAL",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    pub interval: Duration,

    /// How long one run may take; never more than the interval allows.
    #[arg(
        long = "check.timeout",
        env = "OSSCI_EXPORTER_CHECK_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration
    )]
    pub timeout: Duration,

    /// How often the network check runs. As often as the others unless set.
    #[arg(
        long = "check.network.interval",
        env = "OSSCI_EXPORTER_CHECK_NETWORK_INTERVAL",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_interval: Option<Duration>,

    /// Path of rocm-smi below the root. Looked for in opt/rocm/bin, usr/bin and usr/local/bin unless set.
    #[arg(long = "tool.rocm-smi", env = "OSSCI_EXPORTER_TOOL_ROCM_SMI", value_name = "PATH")]
    pub rocm_smi: Option<PathBuf>,

    /// Path of rocminfo below the root.
    #[arg(long = "tool.rocminfo", env = "OSSCI_EXPORTER_TOOL_ROCMINFO", value_name = "PATH")]
    pub rocminfo: Option<PathBuf>,

    /// Path of iperf3 below the root.
    #[arg(long = "tool.iperf3", env = "OSSCI_EXPORTER_TOOL_IPERF3", value_name = "PATH")]
    pub iperf3: Option<PathBuf>,

    /// Host of the iperf3 servers. There is a network check only where this is set.
    #[arg(long = "network.target", env = "OSSCI_EXPORTER_NETWORK_TARGET", value_name = "HOST", value_parser = host)]
    pub network_target: Option<String>,

    /// Port of the iperf3 server, or a range of ports with a server on each.
    #[arg(
        long = "network.ports",
        env = "OSSCI_EXPORTER_NETWORK_PORTS",
        value_name = "PORT[-PORT]",
        default_value = "5201",
        value_parser = ports
    )]
    pub network_ports: (u16, u16),

    /// A download below this many bits per second fails the network check; 0 accepts any. The default is far below what a working link
    /// of a GPU node gives even under load. With 8 MiB a run, values above 600000000 need an iperf3 older than 3.16.
    #[arg(
        long = "network.min-download",
        env = "OSSCI_EXPORTER_NETWORK_MIN_DOWNLOAD",
        value_name = "BITS_PER_SECOND",
        default_value = "100000000",
        value_parser = not_negative
    )]
    pub min_download: f64,

    /// How many GPUs this node must show. Otherwise the file `inventory` of the run directory says it, or the last healthy run.
    #[arg(long = "gpus.expected", env = "OSSCI_EXPORTER_GPUS_EXPECTED", value_name = "NUMBER")]
    pub expected_gpus: Option<u32>,

    /// A GPU whose junction is this hot fails the rocm-smi check.
    #[arg(
        long = "gpus.max-junction-celsius",
        env = "OSSCI_EXPORTER_GPUS_MAX_JUNCTION_CELSIUS",
        value_name = "DEGREES",
        default_value = "105",
        value_parser = not_negative
    )]
    pub max_junction_celsius: f64,

    /// Time between two probes of the GPUs, from the end of one to the start of the next.
    #[arg(
        long = "probe.min-gap",
        env = "OSSCI_EXPORTER_PROBE_MIN_GAP",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration_or_zero
    )]
    pub probe_min_gap: Duration,

    /// Least severe level that is logged.
    #[arg(long = "log.level", env = "OSSCI_EXPORTER_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,

    /// Form of the log lines on stderr.
    #[arg(long = "log.format", env = "OSSCI_EXPORTER_LOG_FORMAT", value_name = "FORMAT", default_value = "logfmt")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Logfmt,
    Json,
}

/// Shorter ones would keep the node busy with being asked.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Values that are right one by one and wrong together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("--{flag} must be at least 100ms, it is {}", in_words(*.value))]
    IntervalTooShort { flag: &'static str, value: Duration },
    #[error("--{flag} must be an absolute path, it is '{}'", .value.display())]
    PathNotAbsolute { flag: &'static str, value: PathBuf },
}

fn in_words(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

impl Config {
    /// Checks what a single flag cannot check.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (flag, value) in [("check.interval", self.interval), ("check.network.interval", self.network_interval())] {
            if value < SHORTEST_INTERVAL {
                return Err(ConfigError::IntervalTooShort { flag, value });
            }
        }
        // Children run in `/`, so a relative path would mean another place to them than to us.
        let tools =
            [("tool.rocm-smi", &self.rocm_smi), ("tool.rocminfo", &self.rocminfo), ("tool.iperf3", &self.iperf3)];
        let tools = tools.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        for (flag, value) in tools.chain([("path.rootfs", &self.rootfs)]) {
            if !value.is_absolute() {
                return Err(ConfigError::PathNotAbsolute { flag, value: value.clone() });
            }
        }
        Ok(())
    }

    pub fn network_interval(&self) -> Duration {
        self.network_interval.unwrap_or(self.interval)
    }

    /// The node's name as far as flags and environment know it.
    pub fn node_name(&self) -> Option<String> {
        let named = self.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok());
        named.filter(|name| !name.is_empty())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_zero(text) {
        Ok(Duration::ZERO) => Err("it must be longer than nothing".to_string()),
        other => other,
    }
}

/// Longer ones are a slip of the unit.
const LONGEST_DURATION: Duration = Duration::from_secs(7 * 24 * 3600);

fn duration_or_zero(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok());
    match parsed {
        Some(duration) if duration <= LONGEST_DURATION => Ok(duration),
        Some(_) => Err("it must be at most 7 days".to_string()),
        None => Err("write a number and a unit, such as 500ms, 30s or 5m".to_string()),
    }
}

fn ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok((first, last)),
        _ => Err("write one port such as 5201, or a range such as 5201-5210".to_string()),
    }
}

fn host(text: &str) -> Result<String, String> {
    // A leading dash would be read as an option by the tool.
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_whitespace) {
        return Err("write a host name or an address".to_string());
    }
    Ok(text.to_string())
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("write a number, zero or more".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let arguments = std::iter::once("ossci-exporter").chain(flags.iter().copied());
        let config = Config::try_parse_from(arguments).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_defaults_are_for_production() {
        let config = config(&[]).unwrap();
        assert_eq!(config.listen_addresses, ["0.0.0.0:19400".parse().unwrap()]);
        assert_eq!((config.interval, config.timeout), (Duration::from_secs(30), Duration::from_secs(10)));
        assert_eq!(config.network_interval(), Duration::from_secs(30));
        assert_eq!(config.network_target, None);
        assert_eq!(config.network_ports, (5201, 5201));
        assert_eq!(config.min_download, 1e8);
    }

    #[test]
    fn durations_have_units() {
        let interval = |text| config(&["--check.interval", text]).map(|config| config.interval.as_millis());
        assert_eq!(interval("2s"), Ok(2000));
        assert_eq!(interval("500ms"), Ok(500));
        assert_eq!(interval("5m"), Ok(300_000));
        for bad in ["30", "-1s", "0s", "soon", "1000d", "1ms"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_repeat() {
        let config = config(&["--web.listen-address=127.0.0.1:0", "--web.listen-address=[::1]:1"]).unwrap();
        assert_eq!(config.listen_addresses.len(), 2);
    }

    #[test]
    fn a_wrong_flag_is_one_sentence_with_what_would_be_right() {
        let said = config(&["--network.ports", "5210-5201"]).unwrap_err();
        assert!(said.lines().next().unwrap().contains("write one port such as 5201, or a range"), "{said}");
        assert!(config(&["--tool.rocm-smi", "rocm-smi"]).unwrap_err().contains("absolute path"));
        assert!(config(&["--network.target", "-c"]).is_err());
        assert!(config(&["--gpus.expected", "-1"]).is_err());
    }
}
