//! The entry point: parses the arguments, starts logging, runs a subcommand.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ossci_remediator::agent::linux::Linux;
use ossci_remediator::logging::Logging;
use ossci_remediator::{agent, commands, controller, reimage_service};

/// Keeps GPU nodes healthy: turns alerts into repairs.
#[derive(Parser)]
#[command(name = "ossci-remediator", version)]
struct Arguments {
    #[command(flatten)]
    logging: Logging,
    #[command(subcommand)]
    command: Command,
}

/// How long blocking tasks may still run when the process exits.
const ENDING: Duration = Duration::from_secs(3);

#[derive(Subcommand)]
enum Command {
    /// Receives alerts, decides on repairs, taints nodes, gives orders.
    Controller(controller::Config),
    /// Carries out the orders for one node; runs on that node.
    Agent(agent::Config),
    /// Serves a site's own two commands as its provisioning service.
    ReimageService(reimage_service::Config),
    /// Prints the policy file's defaults or schema, or checks a policy file.
    #[command(subcommand)]
    Config(commands::config::Command),
    /// Sends a test mail, or shows a mail before it comes.
    Mail(commands::mail::Arguments),
    /// Says why a node is where it is, what comes next, and what a person can do.
    Explain(commands::explain::Arguments),
    /// Looks for what can silently be wrong with an installation.
    Doctor(commands::doctor::Arguments),
    /// Removes our taints, conditions and labels from every Node.
    Uninstall(commands::uninstall::Arguments),
    /// Prints the CustomResourceDefinition of NodeRepair.
    Crd,
    /// Renders the alert rules with a site's thresholds.
    Rules(commands::rules::Arguments),
    /// Renders Grafana's dashboards with a site's thresholds.
    Dashboards(commands::dashboards::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let came = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from).and_then(
        |runtime| {
            let came = runtime.block_on(run(arguments));
            // Do not wait for blocking tasks stuck on a dead disk.
            runtime.shutdown_timeout(ENDING);
            came
        },
    );
    match came {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ossci-remediator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    arguments.logging.start()?;
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider is installed already"))?;
    match arguments.command {
        Command::Explain(arguments) => return commands::explain::run(&arguments, say).await,
        Command::Doctor(arguments) => return commands::doctor::run(&arguments, say).await,
        Command::Uninstall(arguments) => commands::uninstall::run(arguments, say).await,
        Command::Controller(config) => controller::run(config, stopped()).await,
        Command::Agent(config) => agent::run(config, Linux::default(), stopped()).await,
        Command::ReimageService(config) => reimage_service::run(config, stopped()).await,
        Command::Rules(arguments) => commands::rules::write(&arguments),
        Command::Dashboards(arguments) => commands::dashboards::write(&arguments),
        Command::Config(command) => {
            say(&commands::config::run(&command)?);
            Ok(())
        }
        Command::Mail(arguments) => commands::mail::run(arguments, |line| say(&format!("{line}\n"))).await,
        Command::Crd => {
            say(&commands::crd::yaml()?);
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Prints to standard output. A reader that has seen enough (`| head`) closes it: this is no error.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Resolves on SIGTERM or SIGINT.
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
