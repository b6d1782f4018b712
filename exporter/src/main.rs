//! Parses the flags, starts logging, runs. Everything else is in the library.

use clap::Parser;
use clap::error::ErrorKind;
use ossci_exporter::config::{Config, LogFormat, LogLevel};
use std::process::ExitCode;
use std::time::Duration;
use tracing_subscriber::filter::LevelFilter;

/// Status of a wrong command line, as clap and the shell use it.
const USAGE: u8 = 2;

/// A thread that hangs in the file system is left behind after this; the whole stop must stay within 2 s.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            return refuse(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
        }
    };
    if let Err(error) = config.check() {
        return refuse(&error.to_string());
    }
    start_logging(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(ossci_exporter::run(config));
        runtime.shutdown_timeout(STOP_PATIENCE);
        outcome.map_err(anyhow::Error::from)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ossci-exporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(sentence: &str) -> ExitCode {
    eprintln!("ossci-exporter: {sentence}");
    ExitCode::from(USAGE)
}

fn start_logging(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let logging = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false);
    match format {
        LogFormat::Logfmt => logging.init(),
        LogFormat::Json => logging.json().flatten_event(true).init(),
    }
}
