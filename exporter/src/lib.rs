//! OSSCI exporter: health checks of a GPU node as metrics. It states facts and decides nothing.
//!
//! How the parts hang together:
//!
//! ```text
//! schedule -> runner -> tool, child -> parse -> judge -> strikes -> memory (disk) -> ledger -> metrics, page -> web
//!               ^                                ^
//!             probe                   inventory, run_dir
//! ```

pub mod boot;
pub mod child;
pub mod clock;
pub mod config;
pub mod inventory;
pub mod judge;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod page;
pub mod parse;
pub mod probe;
pub mod run_dir;
pub mod runner;
pub mod schedule;
#[cfg(test)]
mod scratch;
pub mod state_file;
pub mod strikes;
pub mod tool;
pub mod verdict;
pub mod web;

use crate::config::Config;
use crate::judge::Bounds;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::probe::Probe;
use crate::run_dir::RunDir;
use crate::runner::{Checker, Node, Target};
use crate::tool::Tool;
use crate::verdict::Check;
use crate::web::{BindError, Probing};
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

/// Why the exporter could not start or go on.
#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    #[error("cannot read the state directory")]
    State(#[source] tokio::task::JoinError),
    #[error("a part of the exporter ended by itself: {0}")]
    PartEnded(String),
}

/// Runs until SIGTERM or SIGINT. What still runs then goes with its tasks: each child's group is killed when its task is dropped.
pub async fn run(config: Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;

    // Before anything else: whoever is not alone on this node must not touch the state of the other.
    let mut listeners = Vec::new();
    for address in &config.listen_addresses {
        listeners.push(web::listen(*address).await?);
    }
    let socket = web::listen_unix(&config.probe_socket).await?;

    let checks: Vec<Check> = match config.network_target {
        Some(_) => Check::ALL.to_vec(),
        None => vec![Check::RocmSmi, Check::Rocminfo],
    };
    let node = node(&config, &checks).await?;
    let checkers: Vec<Arc<Checker>> =
        checks.iter().filter_map(|check| checker(*check, &config, &node)).map(Arc::new).collect();

    let mut parts = JoinSet::new();
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            info!(%address, "listening");
        }
        let pages = web::pages(Arc::clone(&node));
        parts.spawn(async move { axum::serve(listener, pages).await });
    }
    let gpu_checks = checkers.iter().filter(|checker| checker.check != Check::Network).cloned().collect();
    let network_check = config.network_target.is_some();
    let probe = Probe::new(Arc::clone(&node), gpu_checks, network_check, config.probe_min_gap);
    let probes = web::probes(Arc::new(Probing { probe, procfs: config.procfs.clone() }));
    parts.spawn(async move { axum::serve(socket, probes).await });
    let watched = Arc::clone(&node);
    parts.spawn(async move {
        runner::watch_run_dir(&watched).await;
        Ok(())
    });
    for checker in checkers {
        parts.spawn(async move {
            checker.run_for_ever().await;
            Ok(())
        });
    }
    info!(node = node.name, version = env!("CARGO_PKG_VERSION"), "started");

    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM"),
        _ = interrupt.recv() => info!("SIGINT"),
        Some(ended) = parts.join_next() => {
            let how = format!("{ended:?}");
            error!(how, "a part of the exporter ended by itself");
            return Err(RunError::PartEnded(how));
        }
    }
    parts.shutdown().await;
    Ok(())
}

/// What the checks share, with what is remembered of this boot. The state directory may lie on a dead disk, so it is read on a thread
/// of its own.
async fn node(config: &Config, checks: &[Check]) -> Result<Arc<Node>, RunError> {
    let boot_id =
        boot::boot_id(&config.procfs).inspect_err(|error| warn!(%error, "strikes will not outlive a restart")).ok();
    let directory = config.state_dir.clone();
    let loading = tokio::task::spawn_blocking(move || Memory::load(&directory, boot_id));
    let memory = loading.await.map_err(RunError::State)?;
    let standings: Vec<_> =
        checks.iter().map(|check| (*check, interval(*check, config), memory.standing(*check))).collect();
    let name = config.node_name().or_else(|| boot::hostname(&config.procfs)).unwrap_or_default();
    if name.is_empty() {
        warn!("no node name: nodes without one all test the network at the same moment");
    }
    Ok(Arc::new(Node {
        name,
        run_dir: RunDir::new(&config.run_dir),
        ledger: Ledger::new(clock::now(), standings),
        memory,
        bounds: Bounds {
            max_junction_celsius: config.max_junction_celsius,
            min_download_bits_per_second: config.min_download,
        },
        expected_gpus: config.expected_gpus,
    }))
}

fn interval(check: Check, config: &Config) -> std::time::Duration {
    match check {
        Check::Network => config.network_interval(),
        Check::RocmSmi | Check::Rocminfo => config.interval,
    }
}

/// None for a network check without a target.
fn checker(check: Check, config: &Config, node: &Arc<Node>) -> Option<Checker> {
    let tool = |name, path: &Option<PathBuf>| Tool { name, rootfs: config.rootfs.clone(), path: path.clone() };
    let (node, interval) = (Arc::clone(node), interval(check, config));
    Some(match check {
        Check::RocmSmi => Checker::gpu(check, node, tool("rocm-smi", &config.rocm_smi), interval, config.timeout),
        Check::Rocminfo => Checker::gpu(check, node, tool("rocminfo", &config.rocminfo), interval, config.timeout),
        Check::Network => {
            let target = Target { host: config.network_target.clone()?, ports: config.network_ports };
            Checker::network(node, tool("iperf3", &config.iperf3), target, interval, config.timeout)
        }
    })
}
