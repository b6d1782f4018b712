//! Parses, starts logging, runs.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ossci_remediator::agent::linux::Linux;
use ossci_remediator::logging::Logging;
use ossci_remediator::{agent, commands, controller};

/// Keeps GPU nodes healthy: turns alerts into repairs.
#[derive(Parser)]
#[command(name = "ossci-remediator", version)]
struct Arguments {
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    command: Command,
}

/// What is still being read or written then may take so long.
const ENDING: Duration = Duration::from_secs(3);

#[derive(Subcommand)]
enum Command {
    /// Receives alerts, decides, taints, orders.
    Controller(controller::Config),
    /// Carries out the orders of one node; runs on it.
    Agent(agent::Config),
    /// The policy file: its defaults, its schema, and whether one is right.
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Prints the CustomResourceDefinition of NodeRepair.
    Crd,
    /// Renders the alert rules with a site's thresholds.
    Rules(commands::rules::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let came = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from).and_then(
        |runtime| {
            let came = runtime.block_on(run(arguments));
            // A disk that does not answer holds up no end.
            runtime.shutdown_timeout(ENDING);
            came
        },
    );
    match came {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ossci-remediator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    arguments.logging.start()?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    match arguments.command {
        Command::Controller(config) => controller::run(config, stopped()).await,
        Command::Agent(config) => agent::run(config, Linux::default(), stopped()).await,
        Command::Rules(arguments) => commands::rules::write(&arguments),
        Command::Config(command) => {
            print!("{}", commands::config::run(&command)?);
            Ok(())
        }
        Command::Crd => {
            print!("{}", commands::crd::yaml()?);
            Ok(())
        }
    }
}

/// SIGTERM or SIGINT.
async fn stopped() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
