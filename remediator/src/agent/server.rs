//! The HTTP server for the agent's metrics and health, without TLS. It accepts no orders: those
//! come only by the record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use crate::api::client::Granted;
use crate::metrics::AgentMetrics;
use crate::metrics_server;

/// The agent is unhealthy after this time without a granted watch (two in a row): it would see no
/// order.
const BLIND: Duration = Duration::from_secs(600);

pub async fn serve(address: SocketAddr, metrics: Arc<AgentMetrics>, granted: Granted) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(async move || metrics_server::page(metrics.page())))
        .route("/-/healthy", get(async move || healthy(granted.age())));
    metrics_server::serve(address, routes).await
}

fn healthy(silence: Duration) -> (StatusCode, String) {
    if silence > BLIND {
        let text = format!("the API server has not granted a watch for {} s: orders are not seen\n", silence.as_secs());
        return (StatusCode::SERVICE_UNAVAILABLE, text);
    }
    (StatusCode::OK, "healthy\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_sees_no_orders_is_not_healthy() {
        assert_eq!(healthy(Duration::from_secs(299)).0, StatusCode::OK);
        let (status, text) = healthy(Duration::from_secs(601));
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(text.contains("601 s"), "{text}");
    }
}
