//! OSSCI exporter: health checks of a GPU node as metrics. It states facts and decides nothing.
//!
//! How the parts hang together:
//!
//! ```text
//! config -> engine (which checks; exchanged on SIGHUP by reload, as is what stands in the door)
//!                          |
//! schedule -----------> checker -> tool, child -> parse -> judge -> strikes -> memory (disk) -> ledger -> metrics, page -> web
//!                          ^                                ^                                                               |
//!                        probe                  inventory, run_dir, sysfs                                       web_config, guard
//! ```
//!
//! `ossci-exporter parse` and `--once` are in [`commands`].

pub mod boot;
pub mod checker;
pub mod child;
pub mod clock;
pub mod commands;
pub mod config;
pub mod door;
pub mod engine;
pub mod errand;
pub mod group;
pub mod guard;
pub mod inventory;
pub mod judge;
pub mod leash;
pub mod ledger;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod outcome;
pub mod page;
pub mod parse;
pub mod probe;
pub mod reload;
pub mod run_dir;
pub mod schedule;
#[cfg(test)]
mod scratch;
pub mod state_file;
pub mod streams;
pub mod strikes;
pub mod sysfs;
pub mod tool;
pub mod verdict;
pub mod web;
pub mod web_config;
pub mod work;

use crate::config::Config;
use crate::door::Door;
use crate::engine::Engine;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::node::{Node, Settings};
use crate::probe::Probe;
use crate::reload::{Reading, Reread};
use crate::run_dir::RunDir;
use crate::web::{BindError, Probing, Site};
use crate::web_config::WebConfig;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
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
    #[error("cannot write {0}")]
    Output(std::path::PathBuf, #[source] std::io::Error),
    #[error("cannot write the metrics page")]
    Page(#[from] std::fmt::Error),
    #[error("a part of the exporter ended by itself: {0}")]
    PartEnded(String),
}

/// How often it is looked whether a tool came or went, and whether a certificate is another.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Runs until SIGTERM or SIGINT. What still runs then goes with its tasks: each child's group is killed when its task is dropped.
pub async fn run(mut config: Config, web_config: WebConfig, reread: Reread) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(RunError::Signals)?;

    // Before anything else: whoever is not alone on this node must not touch the state of the other.
    let mut listeners = Vec::new();
    for address in &config.web.listen_addresses {
        listeners.push(web::listen(*address).await?);
    }
    let socket = web::listen_unix(&config.web.probe_socket).await?;

    let node = node(&config).await?;
    let (ended, mut part_ended) = mpsc::unbounded_channel();
    let engine = Arc::new(Engine::new(Arc::clone(&node), ended));
    engine.configure(&config).await;

    let mut parts = JoinSet::new();
    let probe = Probe::new(Arc::clone(&node), Arc::clone(&engine), config.probe_min_gap);
    let probing = Arc::new(Probing { probe, procfs: config.paths.procfs.clone() });
    let door = Arc::new(Door::new(config.web.web_config_file.clone(), web_config));
    let site = Site {
        node: Arc::clone(&node),
        telemetry_path: config.web.telemetry_path.clone(),
        door: Arc::clone(&door),
        probing: Arc::clone(&probing),
    };
    for listener in listeners {
        if let Ok(address) = listener.local_addr() {
            info!(%address, "listening");
        }
        parts.spawn(web::serve(listener, web::pages(&site), door.tls()));
    }
    let probes = web::probes(probing);
    parts.spawn(async move { axum::serve(socket, probes).await });
    let watched = Arc::clone(&node);
    parts.spawn(async move {
        node::watch_run_dir(watched).await;
        Ok(())
    });
    engine.start();
    info!(node = node.name, version = env!("CARGO_PKG_VERSION"), "started");

    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = Reading::default();
    loop {
        let reason = tokio::select! {
            _ = terminate.recv() => { info!("SIGTERM"); break }
            _ = interrupt.recv() => { info!("SIGINT"); break }
            _ = hang_up.recv() => "SIGHUP",
            _ = looks.tick() => "tools",
            Some(how) = part_ended.recv() => return Err(ended_by_itself(how)),
            Some(how) = parts.join_next() => return Err(ended_by_itself(format!("{how:?}"))),
        };
        if reason == "SIGHUP" {
            match reading.all(reread, &door, &node.ledger).await {
                Some(read) => config = read,
                None => continue,
            }
        } else {
            reading.door(&door, &node.ledger).await;
            if !engine.is_outdated(&config).await {
                continue;
            }
        }
        // A run that is under way is waited for, but not before a signal to stop.
        let reconfigure = async {
            engine.configure(&config).await;
            engine.start();
            if reason == "SIGHUP" {
                node.ledger.set_reload(true, clock::now());
            }
            info!(reason, "the configuration is in force");
        };
        tokio::select! {
            () = reconfigure => {}
            _ = terminate.recv() => { info!("SIGTERM"); break }
            _ = interrupt.recv() => { info!("SIGINT"); break }
        }
    }
    engine.stop().await;
    parts.shutdown().await;
    Ok(())
}

fn ended_by_itself(how: String) -> RunError {
    error!(how, "a part of the exporter ended by itself");
    RunError::PartEnded(how)
}

/// What the checks share, with what is remembered of this boot. The state directory may lie on a dead disk, so it is read on a thread
/// of its own.
async fn node(config: &Config) -> Result<Arc<Node>, RunError> {
    let boot_id = boot::boot_id(&config.paths.procfs)
        .inspect_err(|error| warn!(%error, "strikes will not outlive a restart"))
        .ok();
    let directory = config.paths.state_dir.clone();
    let loading = tokio::task::spawn_blocking(move || Memory::load(&directory, boot_id));
    let memory = loading.await.map_err(RunError::State)?;
    let name = config.node_name().or_else(|| boot::hostname(&config.paths.procfs)).unwrap_or_default();
    if name.is_empty() {
        warn!("no node name: nodes without one all test the network at the same moment");
    }
    Ok(Arc::new(Node {
        name,
        run_dir: RunDir::new(&config.paths.run_dir),
        ledger: Ledger::new(clock::now(), []),
        memory,
        sysfs: config.paths.sysfs.clone(),
        procfs: config.paths.procfs.clone(),
        settings: RwLock::new(Settings::default()),
    }))
}
