//! HTTP routes: metrics and pages on TCP; probes on the Unix socket, and on TCP only if callers
//! must authenticate. Binds the listeners; starts no check by itself.

use crate::check::node::Node;
use crate::check::probe::{Probe, Refusal};
use crate::door::{self, Door};
use crate::inventory;
use crate::run::Run;
use crate::show::landing::landing as landing_page;
use crate::show::metrics::page;
use crate::show::metrics::page::Form;
use crate::show::probe_answer::{Depth, probe_answer};
use crate::show::ready::not_ready;
use crate::state::boot;
use crate::state::ledger::Snapshot;
use crate::verdict::Verdict;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use axum::{Json, Router, middleware};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use ossci_base::clock;
use ossci_base::contract::probe::Inventories;
use ossci_base::door::listen;
use rustix::fs::Mode;
use rustix::process::umask;
use serde::Deserialize;
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::net::UnixListener;
use tracing::{debug, warn};

/// State of the TCP routes.
#[derive(Debug, Clone)]
pub struct Site {
    pub node: Arc<Node>,
    /// Path of the metrics page.
    pub telemetry_path: String,
    /// Access control of all routes.
    pub door: Arc<Door>,
    pub probing: Arc<Probing>,
}

/// Returns the pages for Prometheus and people; the probe only if callers must authenticate.
pub fn pages(site: &Site) -> Router {
    let pages = Router::new()
        .route("/", get(landing))
        .route(&site.telemetry_path, get(metrics))
        .route("/-/healthy", get(|| async { "healthy\n" }))
        .route("/-/ready", get(ready))
        .with_state(site.clone());
    let theirs = || Arc::clone(&site.door);
    let hidden = middleware::from_fn_with_state(theirs(), door::hide_from_strangers);
    let probes = probes(Arc::clone(&site.probing)).layer(hidden);
    pages.merge(probes).layer(middleware::from_fn_with_state(theirs(), door::let_in))
}

/// State of the probe route.
#[derive(Debug)]
pub struct Probing {
    pub probe: Probe,
    pub procfs: PathBuf,
}

/// Returns the probe route, for any caller that may open the socket.
pub fn probes(probing: Arc<Probing>) -> Router {
    Router::new().route("/probe", get(probe)).with_state(probing)
}

fn snapshot(node: &Node) -> Snapshot {
    node.ledger.snapshot(clock::now(), node.memory.write_failures())
}

async fn ready(State(site): State<Site>) -> Response {
    let trouble = not_ready(&snapshot(&site.node), |check| site.node.memory.passed_before(check));
    match trouble.as_slice() {
        [] => "ready\n".into_response(),
        lines => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", lines.join("\n"))).into_response(),
    }
}

async fn landing(State(site): State<Site>) -> Html<String> {
    Html(landing_page(&snapshot(&site.node), &site.telemetry_path))
}

async fn metrics(State(site): State<Site>, headers: HeaderMap) -> Response {
    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = Form::accepted(header(header::ACCEPT));
    let page = match page::metrics(snapshot(&site.node), form) {
        Ok(page) => page,
        Err(error) => {
            warn!(%error, "cannot write the metrics page");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let form = (header::CONTENT_TYPE, form.content_type());
    let packed = if wants_gzip(header(header::ACCEPT_ENCODING)) { gzip(page.as_bytes()).ok() } else { None };
    match packed {
        Some(packed) => ([form, (header::CONTENT_ENCODING, "gzip")], packed).into_response(),
        None => ([form], page).into_response(),
    }
}

/// Returns whether `gzip` is an accepted encoding, and not refused by a weight of zero.
fn wants_gzip(accept: &str) -> bool {
    accept.split(',').any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = parameters.trim().strip_prefix("q=").map(str::trim);
        name.trim().eq_ignore_ascii_case("gzip") && weight.and_then(|q| q.parse::<f64>().ok()) != Some(0.0)
    })
}

/// Compresses at the fastest level: a page shrinks to a tenth, and a better level costs the node
/// more than it saves traffic.
fn gzip(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

#[derive(Debug, Deserialize)]
struct Question {
    check: Option<String>,
    since: Option<String>,
    /// `true`: the response includes the output of the tools.
    debug: Option<String>,
}

async fn probe(State(probing): State<Arc<Probing>>, Query(question): Query<Question>) -> Response {
    let refuse = |status: StatusCode, error: &str| (status, Json(json!({ "error": error }))).into_response();
    // Read before the run: the response must not count for a boot that began after it.
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
            let depth = if question.debug.as_deref() == Some("true") { Depth::WithOutput } else { Depth::Results };
            let of_gpus = question.check.as_deref() == Some("gpu");
            let inventory = match of_gpus {
                true => Inventories {
                    expected: probing.probe.expected(),
                    seen: inventory::seen(&runs),
                    lent: probing.probe.lent(),
                    cards: probing.probe.cards().await,
                },
                false => Inventories::default(),
            };
            Json(probe_answer(&boot_id, inventory, &runs, depth)).into_response()
        }
        Err(Refusal::TooSoon) => refuse(StatusCode::TOO_MANY_REQUESTS, Refusal::TooSoon.as_str()),
        Err(refusal) => refuse(StatusCode::SERVICE_UNAVAILABLE, refusal.as_str()),
    }
}

/// Failure to open a listener.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("cannot listen on {0}")]
    Address(SocketAddr, #[source] std::io::Error),
    #[error("cannot create the probe socket {0}")]
    Socket(PathBuf, #[source] std::io::Error),
    #[error("another exporter answers on the probe socket {0}")]
    SocketInUse(PathBuf),
}

pub async fn listen(address: SocketAddr) -> Result<impl Listener<Addr = SocketAddr>, BindError> {
    listen::bind(address).await.map_err(|error| BindError::Address(address, error))
}

/// Creates the socket, with mode 0600 from the start. Replaces the socket of a dead exporter, never
/// one that answers.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_clients_that_accept_it() {
        for (accept, wanted) in
            [("gzip", true), ("deflate, GZIP;q=0.5", true), ("gzip;q=0", false), ("", false), ("identity", false)]
        {
            assert_eq!(wants_gzip(accept), wanted, "{accept}");
        }
        assert!(gzip(&b"ossci".repeat(1000)).unwrap().len() < 500);
    }
}
