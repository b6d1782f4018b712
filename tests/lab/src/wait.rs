//! Waits for a fact, always with a deadline. After the deadline the error has the last obstacle.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::clock::Stopwatch;

/// Calls `probe` until it returns `Ok`. At the deadline the error contains the probe's last error.
pub async fn until<T, F, Fut>(fact: impl std::fmt::Display, deadline: Duration, mut probe: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let watch = Stopwatch::start();
    let mut pause = Duration::from_millis(20);
    loop {
        let obstacle = match tokio::time::timeout(deadline, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("no answer"),
        };
        if watch.elapsed() >= deadline {
            bail!("waited {} for: {fact}; last: {obstacle:#}", watch.read());
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}
