//! HTTP server for metrics, health and answers about the fleet, without TLS. It is read-only and
//! exposes no secret.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::standings::standings;
use crate::api::about;
use crate::controller::context::Context;
use crate::core::explain;
use crate::core::status::{Fleet, Mails, Pool};
use crate::metrics::{Standings, seconds};
use crate::metrics_server;
use ossci_base::clock;

/// Number of answers about single nodes that may be read from the API server at the same time.
const READS: usize = 4;

#[derive(Clone)]
struct Shared {
    context: Arc<Context>,
    reads: Arc<Semaphore>,
}

/// Serves on `address`.
pub async fn plain(address: SocketAddr, context: Arc<Context>) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/fleet", get(fleet))
        .route("/nodes/{name}", get(node))
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(async || "ready\n"))
        .with_state(Shared { context, reads: Arc::new(Semaphore::new(READS)) });
    metrics_server::serve(address, routes).await
}

async fn metrics(State(Shared { context, .. }): State<Shared>) -> Response {
    let (site, mails) = (context.site(), context.outbox.standing());
    let shown = match context.leadership.leads() {
        true => standings(&context.fleet, &site.policy, context.now()),
        false => Standings::default(),
    };
    shown.mail_configured.set(site.mailer.is_some().into());
    shown.mails_unaccepted.set(i64::try_from(mails.unaccepted).unwrap_or(i64::MAX));
    shown.mail_oldest.set(mails.oldest.map_or(0.0, seconds));
    metrics_server::page(context.metrics.page(&shown))
}

/// The fleet as the leader knows it; another replica answers 503.
async fn fleet(State(Shared { context, .. }): State<Shared>, headers: HeaderMap) -> Response {
    if !context.leadership.leads() {
        return (StatusCode::SERVICE_UNAVAILABLE, "this replica does not lead; ask the other\n").into_response();
    }
    let (site, mails, now) = (context.site(), context.outbox.standing(), context.now());
    let counts = context.fleet.counts(&site.policy, now, clock::monotonic());
    let fleet = Fleet {
        at: now,
        paused: counts.paused,
        pools: counts.pools.iter().map(|(name, standing)| Pool::of(name, standing)).collect(),
        nodes: counts.states,
        mail: Mails { configured: site.mailer.is_some(), unaccepted: mails.unaccepted, oldest: mails.oldest },
        records_not_understood: counts.not_understood,
    };
    answer(&headers, &fleet, Fleet::text)
}

/// One node, read from the API server.
async fn node(State(shared): State<Shared>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Shared { context, reads } = shared;
    if !context.fleet.knows(&name) {
        return (StatusCode::NOT_FOUND, format!("there is no Node {name:?}, and no record of one\n")).into_response();
    }
    let Ok(_turn) = reads.try_acquire() else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many of these are being answered; ask again\n").into_response();
    };
    match about::explain(&context.client, &name, &context.site().names, context.now()).await {
        Ok(Some(found)) => answer(&headers, &found, |found| explain::text(found, true)),
        Ok(None) => (StatusCode::NOT_FOUND, format!("the Node {name:?} was deleted\n")).into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, format!("the API server: {error}\n")).into_response(),
    }
}

/// Returns JSON to who asks for it, and text to everybody else.
fn answer<T: Serialize>(headers: &HeaderMap, of: &T, text: impl FnOnce(&T) -> String) -> Response {
    let wants = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if wants.contains("application/json") { axum::Json(of).into_response() } else { text(of).into_response() }
}
