//! A minimal Service: one address for several pods, like kube-proxy's. A connection goes to the
//! next pod that accepts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Forwards connections to `address` to one of `pods` (host:port each) while the future is polled.
pub async fn serve(address: String, pods: Vec<String>) -> Result<()> {
    let listener = TcpListener::bind(&address).await.with_context(|| format!("listening on {address}"))?;
    let (pods, turn) = (Arc::new(pods), Arc::new(AtomicUsize::new(0)));
    let mut connections = JoinSet::new();
    loop {
        let (mut from, _) = listener.accept().await.context("accepting a connection")?;
        let (pods, turn) = (Arc::clone(&pods), Arc::clone(&turn));
        connections.spawn(async move {
            let first = turn.fetch_add(1, Ordering::Relaxed);
            for pod in pods.iter().cycle().skip(first % pods.len()).take(pods.len()) {
                if let Ok(mut to) = TcpStream::connect(pod).await {
                    // Either side may close the connection; both sides report their own errors.
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                    return;
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
