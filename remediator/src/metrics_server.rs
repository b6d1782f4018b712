//! What the controller's and the agent's servers of metrics share: a listener in the clear, and the page.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use ossci_base::door::listen;

use crate::metrics::CONTENT_TYPE;

/// Serves for ever.
pub async fn serve(address: SocketAddr, routes: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listening for metrics on {address} (--metrics.listen-address)"))?;
    match listen::serve(listener, None, routes).await {}
}

/// A page of metrics, or why there is none.
pub fn page(page: Result<String, std::fmt::Error>) -> Response {
    match page {
        Ok(page) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
