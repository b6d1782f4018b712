//! The entry point: parses the arguments, starts logging, runs a subcommand.

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
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
    /// Shows the fleet in one screen: pools, brakes, nodes that are not well, mails.
    Status(commands::status::Arguments),
    /// Lists what was done to nodes, and why.
    History(commands::history::Arguments),
    /// Prints what was captured before a node was changed.
    Evidence(commands::evidence::Arguments),
    /// Keeps us away from a node.
    Hold(commands::by_hand::Hold),
    /// Ends a hold.
    Unhold(commands::by_hand::OfNode),
    /// Ends a repair: removes our taints from a node.
    Release(commands::by_hand::OfNode),
    /// Proves a node that a person repaired, and releases it if it is healthy.
    Verify(commands::by_hand::Verify),
    /// Begins a reboot or a reimage of a node.
    Repair(commands::by_hand::Repair),
    /// Stops everything disruptive in the cluster.
    Pause(commands::by_hand::Pause),
    /// Ends the pause.
    Resume(commands::by_hand::Resume),
    /// Looks for what can silently be wrong with an installation.
    Doctor(commands::doctor::Arguments),
    /// Prints a script that completes the commands in a shell.
    Completion(commands::help::Completion),
    /// Writes man pages.
    Man(commands::help::Man),
    /// Removes our taints, conditions and labels from every Node.
    Uninstall(commands::uninstall::Arguments),
    /// Prints the CustomResourceDefinition of NodeRepair.
    Crd,
    /// Renders the alert rules with a site's thresholds.
    Rules(commands::rules::Arguments),
    /// Renders Grafana's dashboards with a site's thresholds.
    Dashboards(commands::rules::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // An answer that cannot be had is another end than a bad one.
    let cannot_know = matches!(
        arguments.command,
        Command::Explain(_) | Command::Status(_) | Command::History(_) | Command::Evidence(_) | Command::Doctor(_)
    );
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
            if cannot_know { ExitCode::from(3) } else { ExitCode::FAILURE }
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
        Command::Status(arguments) => return commands::status::run(&arguments, say).await,
        Command::Verify(arguments) => return commands::by_hand::verify(&arguments, say).await,
        Command::Doctor(arguments) => return commands::doctor::run(&arguments, say).await,
        Command::History(arguments) => commands::history::run(&arguments, say).await,
        Command::Evidence(arguments) => commands::evidence::run(&arguments, say).await,
        Command::Hold(arguments) => commands::by_hand::hold(&arguments, say).await,
        Command::Unhold(arguments) => commands::by_hand::unhold(&arguments, say).await,
        Command::Release(arguments) => commands::by_hand::release(&arguments, say).await,
        Command::Repair(arguments) => commands::by_hand::repair(&arguments, say).await,
        Command::Pause(arguments) => commands::by_hand::pause(&arguments, say).await,
        Command::Resume(arguments) => commands::by_hand::resume(&arguments, say).await,
        Command::Uninstall(arguments) => commands::uninstall::run(arguments, say).await,
        Command::Controller(config) => controller::run(config, stopped()).await,
        Command::Agent(config) => agent::run(config, Linux::default(), stopped()).await,
        Command::ReimageService(config) => reimage_service::run(config, stopped()).await,
        Command::Rules(arguments) => arguments.write(commands::rules::render),
        Command::Dashboards(arguments) => arguments.write(commands::dashboards::render),
        Command::Config(command) => {
            say(&commands::config::run(&command)?);
            Ok(())
        }
        Command::Mail(arguments) => commands::mail::run(arguments, |line| say(&format!("{line}\n"))).await,
        Command::Completion(arguments) => {
            say(&commands::help::completion(&arguments, Arguments::command()));
            Ok(())
        }
        Command::Man(arguments) => commands::help::man(&arguments, Arguments::command()),
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
