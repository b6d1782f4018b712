//! Flags, and the environment behind each of them; the only module that reads the environment. Checks what it is given and says in one
//! sentence what is wrong. The file behind both is [`crate::config_file`]. Opens no file and no socket.
#![allow(clippy::disallowed_methods, reason = "this is the one module that reads the environment")]

use crate::collectors::Collectors;
use crate::commands::parse::ParseArguments;
use crate::config_values::{
    duration, duration_or_zero, host, network_tool, not_negative, ports, share, url_path, volume,
};
use crate::verdict::{Check, ToolName};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Health checks of a GPU node as metrics: runs rocm-smi, rocminfo and a network test in the background.
#[derive(Debug, Clone, Parser)]
#[command(name = "ossci-exporter", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub config: Config,
}

/// What the program does besides running for years.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    Parse(ParseArguments),
}

/// All settings of the exporter.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// YAML file with settings: the names of the flags, dots as nesting. A flag wins over the environment, which wins over the file.
    /// Read again on SIGHUP, except for addresses and paths.
    #[arg(long = "config.file", env = "OSSCI_EXPORTER_CONFIG_FILE", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Checks the configuration, with its files, and exits: 0 right, 2 wrong.
    #[arg(long = "config.check")]
    pub config_check: bool,

    /// Runs each check once, prints the metrics in the classic text form and exits: 0, or 1 if a check failed.
    #[arg(long = "once")]
    pub once: bool,

    /// With --once: writes the metrics to this file by rename, for a textfile collector.
    #[arg(long = "output", value_name = "FILE", requires = "once")]
    pub output: Option<PathBuf>,

    /// TLS, client certificates and users, in the format of the Prometheus exporter toolkit. Read again on SIGHUP and each minute.
    #[arg(long = "web.config.file", env = "OSSCI_EXPORTER_WEB_CONFIG_FILE", value_name = "FILE")]
    pub web_config_file: Option<PathBuf>,

    /// Path of the metrics page.
    #[arg(
        long = "web.telemetry-path",
        env = "OSSCI_EXPORTER_WEB_TELEMETRY_PATH",
        value_name = "PATH",
        default_value = "/metrics",
        value_parser = url_path
    )]
    pub telemetry_path: String,

    #[command(flatten)]
    pub collectors: Collectors,

    /// Where sysfs is mounted. Only names and links of the PCI bus below it are read.
    #[arg(long = "path.sysfs", env = "OSSCI_EXPORTER_PATH_SYSFS", value_name = "PATH", default_value = "/sys")]
    pub sysfs: PathBuf,

    /// So long after the boot a failed run is no strike, unless the check has passed on this boot: drivers take their time.
    #[arg(
        long = "check.boot-grace",
        env = "OSSCI_EXPORTER_CHECK_BOOT_GRACE",
        value_name = "DURATION",
        default_value = "2m",
        value_parser = duration_or_zero
    )]
    pub boot_grace: Duration,

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

    /// How long one run of the network check may take; that of the others unless set, and 2 minutes for a public test.
    #[arg(
        long = "check.network.timeout",
        env = "OSSCI_EXPORTER_CHECK_NETWORK_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub network_timeout: Option<Duration>,

    /// Path of rocm-smi below the root. Looked for in opt/rocm/bin, usr/bin and usr/local/bin unless set.
    #[arg(long = "tool.rocm-smi", env = "OSSCI_EXPORTER_TOOL_ROCM_SMI", value_name = "PATH")]
    pub rocm_smi: Option<PathBuf>,

    /// Path of amd-smi below the root. It is used where rocm-smi is not there, or when asked for with --collector.amd-smi.
    #[arg(long = "tool.amd-smi", env = "OSSCI_EXPORTER_TOOL_AMD_SMI", value_name = "PATH")]
    pub amd_smi: Option<PathBuf>,

    /// Path of rocminfo below the root.
    #[arg(long = "tool.rocminfo", env = "OSSCI_EXPORTER_TOOL_ROCMINFO", value_name = "PATH")]
    pub rocminfo: Option<PathBuf>,

    /// Path of iperf3 below the root.
    #[arg(long = "tool.iperf3", env = "OSSCI_EXPORTER_TOOL_IPERF3", value_name = "PATH")]
    pub iperf3: Option<PathBuf>,

    /// Path of Ookla's speedtest below the root.
    #[arg(long = "tool.speedtest", env = "OSSCI_EXPORTER_TOOL_SPEEDTEST", value_name = "PATH")]
    pub speedtest: Option<PathBuf>,

    /// Path of speedtest-cli below the root.
    #[arg(long = "tool.speedtest-cli", env = "OSSCI_EXPORTER_TOOL_SPEEDTEST_CLI", value_name = "PATH")]
    pub speedtest_cli: Option<PathBuf>,

    /// Path of librespeed-cli below the root.
    #[arg(long = "tool.librespeed-cli", env = "OSSCI_EXPORTER_TOOL_LIBRESPEED_CLI", value_name = "PATH")]
    pub librespeed_cli: Option<PathBuf>,

    /// Tool of the network check: iperf3, or one that tests against a public server (speedtest, speedtest-cli, librespeed-cli). Those run
    /// every 30 minutes: their operators block whoever asks more often, and count all nodes behind one address together.
    #[arg(
        long = "network.tool",
        env = "OSSCI_EXPORTER_NETWORK_TOOL",
        value_name = "TOOL",
        default_value = "iperf3",
        value_parser = network_tool
    )]
    pub network_tool: ToolName,

    /// Lets a public test run as often as --check.network.interval says.
    #[arg(
        long = "network.public-often",
        env = "OSSCI_EXPORTER_NETWORK_PUBLIC_OFTEN",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub public_often: bool,

    /// Bytes of one iperf3 run, as iperf3 reads them.
    #[arg(
        long = "network.bytes",
        env = "OSSCI_EXPORTER_NETWORK_BYTES",
        value_name = "BYTES",
        default_value = "8M",
        value_parser = volume
    )]
    pub network_bytes: String,

    /// An upload below this many bits per second fails the network check; 0 accepts any.
    #[arg(
        long = "network.min-upload",
        env = "OSSCI_EXPORTER_NETWORK_MIN_UPLOAD",
        value_name = "BITS_PER_SECOND",
        default_value = "0",
        value_parser = not_negative
    )]
    pub min_upload: f64,

    /// A latency above this fails the network check, where the tool measures one.
    #[arg(
        long = "network.max-latency",
        env = "OSSCI_EXPORTER_NETWORK_MAX_LATENCY",
        value_name = "DURATION",
        value_parser = duration
    )]
    pub max_latency: Option<Duration>,

    /// A lost share of the packets above this fails the network check, where the tool measures it: 0 to 1.
    #[arg(
        long = "network.max-loss",
        env = "OSSCI_EXPORTER_NETWORK_MAX_LOSS",
        value_name = "RATIO",
        default_value = "0.05",
        value_parser = share
    )]
    pub max_loss: f64,

    /// Host of the iperf3 servers. Without it there is no network check by iperf3.
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

    /// How many partitions all GPUs of this node must show together. Not looked at unless set.
    #[arg(long = "gpus.expected-partitions", env = "OSSCI_EXPORTER_GPUS_EXPECTED_PARTITIONS", value_name = "NUMBER")]
    pub expected_partitions: Option<u32>,

    /// A GPU whose junction is this hot fails the check. The device's own critical value unless set, and 105 where the tool does not
    /// say it.
    #[arg(
        long = "gpus.max-junction-celsius",
        env = "OSSCI_EXPORTER_GPUS_MAX_JUNCTION_CELSIUS",
        value_name = "DEGREES",
        value_parser = not_negative
    )]
    pub max_junction_celsius: Option<f64>,

    /// Asks amd-smi for all its metrics too, which is where it says whether and why a GPU throttles itself. One call more in each run; the
    /// driver takes two samples for it, a tenth of a second apart. Without effect on rocm-smi, which does not say it.
    #[arg(
        long = "gpus.throttling",
        env = "OSSCI_EXPORTER_GPUS_THROTTLING",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true"
    )]
    pub throttling: bool,

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
    #[error("--check.network.interval must be at least 30m for a public test (or say --network.public-often), it is {}", in_words(*.0))]
    PublicTooOften(Duration),
    #[error("--collector.network needs --network.target for iperf3, or a public --network.tool")]
    NoTarget,
}

/// Public servers answer 429 to whoever asks more often, and a test moves gigabytes.
const PUBLIC_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// What a public test takes at most: two directions of 15 s, and the choice of a server.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(120);

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
        let tools = [
            ("tool.rocm-smi", &self.rocm_smi),
            ("tool.amd-smi", &self.amd_smi),
            ("tool.rocminfo", &self.rocminfo),
            ("tool.iperf3", &self.iperf3),
            ("tool.speedtest", &self.speedtest),
            ("tool.speedtest-cli", &self.speedtest_cli),
            ("tool.librespeed-cli", &self.librespeed_cli),
        ];
        let tools = tools.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?)));
        for (flag, value) in tools.chain([("path.rootfs", &self.rootfs)]) {
            if !value.is_absolute() {
                return Err(ConfigError::PathNotAbsolute { flag, value: value.clone() });
            }
        }
        match self.network_interval {
            Some(interval) if self.network_tool.is_public() && !self.public_often && interval < PUBLIC_INTERVAL => {
                return Err(ConfigError::PublicTooOften(interval));
            }
            _ => {}
        }
        if self.collectors.choice(Check::Network) == Some(true) && !self.network_can_run() {
            return Err(ConfigError::NoTarget);
        }
        Ok(())
    }

    pub fn network_interval(&self) -> Duration {
        let default = if self.network_tool.is_public() { self.interval.max(PUBLIC_INTERVAL) } else { self.interval };
        self.network_interval.unwrap_or(default)
    }

    pub fn network_timeout(&self) -> Duration {
        let default = if self.network_tool.is_public() { PUBLIC_TIMEOUT } else { self.timeout };
        self.network_timeout.unwrap_or(default)
    }

    /// Whether a network test has somewhere to go. A public one only runs where it was configured by name.
    fn network_can_run(&self) -> bool {
        self.network_tool.is_public() || self.network_target.is_some()
    }

    /// Whether there is a network check.
    pub fn tests_network(&self) -> bool {
        self.network_can_run() && self.collectors.choice(Check::Network) != Some(false)
    }

    /// The configured path of a tool.
    pub fn tool_path(&self, tool: ToolName) -> Option<PathBuf> {
        let path = match tool {
            ToolName::RocmSmi => &self.rocm_smi,
            ToolName::AmdSmi => &self.amd_smi,
            ToolName::Rocminfo => &self.rocminfo,
            ToolName::Speedtest => &self.speedtest,
            ToolName::SpeedtestCli => &self.speedtest_cli,
            ToolName::LibrespeedCli => &self.librespeed_cli,
            ToolName::Iperf3 => &self.iperf3,
        };
        path.clone()
    }

    /// The limits of the verdicts.
    pub fn bounds(&self) -> crate::judge::Bounds {
        crate::judge::Bounds {
            max_junction_celsius: self.max_junction_celsius,
            min_download_bits_per_second: self.min_download,
            min_upload_bits_per_second: self.min_upload,
            max_latency_seconds: self.max_latency.map(|latency| latency.as_secs_f64()),
            max_loss_ratio: self.max_loss,
        }
    }

    /// The node's name as far as flags and environment know it.
    pub fn node_name(&self) -> Option<String> {
        let named = self.node_name.clone().or_else(|| std::env::var("NODE_NAME").ok());
        named.filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let arguments = std::iter::once("ossci-exporter").chain(flags.iter().copied());
        let config = Cli::try_parse_from(arguments).map_err(|error| error.to_string())?.config;
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

    #[test]
    fn a_public_test_runs_twice_an_hour_unless_forced() {
        let minutes = |flags: &[&str]| config(flags).map(|config| config.network_interval().as_secs() / 60);
        assert_eq!(minutes(&["--network.tool=speedtest"]), Ok(30));
        assert!(minutes(&["--network.tool=speedtest", "--check.network.interval=5m"]).is_err());
        assert_eq!(
            minutes(&["--network.tool=speedtest", "--check.network.interval=5m", "--network.public-often"]),
            Ok(5)
        );
        assert!(config(&["--network.tool=speedtest"]).unwrap().tests_network());
        assert!(!config(&[]).unwrap().tests_network(), "nobody configured one");
        assert!(config(&["--collector.network"]).is_err());
    }

    #[test]
    fn collectors_are_switched_on_and_off_and_the_last_word_counts() {
        let choice = |flags: &[&str]| config(flags).unwrap().collectors.choice(Check::AmdSmi);
        assert_eq!(choice(&[]), None);
        assert_eq!(choice(&["--collector.amd-smi"]), Some(true));
        assert_eq!(choice(&["--no-collector.amd-smi"]), Some(false));
        assert_eq!(choice(&["--collector.amd-smi=false"]), Some(false));
    }

    #[test]
    fn wrong_words_are_told_what_would_be_right() {
        for (flag, right) in [
            ("--network.tool=wget", "write iperf3, speedtest"),
            ("--network.max-loss=5", "between 0 and 1"),
            ("--web.telemetry-path=metrics", "write a path such as /metrics"),
            ("--network.bytes=lots", "such as 8M"),
        ] {
            let said = config(&[flag]).unwrap_err();
            assert!(said.contains(right), "{said}");
        }
    }
}
