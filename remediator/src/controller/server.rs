//! Metrics and health, in the clear: nothing here changes anything or tells a secret.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Context;
use crate::metrics::CONTENT_TYPE;

pub async fn plain(address: SocketAddr, context: Arc<Context>) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(async || "healthy\n"))
        .route("/-/ready", get(async || "ready\n"))
        .with_state(context);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listening for metrics on {address} (--metrics.listen-address)"))?;
    axum::serve(listener, routes).await.context("serving metrics")
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    match context.metrics.page() {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
