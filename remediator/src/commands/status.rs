//! `ossci-remediator status`: the fleet in one screen, from the leading controller. It changes
//! nothing.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use super::cluster::{Cluster, ask_controllers, patient};
use super::output::{Format, Output};
use crate::core::status::Fleet;

/// Time between two looks of `--watch`.
const EACH: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// Address of a controller, like http://127.0.0.1:19401. Absent: our pods.
    #[arg(long = "controller")]
    controllers: Vec<String>,
    /// Looks again every 2 s, until it is interrupted.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `say` prints. Exit code 0: the fleet is well, 1: something has to be looked
/// at, 3: it cannot be known.
///
/// # Errors
/// No cluster, no controller that leads, or an answer of another version.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let clears = std::io::stdout().is_terminal() && arguments.output.format == Format::Text;
    loop {
        let looked = look(arguments).await;
        if arguments.watch && clears {
            say("\x1b[2J\x1b[H");
        }
        match &looked {
            Ok(fleet) => say(&arguments.output.render(fleet, |fleet| fleet.text())?),
            Err(error) if arguments.watch => say(&format!("{error:#}\n")),
            Err(_) => {}
        }
        if !arguments.watch {
            return Ok(if looked?.is_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        tokio::time::sleep(EACH).await;
    }
}

async fn look(arguments: &Arguments) -> anyhow::Result<Fleet> {
    let Cluster { namespace, .. } = &arguments.cluster;
    let client = arguments.cluster.client().await?;
    let asked = ask_controllers(&client, namespace, &arguments.controllers, "/fleet");
    let answers = patient("the controllers", asked).await?;
    anyhow::ensure!(
        !answers.is_empty(),
        "no controller runs in the namespace {namespace}; name another with --namespace, or install it: docs/install.md"
    );
    let mut refused = Vec::new();
    for (of, answer) in answers {
        match answer.map(|page| serde_json::from_str(&page)) {
            Ok(Ok(fleet)) => return Ok(fleet),
            Ok(Err(error)) => refused.push(format!("{of} is of another version: {error}")),
            Err(error) => refused.push(format!("{of}: {error}")),
        }
    }
    anyhow::bail!("no controller answers that leads: {}", refused.join("; "))
}
