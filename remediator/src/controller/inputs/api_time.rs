//! Keeps the time that decisions are made by: asks the API server what time it is, at the start and each minute.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, header};
use kube::client::Body;

use crate::controller::context::Context;
use crate::controller::state::time::ApiTime;
use crate::core::kept_time::Reading;
use ossci_base::clock;

const EVERY: Duration = Duration::from_secs(60);
/// While the clocks disagree they are compared more often.
const EVERY_SKEWED: Duration = Duration::from_secs(5);
const AT_START: Duration = Duration::from_secs(1);

/// Asks until the API server answers: without its time nothing is decided.
pub async fn begin(client: &kube::Client) -> ApiTime {
    loop {
        match read(client).await {
            Ok(reading) => return ApiTime::begin(reading),
            Err(error) => tracing::warn!(error = format!("{error:#}"), "asking the API server for its time"),
        }
        tokio::time::sleep(AT_START).await;
    }
}

/// Compares the clocks as long as the process runs.
pub async fn follow(client: kube::Client, context: Arc<Context>) -> anyhow::Result<()> {
    loop {
        tokio::time::sleep(if context.time.skewed() { EVERY_SKEWED } else { EVERY }).await;
        let reading = match read(&client).await {
            Ok(reading) => reading,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "asking the API server for its time");
                continue;
            }
        };
        let before = context.time.kept();
        let after = before.compare(reading);
        context.time.set(after);
        context.metrics.clock_skewed.set(i64::from(after.skewed()));
        if before.skewed() != after.skewed() {
            tracing::warn!(api = %reading.api, wall = %reading.wall, skewed = after.skewed(), "clocks compared");
            context.wake_all();
        }
    }
}

/// The API server's `Date`, our wall clock and our monotonic one, at about one moment.
async fn read(client: &kube::Client) -> anyhow::Result<Reading> {
    let request = Request::get("/version").body(Body::empty()).context("a request without a body")?;
    let answer = client.send(request).await?;
    let date = answer.headers().get(header::DATE).context("an answer without a Date")?;
    let date = date.to_str().context("a Date that is no text")?;
    let api = jiff::fmt::rfc2822::parse(date).with_context(|| format!("the Date {date:?}"))?.timestamp();
    Ok(Reading { api, wall: clock::now(), at: clock::monotonic() })
}
