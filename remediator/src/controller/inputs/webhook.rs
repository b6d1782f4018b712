//! Alertmanager's webhook: authenticate, limit the size, parse, make every complaint durable, and
//! only then answer 200.
//!
//! It must answer our own errors with 503, which Alertmanager retries. A 4xx loses the delivery.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::routing::post;
use http_body_util::BodyExt;
use jiff::Timestamp;
use ossci_base::door::listen;
use ossci_base::door::tls::{self, Tls};
use ossci_base::door::tokens::Tokens;
use rustls::ServerConfig;

use crate::controller::context::Context;
use crate::controller::inputs::board::Boards;
use crate::controller::state::site::Site;
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::metrics::{Code, Metrics, Outcome, seconds};
use crate::wire::alertmanager::{Alert, Meaning, Payload, VERSION};
use ossci_base::clock;

/// Limit of a request body; a delivery of some thousand alerts is smaller.
const BODY_BYTES: usize = 16 << 20;
/// Timeout from the head of the request to the answer. Alertmanager gives up after about 10 s. What
/// was recorded until then stays, and its retry delivers the rest.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// The part of [`ANSWER_WITHIN`] for alerts that are already recorded.
const REFRESHING: Duration = Duration::from_secs(3);

/// How often the controller checks whether the certificate, the key or the token changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

struct Webhook {
    context: Arc<Context>,
    tokens: RwLock<Tokens>,
}

/// The files with the webhook's certificate, key and tokens.
#[derive(Debug, Clone)]
pub struct DoorFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Bearer tokens, one per line.
    pub token: PathBuf,
}

impl DoorFiles {
    /// Returns the content of all three, to detect a change. A file that cannot be read counts as
    /// empty.
    fn content(&self) -> [Vec<u8>; 3] {
        [&self.cert, &self.key, &self.token].map(|path| std::fs::read(path).unwrap_or_default())
    }

    fn load(&self) -> anyhow::Result<(Arc<ServerConfig>, Tokens)> {
        let tokens = Tokens::read(&self.token).context("loading the webhook's token")?;
        let config = tls::server_config(&self.cert, &self.key).context("loading the webhook's certificate")?;
        Ok((Arc::new(config), tokens))
    }
}

pub async fn serve(address: SocketAddr, files: DoorFiles, context: Arc<Context>) -> anyhow::Result<()> {
    let content = files.content();
    let (config, tokens) = files.load()?;
    context.metrics.webhook_files_read(Some(clock::now()));
    let (tls, webhook) = (Tls::new(config), Arc::new(Webhook { context, tokens: RwLock::new(tokens) }));
    let routes = Router::new().route("/webhook", post(receive)).with_state(Arc::clone(&webhook));
    let listener = listen::bind(address)
        .await
        .with_context(|| format!("listening for the webhook on {address} (--webhook.listen-address)"))?;
    tokio::select! {
        never = listen::serve(listener, Some(tls.clone()), routes) => match never {},
        never = follow(files, content, tls, &webhook) => match never {},
    }
}

/// Reloads the certificate, the key and the tokens when the files change. Requests in flight finish
/// on the old certificate. Files that cannot be used change nothing, and are reported once.
async fn follow(files: DoorFiles, mut content: [Vec<u8>; 3], tls: Tls, webhook: &Webhook) -> Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let read = files.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || read.content()).await else { continue };
        if now == content {
            continue;
        }
        content = now;
        match files.load() {
            Ok((config, tokens)) => {
                tls.replace(config);
                *webhook.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
                webhook.context.metrics.webhook_files_read(Some(clock::now()));
                tracing::info!(cert = %files.cert.display(), "webhook files reloaded");
            }
            Err(error) => {
                webhook.context.metrics.webhook_files_read(None);
                tracing::error!(error = format!("{error:#}"), "webhook files not used, the old ones stay in force");
            }
        }
    }
}

type Answer = (StatusCode, String);

async fn receive(State(webhook): State<Arc<Webhook>>, request: Request) -> Answer {
    let authorization = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let known = webhook.tokens.read().unwrap_or_else(PoisonError::into_inner).accept(authorization);
    let answer = if known {
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer(&webhook.context, request.into_body()));
        answer.await.unwrap_or_else(|_| not_yet("not all complaints are recorded yet"))
    } else {
        // Do not read the body: a client without a token must not make the controller allocate
        // memory.
        (StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong\n".to_owned())
    };
    webhook.context.metrics.webhook_requests.get_or_create_owned(&Code { code: answer.0.as_u16() }).inc();
    answer
}

fn not_yet(what: impl std::fmt::Display) -> Answer {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n"))
}

async fn answer(context: &Context, body: Body) -> Answer {
    let body = match read(body).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            let text = format!("the body exceeds {BODY_BYTES} bytes: set a lower max_alerts in the webhook_config\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(error) => return not_yet(format_args!("reading the body: {error}")),
    };
    let received = match understand(&context.site(), &context.metrics, context.now(), &body) {
        Ok(received) => received,
        Err(text) => return (StatusCode::BAD_REQUEST, text),
    };
    drop(body);
    received.values().flatten().for_each(|complaint| context.alerts.saw_cluster(complaint));
    let nodes = received.len();
    match Boards::of(context).record_all(received, context.again(), REFRESHING).await {
        0 => (StatusCode::OK, format!("{nodes} nodes\n")),
        lost => not_yet(format_args!("{lost} of {nodes} nodes not recorded yet")),
    }
}

/// Returns the complaints of each node, or what is wrong with the body as a whole.
fn understand(
    site: &Site,
    metrics: &Metrics,
    now: Timestamp,
    body: &[u8],
) -> Result<BTreeMap<String, Vec<Complaint>>, String> {
    let payload: Payload =
        serde_json::from_slice(body).map_err(|error| format!("not a webhook payload of Alertmanager: {error}\n"))?;
    if payload.version != VERSION {
        return Err(format!("payload version {:?} is not {VERSION}: use a webhook_config\n", payload.version));
    }
    Ok(sort(site, metrics, now, &payload))
}

/// Returns the body, or `None` if it is too large. Even then it is read to its end: a client that
/// is still sending would not read the answer.
async fn read(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let mut read = Some(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        read = read.filter(|read| read.len() + data.len() <= BODY_BYTES);
        if let Some(read) = &mut read {
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}

/// Returns the complaints of each node. Other alerts are counted, and logged once for each reason.
fn sort(site: &Site, metrics: &Metrics, now: Timestamp, payload: &Payload) -> BTreeMap<String, Vec<Complaint>> {
    let mut received: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    let mut ignored: BTreeMap<&'static str, (usize, String)> = BTreeMap::new();
    for alert in &payload.alerts {
        let (fingerprint, meaning) = match Alert::read(alert) {
            Ok(alert) => {
                (alert.fingerprint.clone(), alert.meaning(site.cluster.as_deref(), Some(&payload.external_url), now))
            }
            Err(error) => (error.to_string(), Meaning::Ignored("not understood")),
        };
        let outcome = match meaning {
            Meaning::Complaint { node, complaint } => {
                complaints::hear(received.entry(node).or_default(), *complaint);
                "complaint"
            }
            Meaning::Heartbeat => {
                metrics.heartbeat.set(seconds(clock::now()));
                "heartbeat"
            }
            Meaning::Ignored(why) => {
                ignored.entry(why).or_insert((0, fingerprint)).0 += 1;
                why
            }
        };
        metrics.webhook_alerts.get_or_create_owned(&Outcome { outcome: outcome.to_owned() }).inc();
    }
    for (why, (alerts, first)) in ignored {
        tracing::warn!(why, alerts, example = first, "alerts ignored");
    }
    received
}
