//! Reader of the API server's time: at the start, and then every minute. Decides nothing.

use std::sync::Arc;
use std::time::Duration;

use crate::api::time;
use crate::controller::context::Context;
use crate::controller::state::time::ApiTime;

/// Interval of the readings.
const EVERY: Duration = Duration::from_secs(60);
/// Interval while the clocks disagree.
const EVERY_SKEWED: Duration = Duration::from_secs(5);
/// Interval of the attempts at the start.
const AT_START: Duration = Duration::from_secs(1);

/// Reads the API server's time. Retries until it answers, because every decision needs this time.
pub async fn begin(client: &kube::Client) -> ApiTime {
    loop {
        match time::read(client).await {
            Ok(reading) => return ApiTime::begin(reading),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot read the API server's time, retrying"),
        }
        tokio::time::sleep(AT_START).await;
    }
}

/// Compares the clocks for as long as the process runs. A failed reading is logged and retried.
pub async fn follow(client: kube::Client, context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(if context.time.skewed() { EVERY_SKEWED } else { EVERY }).await;
        let reading = match time::read(&client).await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot read the API server's time, retrying");
                continue;
            }
        };
        let before = context.time.kept();
        let after = before.compare(reading);
        context.time.set(after);
        context.metrics.clock_skewed.set(i64::from(after.skewed()));
        if before.skewed() != after.skewed() {
            tracing::warn!(api = %reading.api, wall = %reading.wall, skewed = after.skewed(), "clock skew changed");
            context.wake_all();
        }
    }
}
