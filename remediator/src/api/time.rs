//! Reads the API server's time, which decisions and commands use instead of their own machine's.

use anyhow::Context as _;
use http::{Request, header};
use kube::client::Body;

use crate::core::kept_time::Reading;
use ossci_base::clock;

/// Reads the API server's `Date`, our wall clock and our monotonic clock at about the same moment.
///
/// # Errors
/// The API server does not answer, or without a time.
pub async fn read(client: &kube::Client) -> anyhow::Result<Reading> {
    let request = Request::get("/version").body(Body::empty()).context("building the request for /version")?;
    let answer = client.send(request).await?;
    let date = answer.headers().get(header::DATE).context("the answer has no Date header")?;
    let date = date.to_str().context("the Date header is not text")?;
    let api = jiff::fmt::rfc2822::parse(date).with_context(|| format!("parsing the Date header {date:?}"))?.timestamp();
    Ok(Reading { api, wall: clock::now(), at: clock::monotonic() })
}
