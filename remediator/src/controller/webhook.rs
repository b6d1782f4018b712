//! Alertmanager's webhook: authenticate, bound, parse, make every complaint durable, and only then answer 200.
//!
//! Our own trouble is always answered 503, which Alertmanager tries again; a 4xx would be lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use super::{Config, Context, observe, record};
use crate::clock;
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::kube_client;
use crate::metrics::{self, Code, Outcome};
use crate::wire::alertmanager::{Meaning, Payload, VERSION};
use crate::wire::node_repair::{self, NodeRepair};

/// A delivery of some thousand alerts is below this.
const BODY_BYTES: usize = 16 << 20;
/// Alertmanager gives up after 10 s or so; what was written by then stays, and its retry finishes the rest.
const DURABLE_WITHIN: Duration = Duration::from_secs(8);
/// Nodes whose complaints are written at the same time.
const CONCURRENT: usize = 8;

struct Door {
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
    let tls = RustlsConfig::from_pem_file(&config.webhook_cert, &config.webhook_key)
        .await
        .with_context(|| format!("reading {} and {}", config.webhook_cert.display(), config.webhook_key.display()))?;
    let routes = Router::new()
        .route("/webhook", post(receive))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(Door { context, token }));
    axum_server::bind_rustls(config.webhook_address, tls)
        .serve(routes.into_make_service())
        .await
        .with_context(|| format!("serving the webhook on {} (--webhook.listen-address)", config.webhook_address))
}

async fn receive(State(door): State<Arc<Door>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let answer = answer(&door, &headers, &body).await;
    door.context.metrics.webhook_requests.get_or_create_owned(&Code { code: answer.0.as_u16() }).inc();
    answer
}

async fn answer(door: &Door, headers: &HeaderMap, body: &[u8]) -> (StatusCode, String) {
    if !authentic(headers, &door.token) {
        return (StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong\n".to_owned());
    }
    let payload: Payload = match serde_json::from_slice(body) {
        Ok(payload) => payload,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a webhook of Alertmanager: {error}\n")),
    };
    if payload.version != VERSION {
        let text = format!("payload version {:?} is not {VERSION}: use a webhook_config\n", payload.version);
        return (StatusCode::BAD_REQUEST, text);
    }
    let told = sort(&door.context, &payload);
    let nodes = told.len();
    let writes = futures::stream::iter(told)
        .map(|(node, complaints)| complain(&door.context, node, complaints))
        .buffer_unordered(CONCURRENT)
        .filter(|durable| std::future::ready(!durable))
        .count();
    match tokio::time::timeout(DURABLE_WITHIN, writes).await {
        Ok(0) => (StatusCode::OK, format!("{nodes} nodes\n")),
        Ok(lost) => (StatusCode::SERVICE_UNAVAILABLE, format!("{lost} of {nodes} nodes not recorded yet\n")),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not everything is recorded yet\n".to_owned()),
    }
}

/// Compares in a time that does not depend on where the two differ.
fn authentic(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let differs = given.iter().zip(token.as_bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differs == 0
}

/// The complaints of each node; what is not for us is counted and logged.
fn sort(context: &Context, payload: &Payload) -> BTreeMap<String, Vec<Complaint>> {
    let mut told: BTreeMap<String, Vec<Complaint>> = BTreeMap::new();
    let site = context.site();
    for alert in &payload.alerts {
        let outcome = match alert.meaning(site.cluster.as_deref(), context.now()) {
            Meaning::Complaint { node, complaint } => {
                told.entry(node).or_default().push(complaint);
                "complaint"
            }
            Meaning::Heartbeat => {
                context.metrics.heartbeat.set(metrics::seconds(clock::now()));
                "heartbeat"
            }
            Meaning::Ignored(why) => {
                tracing::warn!(fingerprint = alert.fingerprint, why, "alert ignored");
                why
            }
        };
        context.metrics.webhook_alerts.get_or_create_owned(&Outcome { outcome: outcome.to_owned() }).inc();
    }
    told
}

/// Makes the complaints of one node durable; `false` when that did not succeed.
pub async fn complain(context: &Context, node: String, told: Vec<Complaint>) -> bool {
    match write(context, &node, &told).await {
        Ok(true) => {
            context.wakes.wake(&node);
            true
        }
        Ok(false) => {
            tracing::warn!(node, "alert ignored: there is no such node");
            let outcome = Outcome { outcome: "no such node".to_owned() };
            context.metrics.webhook_alerts.get_or_create_owned(&outcome).inc();
            true
        }
        Err(error) => {
            tracing::error!(node, %error, "recording a complaint");
            false
        }
    }
}

/// Tries until the guarded write wins; the caller bounds the time. `Ok(false)`: there is no such node.
async fn write(context: &Context, name: &str, told: &[Complaint]) -> Result<bool, kube::Error> {
    let repairs: Api<NodeRepair> = Api::all(context.client.clone());
    loop {
        let repair = match repairs.get_opt(name).await? {
            Some(repair) => repair,
            None => {
                let nodes: Api<Node> = Api::all(context.client.clone());
                if nodes.get_metadata_opt(name).await?.is_none() {
                    return Ok(false);
                }
                observe::create(&repairs, name).await?
            }
        };
        let known = repair.record().complaints;
        let board: Vec<_> = complaints::receive(&known, told.iter().cloned());
        if board == known {
            return Ok(true);
        }
        let board: Vec<_> = board.iter().map(node_repair::Complaint::from).collect();
        let patch = json!({ "metadata": record::guard(&repair), "status": { "complaints": board } });
        match repairs.patch_status(&repair.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
            Err(error) if kube_client::lost_race(&error) => {}
            other => return other.map(|_| true),
        }
    }
}
