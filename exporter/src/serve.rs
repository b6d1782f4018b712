//! Server mode of the exporter: binds the listeners, starts the checks, and handles signals until
//! it is stopped.

use crate::config::Config;
use axum::serve::Listener as _;
use ossci_base::clock;
use ossci_base::door::listen;

use crate::check::engine::Engine;
use crate::check::node::{self, Node};
use crate::check::probe::Probe;
use crate::check::reload::{Reading, Reread};
use crate::door::Door;
use crate::door::web_config::WebConfig;
use crate::show::web::{self, BindError, Probing, Site};
use crate::start::orphans;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

/// Why the exporter could not start or continue.
#[derive(Debug, Error)]
pub enum RunError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("cannot receive signals")]
    Signals(#[source] std::io::Error),
    #[error(transparent)]
    State(#[from] node::LoadError),
    #[error("a task of the exporter stopped unexpectedly: {0}")]
    PartEnded(String),
}

/// How often the exporter checks whether a tool was installed or removed.
const TOOLS_INTERVAL: Duration = Duration::from_secs(60);

/// What the exporter looks at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Everything: SIGHUP.
    HangUp,
    /// Which tools are installed.
    Tools,
    /// The web configuration, certificates and keys.
    Door,
}

impl Look {
    fn reason(self) -> &'static str {
        match self {
            Self::HangUp => "SIGHUP",
            Self::Tools => "a tool was installed, removed or replaced",
            Self::Door => "the web configuration changed",
        }
    }
}

/// How often the exporter reads the web configuration, certificates and keys again.
const DOOR_INTERVAL: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT. Dropping a task kills the process group of its child.
pub async fn run(mut config: Config, web_config: WebConfig, reread: Reread) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(RunError::Signals)?;

    // Bind first: if another exporter runs on this node, its state must not be touched.
    let mut listeners = Vec::new();
    for address in &config.web.listen_addresses {
        listeners.push(web::listen(*address).await?);
    }
    let socket = web::listen_unix(&config.web.probe_socket).await?;

    let node = Node::load(&config).await?;
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
        let (tls, pages) = (door.tls(), web::pages(&site));
        parts.spawn(async move { match listen::serve(listener, tls, pages).await {} });
    }
    let probes = web::probes(probing);
    parts.spawn(async move { match listen::serve(socket, None, probes).await {} });
    let watched = Arc::clone(&node);
    parts.spawn(async move {
        node::watch_run_dir(watched).await;
        Ok::<(), std::convert::Infallible>(())
    });
    parts.spawn(async { match orphans::reap_for_ever().await {} });
    engine.start();
    info!(node = node.name, version = env!("CARGO_PKG_VERSION"), "started");

    let every = |period| {
        let mut interval = interval(period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    let (mut tools, mut door_files) = (every(TOOLS_INTERVAL), every(DOOR_INTERVAL));
    let mut reading = Reading::default();
    loop {
        let look = tokio::select! {
            _ = terminate.recv() => { info!("SIGTERM received, stopping"); break }
            _ = interrupt.recv() => { info!("SIGINT received, stopping"); break }
            _ = hang_up.recv() => Look::HangUp,
            _ = tools.tick() => Look::Tools,
            _ = door_files.tick() => Look::Door,
            Some(how) = part_ended.recv() => return Err(ended_by_itself(how)),
            Some(how) = parts.join_next() => return Err(ended_by_itself(format!("{how:?}"))),
        };
        if look == Look::HangUp {
            match reading.all(reread, &door, &node.ledger).await {
                Some(read) => {
                    config = read;
                    node.ledger.forget_passes();
                }
                None => continue,
            }
        } else if look == Look::Door {
            reading.door(&door, &node.ledger).await;
            continue;
        } else if !engine.is_outdated(&config).await {
            continue;
        }
        // Wait for runs in progress, but not when a signal to stop arrives.
        let reconfigure = async {
            engine.configure(&config).await;
            engine.start();
            if look == Look::HangUp {
                node.ledger.set_reload(true, clock::now());
            }
            info!(reason = look.reason(), "checks configured");
        };
        tokio::select! {
            () = reconfigure => {}
            _ = terminate.recv() => { info!("SIGTERM received, stopping"); break }
            _ = interrupt.recv() => { info!("SIGINT received, stopping"); break }
        }
    }
    engine.stop().await;
    parts.shutdown().await;
    Ok(())
}

fn ended_by_itself(how: String) -> RunError {
    error!(how, "a task of the exporter stopped unexpectedly");
    RunError::PartEnded(how)
}
