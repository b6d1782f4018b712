//! The client of the exporter's `/probe` on its unix socket.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use ossci_base::contract::probe::{ProbeAnswer, ProbeResult};

use crate::core::record::Verdict;

/// A GPU probe runs two tools side by side, with 25 s each and their graces.
const TIMEOUT: Duration = Duration::from_secs(60);
const BODY_BYTES: usize = 1 << 20;

impl From<ProbeResult> for Verdict {
    fn from(result: ProbeResult) -> Self {
        Self {
            check: result.check,
            verdict: result.verdict,
            reason: result.reason,
            detail: result.detail,
            started_at: result.started_at,
        }
    }
}

/// Why a probe failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("connecting to the exporter at {socket}: {source}")]
    Connect { socket: String, source: std::io::Error },
    #[error("requesting /probe from the exporter: {0}")]
    Http(#[from] hyper::Error),
    #[error("reading the exporter's answer: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the exporter did not answer within {} s", .0.as_secs())]
    TooLong(Duration),
    #[error("the exporter answered {status}: {body}")]
    Status { status: u16, body: String },
    #[error("parsing the exporter's answer: {0}")]
    Json(#[from] serde_json::Error),
    #[error("building the request: {0}")]
    Request(#[from] http::Error),
}

impl ProbeError {
    /// Whether to ask again: it was too soon after another probe, or there is no run to report yet.
    pub fn ask_again(&self) -> bool {
        matches!(self, Self::Status { status: 429, .. })
            || matches!(self, Self::Status { status: 503, body } if body.contains("not-yet"))
    }
}

/// Sends one request and waits at most `patience` for the answer. `query` is what follows
/// `/probe?`.
pub async fn ask(socket: &Path, query: &str, patience: Duration) -> Result<ProbeAnswer, ProbeError> {
    let patience = patience.min(TIMEOUT);
    tokio::time::timeout(patience, exchange(socket, query)).await.unwrap_or(Err(ProbeError::TooLong(patience)))
}

async fn exchange(socket: &Path, query: &str) -> Result<ProbeAnswer, ProbeError> {
    let stream = tokio::net::UnixStream::connect(socket)
        .await
        .map_err(|source| ProbeError::Connect { socket: socket.display().to_string(), source })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // The connection closes after the exchange; its errors show in the answer.
    tokio::spawn(async move { drop(connection.await) });
    let request =
        http::Request::get(format!("/probe?{query}")).header("host", "exporter").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_BYTES).collect().await.map_err(ProbeError::Body)?.to_bytes();
    if !status.is_success() {
        let body = String::from_utf8_lossy(&body).chars().take(200).collect();
        return Err(ProbeError::Status { status: status.as_u16(), body });
    }
    Ok(serde_json::from_slice(&body)?)
}
