//! The HTTP server for the metrics of the controller and the agent, without TLS.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use ossci_base::door::listen;

use crate::metrics::CONTENT_TYPE;

/// Serves until the process exits.
pub async fn serve(address: SocketAddr, routes: Router) -> anyhow::Result<()> {
    let listener = listen::bind(address)
        .await
        .with_context(|| format!("listening for metrics on {address} (--metrics.listen-address)"))?;
    match listen::serve(listener, None, routes).await {}
}

/// Returns the metrics page, or status 500 with the error.
pub fn page(page: Result<String, std::fmt::Error>) -> Response {
    match page {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
