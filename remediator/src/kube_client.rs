//! The two clients of the Kubernetes API, and what its refusals mean.

use std::time::Duration;

/// A request that takes longer than this is tried again in another turn.
const REQUEST: Duration = Duration::from_secs(10);
/// A watch that is silent for longer than this is dead: the API server ends each of ours before 300 s.
const WATCH: Duration = Duration::from_secs(305);

async fn client(read_timeout: Duration) -> Result<kube::Client, kube::Error> {
    let mut config = kube::Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.connect_timeout = Some(REQUEST);
    config.read_timeout = Some(read_timeout);
    config.write_timeout = Some(REQUEST);
    // A refused eviction is a 429 and a lost race a 409: each is an answer for the next turn, not for a retry below us.
    config.default_retry = false;
    kube::Client::try_from(config)
}

pub async fn requests() -> Result<kube::Client, kube::Error> {
    client(REQUEST).await
}

pub async fn watches() -> Result<kube::Client, kube::Error> {
    client(WATCH).await
}

/// Somebody else wrote in between: read again.
pub fn lost_race(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

pub fn not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
