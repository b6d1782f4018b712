//! The program `ossci-lab`: sets up the tools, plays stories, and breaks nodes by hand.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use ossci_base::log;
use ossci_lab::cuts::{Choice, crew};
use ossci_lab::facts::Facts;
use ossci_lab::fault::{Broken, Fault, Faults, Until};
use ossci_lab::node_dir::NodeDir;
use ossci_lab::sim_host::SimHost;
use ossci_lab::{
    bench, cargo_deny, chart, chart_life, demo, enclosure, environment, images, mail_kills, release, runner, setup,
    stand_in, storm, vm,
};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "The lab of OSSCI Ops: a real cluster in miniature with simulated GPU nodes")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds the pinned tools into the cache
    Setup,
    /// Prints the path of a tool in the cache
    Tool { name: String },
    /// Checks the licences and sources of the crates that we build from (deny.toml)
    Deny,
    /// Builds the container images of our programs as OCI archives
    Images {
        /// Folder with the programs
        #[arg(long)]
        programs: std::path::PathBuf,
        #[arg(long)]
        out: std::path::PathBuf,
    },
    /// Fills a folder with everything that a release consists of
    Release {
        /// Folder with the programs
        #[arg(long)]
        programs: std::path::PathBuf,
        /// The exporter as a static program
        #[arg(long)]
        exporter: std::path::PathBuf,
        #[arg(long)]
        out: std::path::PathBuf,
    },
    /// Renders the plain manifests of deploy/ from the chart
    Manifests,
    /// Plays the demo: five nodes break and are repaired
    Demo {
        /// Leave the lab running until Ctrl-C, and keep its files
        #[arg(long, env = "KEEP", num_args = 0, value_parser = clap::builder::FalseyValueParser::new())]
        keep: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Plays stories in one lab and compares each with its golden file
    Story {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Then play these with the remediator killed at some of its durable writes
        #[arg(long, num_args = 1..)]
        cuts: Vec<PathBuf>,
        #[command(flatten)]
        sample: Sample,
        /// Leave the lab running until Ctrl-C
        #[arg(long)]
        stay: bool,
        /// Leave the nodes of this story running after it; may be repeated
        #[arg(long, value_name = "STORY")]
        nodes_stay: Vec<String>,
        /// Keep the state directory
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Plays stories with the remediator killed at its durable writes
    Cuts {
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Play all cuts that are not in this file, and record them there
        #[arg(long, conflicts_with = "sample")]
        ledger: Option<PathBuf>,
        #[command(flatten)]
        sample: Sample,
        /// Number of labs in parallel
        #[arg(long, default_value_t = 2)]
        labs: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Lets 700 of a thousand nodes complain within a minute
    Storm {
        #[command(flatten)]
        place: Place,
    },
    /// Plays stories on virtual machines, each with systemd, containerd and a kubelet
    Vm {
        /// Play only these; default: all
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(vm::stories()))]
        stories: Vec<String>,
        /// Keep the state directory
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Runs the reimage script on a disk on which dpkg was killed, at each of its steps
    DpkgCuts {
        /// Only at every second, third, .. step
        #[arg(long, default_value_t = 1)]
        every: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Runs the reimage script on nodes in many states, with the real apt, dpkg and dkms
    ReimageCases {
        /// Files of tests/reimage/cases without their ending; all of them if none is named
        names: Vec<String>,
        /// Instead of the cases: every Nth state of the packages of two releases
        #[arg(long, value_name = "N", conflicts_with = "names", value_parser = clap::value_parser!(u16).range(1..))]
        states: Option<u16>,
        #[command(flatten)]
        place: Place,
    },
    /// Installs, tests, upgrades, rolls back and uninstalls the chart with the real helm
    ChartLife {
        #[command(flatten)]
        place: Place,
    },
    /// Draws the dashboards for the documents; needs Node.js and Chromium
    DashboardPictures {
        #[arg(long, default_value = "docs/pictures")]
        out: PathBuf,
    },
    /// Kills the remediator before and after each step of the delivery of a mail
    MailKills {
        #[arg(long, default_value_t = 100)]
        times: usize,
        #[command(flatten)]
        place: Place,
    },
    /// Breaks a node of a running lab
    Break {
        node: String,
        fault: Fault,
        /// The event that removes the fault
        #[arg(long)]
        until: Until,
        #[command(flatten)]
        lab: Which,
    },
    /// Removes all faults of a node of a running lab
    Mend {
        node: String,
        #[command(flatten)]
        lab: Which,
    },
    /// Runs a benchmark: one line per figure, `met` or `MISSED`
    Bench {
        what: Measured,
        #[command(flatten)]
        place: Place,
    },
    /// The remediator's agent on a simulated host (the lab starts it)
    #[command(hide = true)]
    Agent {
        #[arg(long)]
        node_dir: PathBuf,
        #[command(flatten)]
        config: ossci_remediator::agent::Config,
        #[command(flatten)]
        logging: ossci_remediator::logging::Logging,
    },
    /// A client that watches what an agent watches, and does nothing else (a benchmark starts it)
    #[command(hide = true)]
    IdleClient {
        #[arg(long)]
        kubeconfig: PathBuf,
        #[arg(long)]
        node_name: String,
    },
    /// Raw guarded writes of a node's record (a benchmark starts it on the node)
    #[command(hide = true)]
    GuardedWrites {
        #[arg(long)]
        kubeconfig: PathBuf,
        #[arg(long)]
        node_name: String,
    },
    /// A stand-in for a tool of a GPU node (the simulated node starts it)
    #[command(hide = true)]
    StandIn {
        tool: String,
        #[arg(long)]
        node_dir: PathBuf,
        #[arg(last = true)]
        args: Vec<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Measured {
    /// The queries of Grafana's dashboards on a recorded week
    Dashboards,
    /// The cost of the alert rules in one Prometheus
    Rules,
    /// The time from a third strike to the webhook
    Routing,
    /// The cost of the remediator beside the raw API
    Remediator,
    /// The cost of a large fleet for the remediator
    Fleet,
    /// The cost of an agent for its node, and of thousands for the API server
    Agents,
    /// How soon mails are accepted, and what a silent mail server costs
    Mail,
    /// The time from an order to systemd, on a virtual machine
    Orders,
}

#[derive(Args)]
struct Place {
    /// State directory of the lab; default: a new temporary folder
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

#[derive(Args)]
struct Sample {
    /// Number of cuts
    #[arg(long, default_value_t = 4)]
    sample: usize,
    /// Seed that chooses the cuts
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Args)]
struct Which {
    /// The lab's state directory; not needed if one lab runs
    #[arg(long)]
    lab: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    if let Command::StandIn { tool, node_dir, args: _ } = &command {
        return end(stand_in::run(tool, &NodeDir::at(node_dir)).map(|()| 0));
    }
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: a TLS provider was installed before ours");
        return ExitCode::FAILURE;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(error.into())),
    };
    let result = runtime.block_on(run(command));
    // A thread that waits for the end of standard input must not block the exit.
    runtime.shutdown_background();
    end(result)
}

fn end(result: Result<i32>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<i32> {
    if !matches!(command, Command::Agent { .. }) {
        let filter = environment::variable("RUST_LOG");
        log::start(filter.as_deref().unwrap_or("warn,kube_client=off"), log::Form::Text)?;
    }
    match command {
        Command::Setup => setup::run()?,
        Command::Images { programs, out } => images::build(&programs, &out).await?,
        Command::Release { programs, exporter, out } => release::make(&programs, &exporter, &out).await?,
        Command::Manifests => {
            let helm = chart::Helm::new(&setup::Tools::find()?, &std::env::temp_dir(), None)?;
            println!("{} files", chart::write_plain(&helm).await?);
        }
        Command::Deny => cargo_deny::check()?,
        // On a line of its own, after the output of a build.
        Command::Tool { name } => println!("\n{}", setup::tool(&name)?.display()),
        Command::Demo { keep, place } => match enclosure::inside() {
            None => return enclosure::enter(place.state_dir.as_deref(), keep).await,
            Some(dir) => demo::run(&dir, keep, enclosure::end_wanted()?).await?,
        },
        Command::Story { files, cuts, sample: Sample { sample: count, seed }, stay, nodes_stay, keep, place } => {
            match enclosure::inside() {
                None => return enclosure::enter(place.state_dir.as_deref(), keep).await,
                Some(dir) => {
                    let program = runner::Program { stories: files, cuts, sample: (count, seed), stay, nodes_stay };
                    runner::run(&dir, &program, enclosure::end_wanted()?).await?;
                }
            }
        }
        Command::Cuts { files, ledger, sample: Sample { sample: count, seed }, labs, place } => {
            match enclosure::inside() {
                None => {
                    let choice = ledger.map_or(Choice::Sample { count, seed }, |ledger| Choice::All { ledger });
                    crew::run(labs, place.state_dir.as_deref(), &files, &choice).await?;
                }
                Some(dir) => crew::work(&dir, enclosure::jobs()?).await?,
            }
        }
        Command::Storm { place } => match enclosure::inside() {
            None => return enclosure::enter(place.state_dir.as_deref(), false).await,
            Some(dir) => storm::run(&dir, enclosure::end_wanted()?).await?,
        },
        Command::Vm { stories, keep, place } => match enclosure::inside() {
            None => {
                vm::prepare().await?;
                return enclosure::enter_alone(place.state_dir.as_deref(), keep).await;
            }
            Some(dir) => vm::run(&dir, &stories, enclosure::end_wanted()?).await?,
        },
        Command::ChartLife { place } => match enclosure::inside() {
            None => return enclosure::enter(place.state_dir.as_deref(), false).await,
            Some(dir) => chart_life::run(&dir, enclosure::end_wanted()?).await?,
        },
        Command::DashboardPictures { out } => ossci_lab::pictures::draw(&out).await?,
        Command::MailKills { times, place } => match enclosure::inside() {
            None => return enclosure::enter(place.state_dir.as_deref(), false).await,
            Some(dir) => mail_kills::run(&dir, times, enclosure::end_wanted()?).await?,
        },
        Command::DpkgCuts { every, place } => match enclosure::inside() {
            None => {
                vm::prepare().await?;
                return enclosure::enter_alone(place.state_dir.as_deref(), false).await;
            }
            Some(dir) => vm::dpkg_cuts::play(&dir, every, enclosure::end_wanted()?).await?,
        },
        Command::ReimageCases { names, states, place } => match (enclosure::inside(), states) {
            (None, _) => return enclosure::enter_alone(place.state_dir.as_deref(), false).await,
            (Some(dir), None) => vm::reimage_cases::run(&dir, &names, enclosure::end_wanted()?).await?,
            (Some(dir), Some(every)) => {
                vm::reimage_cases::run_states(&dir, every.into(), enclosure::end_wanted()?).await?;
            }
        },
        Command::Break { node, fault, until, lab } => {
            let node = node_of(&lab, &node)?;
            node.set_faults(&node.faults()?.with(Broken { fault, until }))?;
        }
        Command::Mend { node, lab } => node_of(&lab, &node)?.set_faults(&Faults::default())?,
        Command::Agent { node_dir, config, logging } => {
            logging.start()?;
            let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
            let stop = async move { terminate.recv().await.unwrap_or_default() };
            ossci_remediator::agent::run(config, SimHost::new(NodeDir::at(node_dir)), stop).await?;
        }
        Command::Bench { what: Measured::Dashboards, .. } => return Ok(i32::from(!bench::dashboards::run().await?)),
        Command::Bench { what: Measured::Rules, .. } => return Ok(i32::from(!bench::rules::run().await?)),
        Command::Bench { what: Measured::Orders, place } => match enclosure::inside() {
            None => {
                vm::prepare().await?;
                return enclosure::enter_alone(place.state_dir.as_deref(), false).await;
            }
            Some(dir) => return Ok(i32::from(!vm::orders::bench(&dir, enclosure::end_wanted()?).await?)),
        },
        Command::Bench { what, place } => match enclosure::inside() {
            None => return enclosure::enter(place.state_dir.as_deref(), false).await,
            Some(dir) => {
                let met = match what {
                    // These run outside a lab.
                    Measured::Rules | Measured::Orders | Measured::Dashboards => return Ok(1),
                    Measured::Routing => bench::routing::run(&dir).await?,
                    Measured::Remediator => bench::remediator::run(&dir, enclosure::end_wanted()?).await?,
                    Measured::Fleet => bench::fleet::run(&dir, enclosure::end_wanted()?).await?,
                    Measured::Mail => bench::mail::run(&dir, enclosure::end_wanted()?).await?,
                    Measured::Agents => bench::agents::run(&dir, enclosure::end_wanted()?).await?,
                };
                return Ok(i32::from(!met));
            }
        },
        Command::IdleClient { kubeconfig, node_name } => bench::agents::watch_idly(&kubeconfig, &node_name).await?,
        Command::GuardedWrites { kubeconfig, node_name } => vm::orders::write_guarded(&kubeconfig, &node_name).await?,
        Command::StandIn { .. } => {}
    }
    Ok(0)
}

fn node_of(lab: &Which, name: &str) -> Result<NodeDir> {
    let facts = Facts::find(lab.lab.as_deref())?;
    let known: Vec<&str> = facts.exporters.keys().map(String::as_str).collect();
    facts.exporters.get(name).with_context(|| format!("there is no node {name}; known nodes: {}", known.join(", ")))?;
    Ok(NodeDir::of(&facts.dir, name))
}
