//! The tap between the Alertmanagers and the remediator's webhook. It forwards every request and
//! response unchanged, and records them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use serde_json::Value;

use crate::clock;
use crate::heard::Delivery;
use crate::pki::Pki;

/// Timeout of a request: longer than Alertmanager's own.
const PATIENCE: Duration = Duration::from_secs(30);

/// The deliveries of a running tap.
#[derive(Debug, Clone, Default)]
pub struct Tap {
    heard: Arc<Mutex<Vec<Delivery>>>,
}

#[derive(Clone)]
struct Line {
    tap: Tap,
    webhook: String,
    client: reqwest::Client,
    /// Name and address (host:port) of each Alertmanager.
    senders: Vec<(String, String)>,
}

impl Tap {
    /// Listens on `address` and forwards to `webhook`, both host:port, while the lab runs.
    pub async fn start(address: &str, webhook: &str, pki: &Pki, senders: Vec<(String, String)>) -> Result<Self> {
        let pair = pki.server("tap")?;
        let tls = RustlsConfig::from_pem_file(&pair.cert, &pair.key).await.context("reading the tap's certificate")?;
        let ca = reqwest::Certificate::from_pem(pki.ca_pem().as_bytes()).context("reading the lab's CA")?;
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([ca]).build()?;
        let tap = Self::default();
        let line = Line { tap: tap.clone(), webhook: webhook.to_owned(), client, senders };
        let routes = Router::new().route("/webhook", post(pass)).with_state(line);
        let address: SocketAddr = address.parse().with_context(|| format!("{address} is no address"))?;
        let listener = std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        listener.set_nonblocking(true).context("preparing the tap's socket")?;
        let server = axum_server::from_tcp_rustls(listener, tls).context("preparing the tap")?;
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(tap)
    }

    /// The deliveries about one node, in the order of their responses.
    pub fn heard(&self, node: &str) -> Vec<Delivery> {
        self.lock().iter().filter(|delivery| delivery.node == node).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn pass(State(line): State<Line>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let at = clock::now();
    let mut request = line.client.post(format!("https://{}/webhook", line.webhook)).body(body.clone());
    for name in [header::AUTHORIZATION, header::CONTENT_TYPE, header::USER_AGENT] {
        if let Some(value) = headers.get(&name) {
            request = request.header(name, value);
        }
    }
    let answer = match request.send().await {
        Ok(answer) => (answer.status(), answer.text().await.unwrap_or_default()),
        // No remediator listens: a proxy answers so, and Alertmanager retries.
        Err(error) => (StatusCode::BAD_GATEWAY, format!("{error}\n")),
    };
    let payload: Value = serde_json::from_slice(&body).unwrap_or_default();
    let sender = payload["externalURL"].as_str().unwrap_or_default();
    // Its own URL has the machine's name and its port.
    let port = sender.rsplit(':').next().unwrap_or_default();
    let by = line.senders.iter().find(|(_, address)| address.ends_with(&format!(":{port}")));
    let by = by.map(|(name, _)| name.as_str()).unwrap_or(sender);
    line.tap.lock().extend(Delivery::all(&payload, by, at, answer.0.as_u16()));
    answer
}
