//! All settings: flags, an environment variable for each flag ([`environment`]) and a file
//! ([`file`]). One definition of a flag serves all three. Validates the values; an error is one
//! sentence. Opens no socket.

mod checks;
mod collectors;
mod environment;
pub mod file;
mod gpus;
mod log;
mod network;
pub mod parse;
mod paths;
mod tools;
mod values;
mod web;

pub use log::{LogFormat, LogLevel};

use self::parse::ParseArguments;
use crate::parse::ToolName;
use crate::verdict::Check;
use checks::Checks;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use collectors::Collectors;
use gpus::Gpus;
use log::Log;
use network::Network;
use paths::Paths;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;
use tools::Tools;
use values::duration_or_zero;
use web::Web;

/// Health checks of a GPU node as metrics: runs rocm-smi, rocminfo and a network test in the
/// background.
#[derive(Debug, Clone, Parser)]
#[command(name = "ossci-exporter", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub config: Config,
}

/// Modes other than the server.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    Parse(ParseArguments),
}

impl Cli {
    /// Parses the arguments, with the environment as fallback.
    pub fn of(arguments: &[OsString]) -> Result<Cli, clap::Error> {
        let mut matches = command().try_get_matches_from(arguments)?;
        Cli::from_arg_matches_mut(&mut matches)
    }
}

/// Returns all flags, with their environment variables.
fn command() -> clap::Command {
    environment::behind(Cli::command())
}

/// All settings of the exporter.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// YAML file with settings: the names of the flags, dotted or nested. A flag wins over the
    /// environment, which wins over the file. Read again on SIGHUP, except for addresses and paths.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Validates the configuration and its files, and exits: 0 valid, 2 invalid.
    #[arg(long = "config.check")]
    pub config_check: bool,

    /// Runs each check once, prints the metrics in the classic text format and exits: 0, or 1 if a
    /// check failed. Heeds neither a pause nor the boot grace.
    #[arg(long = "once")]
    pub once: bool,

    /// With --once: writes the metrics to this file by rename, for a textfile collector. No alert
    /// asks for a repair because of it: the age of a run would not grow in it, so it has none.
    #[arg(long = "output", value_name = "FILE", requires = "once")]
    pub output: Option<PathBuf>,

    /// Name of this node; its slots in the intervals depend on it. Default: NODE_NAME, otherwise
    /// the host name.
    #[arg(long = "node-name", value_name = "NAME")]
    pub node_name: Option<String>,

    /// Minimum time between two probes of the GPUs, from the end of one to the start of the next.
    #[arg(
        long = "probe.min-gap",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration_or_zero
    )]
    pub probe_min_gap: Duration,

    #[command(flatten)]
    pub web: Web,
    #[command(flatten)]
    pub checks: Checks,
    #[command(flatten)]
    pub collectors: Collectors,
    #[command(flatten)]
    pub tools: Tools,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub gpus: Gpus,
    #[command(flatten)]
    pub paths: Paths,
    #[command(flatten)]
    pub log: Log,
}

/// Shorter intervals would load the node too much.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Values that are valid one by one and invalid together.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    #[error("--{flag} must be at least 100ms, it is {}", in_words(*.value))]
    IntervalTooShort { flag: &'static str, value: Duration },
    #[error("--{flag} must be an absolute path, it is '{}'", .value.display())]
    PathNotAbsolute { flag: String, value: PathBuf },
    #[error("--check.network.interval must be at least 30m for a public test (or set --network.public-often), it is {}", in_words(*.0))]
    PublicTooOften(Duration),
    #[error("--collector.network needs --network.target for iperf3, or a public --network.tool")]
    NoTarget,
}

/// Public servers answer 429 to more frequent clients, and a test moves gigabytes.
const PUBLIC_INTERVAL: Duration = Duration::from_secs(30 * 60);

/// Longest duration of a test inside the cluster: each server has its share of it.
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest duration of a public test: two directions of 15 s, and the choice of a server.
const PUBLIC_TIMEOUT: Duration = Duration::from_secs(120);

fn in_words(duration: Duration) -> String {
    format!("{}s", duration.as_secs_f64())
}

impl Config {
    /// Checks what the parser of a single flag cannot check.
    pub fn check(&self) -> Result<(), ConfigError> {
        let beside = self.checks.beside_interval.unwrap_or(self.checks.interval);
        for (flag, value) in [
            ("check.interval", self.checks.interval),
            ("check.amd-smi.interval", beside),
            ("check.network.interval", self.network_interval()),
        ] {
            if value < SHORTEST_INTERVAL {
                return Err(ConfigError::IntervalTooShort { flag, value });
            }
        }
        // Children run in `/`, where a relative path would mean another file.
        let tools = ToolName::ALL
            .iter()
            .copied()
            .filter_map(|tool| Some((format!("tool.{}", tool.as_str()), self.tools.path(tool)?)));
        for (flag, path) in tools.chain([("path.rootfs".to_string(), self.paths.rootfs.as_path())]) {
            if !path.is_absolute() {
                return Err(ConfigError::PathNotAbsolute { flag, value: path.to_path_buf() });
            }
        }
        match self.checks.network_interval {
            Some(interval)
                if self.network.tool.is_public() && !self.network.public_often && interval < PUBLIC_INTERVAL =>
            {
                return Err(ConfigError::PublicTooOften(interval));
            }
            _ => {}
        }
        if self.collectors.choice(Check::Network) == Some(true) && !self.network.can_run() {
            return Err(ConfigError::NoTarget);
        }
        Ok(())
    }

    pub fn network_interval(&self) -> Duration {
        let default = if self.network.tool.is_public() {
            self.checks.interval.max(PUBLIC_INTERVAL)
        } else {
            self.checks.interval
        };
        self.checks.network_interval.unwrap_or(default)
    }

    pub fn network_timeout(&self) -> Duration {
        let default =
            if self.network.tool.is_public() { PUBLIC_TIMEOUT } else { self.checks.timeout.min(NETWORK_TIMEOUT) };
        self.checks.network_timeout.unwrap_or(default)
    }

    /// Returns whether the network check is enabled.
    pub fn tests_network(&self) -> bool {
        self.network.can_run() && self.collectors.choice(Check::Network) != Some(false)
    }

    /// Returns the limits of the verdicts.
    pub fn bounds(&self) -> crate::judge::Bounds {
        crate::judge::Bounds {
            max_junction_celsius: self.gpus.max_junction_celsius,
            min_download_bits_per_second: self.network.min_download,
            min_upload_bits_per_second: self.network.min_upload,
            max_latency_seconds: self.network.max_latency.map(|latency| latency.as_secs_f64()),
            max_loss_ratio: self.network.max_loss,
        }
    }

    /// Returns the node's name from flags or environment.
    pub fn node_name(&self) -> Option<String> {
        let named = self.node_name.clone().or_else(environment::node_name);
        named.filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let arguments: Vec<OsString> =
            std::iter::once("ossci-exporter").chain(flags.iter().copied()).map(OsString::from).collect();
        let config = Cli::of(&arguments).map_err(|error| error.to_string())?.config;
        config.check().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_defaults_are_for_production() {
        let config = config(&[]).unwrap();
        assert_eq!(config.web.listen_addresses, ["0.0.0.0:19400".parse().unwrap()]);
        assert_eq!((config.checks.interval, config.checks.timeout), (Duration::from_secs(30), Duration::from_secs(25)));
        assert_eq!(config.network_interval(), Duration::from_secs(30));
        assert!(config.network.targets.is_empty());
        assert_eq!(config.network.ports, (5201, 5201));
        assert_eq!(config.network.min_download, 1e8);
    }

    #[test]
    fn durations_have_units() {
        let interval = |text| config(&["--check.interval", text]).map(|config| config.checks.interval.as_millis());
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
        assert_eq!(config.web.listen_addresses.len(), 2);
    }

    #[test]
    fn an_error_of_a_flag_is_one_sentence_with_a_valid_value() {
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
        assert!(!config(&[]).unwrap().tests_network(), "no test is configured");
        assert!(config(&["--collector.network"]).is_err());
    }

    #[test]
    fn collectors_are_switched_on_and_off() {
        let choice = |flags: &[&str]| config(flags).unwrap().collectors.choice(Check::AmdSmi);
        assert_eq!(choice(&[]), None);
        assert_eq!(choice(&["--collector.amd-smi"]), Some(true));
        assert_eq!(choice(&["--no-collector.amd-smi"]), Some(false));
        assert_eq!(choice(&["--collector.amd-smi=false"]), Some(false));
    }

    #[test]
    fn an_invalid_value_is_refused_with_valid_ones() {
        for (flag, right) in [
            ("--network.tool=wget", "write speedtest, speedtest-cli, librespeed-cli or iperf3"),
            ("--network.max-loss=5", "between 0 and 1"),
            ("--web.telemetry-path=metrics", "write a path such as /metrics"),
            ("--network.bytes=lots", "such as 8M"),
        ] {
            let said = config(&[flag]).unwrap_err();
            assert!(said.contains(right), "{said}");
        }
    }
}
