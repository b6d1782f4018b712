//! Entry point of the exporter: parses the flags, starts logging, runs. Everything else is in the
//! library.

use clap::error::ErrorKind;
use ossci_base::log;
use ossci_exporter::commands::{once, parse};
use ossci_exporter::config::{Cli, Command, Config, LogFormat, file};
use ossci_exporter::door::web_config;
use ossci_exporter::serve;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Exit status for a wrong command line, as in clap and the shell.
const USAGE: u8 = 2;

/// How long the exit waits for a thread stuck in the file system. The whole stop must take less
/// than 2 s.
const STOP_PATIENCE: Duration = Duration::from_millis(500);

/// Keep-alive of idle threads; longer than the check interval, so that the next run reuses a
/// thread.
const KEEP_THREADS: Duration = Duration::from_secs(120);

/// Prints to standard output. A reader that has seen enough (`| head`) closes it: this is no error.
fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

fn main() -> ExitCode {
    let command = match Cli::of(&arguments()) {
        Ok(cli) => cli.command,
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            say(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            return refuse(text.lines().next().unwrap_or_default().trim_start_matches("error: "));
        }
    };
    if let Some(Command::Parse(arguments)) = command {
        return match parse::run(&arguments) {
            Ok((answer, status)) => {
                say(&format!("{answer}\n"));
                ExitCode::from(status)
            }
            Err(error) => refuse(&error.to_string()),
        };
    }
    // Before any TLS: rustls finds out only at run time that several providers are compiled in.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return refuse("the TLS provider is installed already");
    }
    let config = match reread() {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let web = match config.web.web_config_file.as_deref().map(web_config::load).transpose() {
        Ok(web) => web.unwrap_or_default(),
        Err(error) => return refuse(&error.to_string()),
    };
    if config.config_check {
        say("the configuration is valid\n");
        return ExitCode::SUCCESS;
    }
    let form = match config.log.format {
        LogFormat::Logfmt => log::Form::Text,
        LogFormat::Json => log::Form::Json,
    };
    if let Err(error) = log::start(config.log.level.as_str(), form) {
        return refuse(&error.to_string());
    }
    // One thread for the tasks: blocking calls have their own threads, and a second worker would
    // only wake up for nothing.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.thread_keep_alive(KEEP_THREADS).enable_all().build();
    let outcome = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(async {
            match config.once {
                true => once::run(&config).await.map_err(anyhow::Error::from),
                false => serve::run(config, web, reread)
                    .await
                    .map(|()| once::Outcome::NoneFailed)
                    .map_err(anyhow::Error::from),
            }
        });
        runtime.shutdown_timeout(STOP_PATIENCE);
        outcome
    });
    match outcome {
        Ok(once::Outcome::NoneFailed) => ExitCode::SUCCESS,
        Ok(once::Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ossci-exporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Loads the current flags, environment and file.
fn reread() -> Result<Config, String> {
    file::load(&arguments())
}

fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

fn refuse(sentence: &str) -> ExitCode {
    eprintln!("ossci-exporter: {sentence}");
    ExitCode::from(USAGE)
}
