//! Alertmanager's webhook: authenticate, bound, parse, make every complaint durable, and only then answer 200.
//!
//! Our own trouble is always answered 503, which Alertmanager tries again; a 4xx would be lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use http_body_util::BodyExt;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::controller::inputs::board;
use crate::controller::{Config, Context};
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::door;
use crate::metrics;
use crate::metrics::{Code, Outcome};
use crate::wire::alertmanager::{Alert, Meaning, Payload, VERSION};

/// A delivery of some thousand alerts is below this.
const BODY_BYTES: usize = 16 << 20;
/// From the head of the request to the answer. Alertmanager gives up after 10 s or so; what was written by then stays, and its
/// retry finishes the rest.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// Of these, so long for alerts that are only told again.
const REFRESHING: Duration = Duration::from_secs(3);

struct Webhook {
    context: Arc<Context>,
    token: String,
}

pub async fn serve(config: Config, context: Arc<Context>) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(&config.webhook_token)
        .with_context(|| format!("reading the webhook's token from {}", config.webhook_token.display()))?;
    let token = token.trim().to_owned();
    anyhow::ensure!(
        !token.is_empty(),
        "{} is empty; it has to hold the webhook's token",
        config.webhook_token.display()
    );
    let tls = tls(&config)
        .with_context(|| format!("reading {} and {}", config.webhook_cert.display(), config.webhook_key.display()))?;
    let routes = Router::new().route("/webhook", post(receive)).with_state(Arc::new(Webhook { context, token }));
    let listener = TcpListener::bind(config.webhook_address).await.with_context(|| {
        format!("listening for the webhook on {} (--webhook.listen-address)", config.webhook_address)
    })?;
    door::serve(listener, Some(tls), routes).await
}

fn tls(config: &Config) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&config.webhook_cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&config.webhook_key)?;
    let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

type Answer = (StatusCode, String);

async fn receive(State(webhook): State<Arc<Webhook>>, request: Request) -> Answer {
    let answer = if authentic(request.headers(), &webhook.token) {
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer(&webhook.context, request.into_body()));
        answer.await.unwrap_or_else(|_| not_yet("not everything is recorded yet"))
    } else {
        // Nothing of the body is read: a stranger cannot make us hold anything.
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
            let text =
                format!("more than {BODY_BYTES} bytes: let Alertmanager send fewer alerts at once (max_alerts)\n");
            return (StatusCode::PAYLOAD_TOO_LARGE, text);
        }
        Err(error) => return not_yet(format_args!("the body did not come whole: {error}")),
    };
    let told = match understand(context, &body) {
        Ok(told) => told,
        Err(text) => return (StatusCode::BAD_REQUEST, text),
    };
    drop(body);
    let nodes = told.len();
    match board::record_all(context, told, REFRESHING).await {
        0 => (StatusCode::OK, format!("{nodes} nodes\n")),
        lost => not_yet(format_args!("{lost} of {nodes} nodes not recorded yet")),
    }
}

/// The complaints of each node, or what is wrong with the body as a whole.
fn understand(context: &Context, body: &[u8]) -> Result<BTreeMap<String, Vec<Complaint>>, String> {
    let payload: Payload =
        serde_json::from_slice(body).map_err(|error| format!("not a webhook of Alertmanager: {error}\n"))?;
    if payload.version != VERSION {
        return Err(format!("payload version {:?} is not {VERSION}: use a webhook_config\n", payload.version));
    }
    Ok(sort(context, &payload))
}

/// `None`: it is too large. It is taken to its end all the same, or whoever sends it would not read the answer.
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

/// Compares in a time that does not depend on where the two differ.
fn authentic(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let differs = given.iter().zip(token.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differs == 0
}

/// The complaints of each node; what is not for us is counted, and logged once for each reason.
fn sort(context: &Context, payload: &Payload) -> BTreeMap<String, Vec<Complaint>> {
    let mut told: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    let mut ignored: BTreeMap<&'static str, (usize, String)> = BTreeMap::new();
    let site = context.site();
    for alert in &payload.alerts {
        let (fingerprint, meaning) = match Alert::read(alert) {
            Ok(alert) => (alert.fingerprint.clone(), alert.meaning(site.cluster.as_deref(), context.now())),
            Err(error) => (error.to_string(), Meaning::Ignored("not understood")),
        };
        let outcome = match meaning {
            Meaning::Complaint { node, complaint } => {
                complaints::hear(told.entry(node).or_default(), complaint);
                "complaint"
            }
            Meaning::Heartbeat => {
                context.metrics.heartbeat.set(metrics::seconds(clock::now()));
                "heartbeat"
            }
            Meaning::Ignored(why) => {
                ignored.entry(why).or_insert((0, fingerprint)).0 += 1;
                why
            }
        };
        context.metrics.webhook_alerts.get_or_create_owned(&Outcome { outcome: outcome.to_owned() }).inc();
    }
    for (why, (alerts, first)) in ignored {
        tracing::warn!(why, alerts, first, "alerts ignored");
    }
    told
}
