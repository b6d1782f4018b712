//! The routes: metrics and pages on TCP, probes on the unix socket alone. Binds the listeners; starts no check by itself.

use crate::boot;
use crate::clock;
use crate::ledger::Snapshot;
use crate::page::{self, Form};
use crate::probe::{Probe, Refusal};
use crate::runner::Node;
use crate::verdict::{Run, Verdict};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use rustix::fs::Mode;
use rustix::process::umask;
use serde::Deserialize;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tracing::{debug, warn};

/// Pages for Prometheus and for people.
pub fn pages(node: Arc<Node>) -> Router {
    Router::new()
        .route("/", get(landing))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        .route("/-/ready", get(|| async { "ready\n" }))
        .with_state(node)
}

/// What the probe socket answers with.
#[derive(Debug)]
pub struct Probing {
    pub probe: Probe,
    pub procfs: PathBuf,
}

/// The probe, for whoever may open the socket.
pub fn probes(probing: Arc<Probing>) -> Router {
    Router::new().route("/probe", get(probe)).with_state(probing)
}

fn snapshot(node: &Node) -> Snapshot {
    node.ledger.snapshot(clock::now(), node.memory.write_failures())
}

async fn landing(State(node): State<Arc<Node>>) -> Html<String> {
    Html(page::landing(&snapshot(&node)))
}

async fn metrics(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = Form::accepted(accept);
    match page::metrics(snapshot(&node), form) {
        Ok(page) => ([(header::CONTENT_TYPE, form.content_type())], page).into_response(),
        Err(error) => {
            warn!(%error, "cannot write the metrics page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Debug, Deserialize)]
struct Question {
    check: Option<String>,
    since: Option<String>,
}

async fn probe(State(probing): State<Arc<Probing>>, Query(question): Query<Question>) -> Response {
    let refuse = |status: StatusCode, error: &str| (status, Json(json!({ "error": error }))).into_response();
    // Read before the run: an answer must not be credited to a boot that only began after it.
    let boot_id = match boot::boot_id(&probing.procfs) {
        Ok(boot_id) => boot_id,
        Err(error) => {
            warn!(%error, "cannot answer a probe");
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "no-boot-id");
        }
    };
    let outcome = match (question.check.as_deref(), question.since.as_deref().map(str::parse::<Timestamp>)) {
        (Some("gpu"), _) => probing.probe.gpu().await,
        (Some("network"), Some(Ok(since))) => probing.probe.network(since).await.map(|run| vec![run]),
        (Some("network"), _) => return refuse(StatusCode::BAD_REQUEST, "since-must-be-rfc3339"),
        _ => return refuse(StatusCode::BAD_REQUEST, "check-must-be-gpu-or-network"),
    };
    match outcome {
        Ok(runs) => {
            let passed = runs.iter().all(|run: &Run| run.verdict() == Verdict::Passed);
            debug!(passed, "answered a probe");
            Json(page::probe_answer(&boot_id, &runs)).into_response()
        }
        Err(Refusal::TooSoon) => refuse(StatusCode::TOO_MANY_REQUESTS, Refusal::TooSoon.as_str()),
        Err(refusal) => refuse(StatusCode::SERVICE_UNAVAILABLE, refusal.as_str()),
    }
}

/// A listener that could not be had.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot listen on {0}")]
    Address(SocketAddr, #[source] std::io::Error),
    #[error("cannot make the probe socket {0}")]
    Socket(PathBuf, #[source] std::io::Error),
    #[error("another exporter answers on the probe socket {0}")]
    SocketInUse(PathBuf),
}

pub async fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| BindError::Address(address, error))
}

/// Makes the socket, mode 0600 from its first moment. One that a dead exporter left is replaced, one that answers is not.
pub async fn listen_unix(path: &Path) -> Result<UnixListener, BindError> {
    let failed = |error| BindError::Socket(path.to_path_buf(), error);
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(BindError::SocketInUse(path.to_path_buf()));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    let before = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    listener.map_err(failed)
}
