//! The two clients of the Kubernetes API: one for requests, one for watches. Both count every
//! request; neither retries one.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{Method, Request, Response};
use kube::client::ClientBuilder;
use tower::Service;
use tower::layer::layer_fn;

use crate::metrics::{Call, Calls};
use ossci_base::clock;

/// Timeout of a request. The caller retries, not the client.
const REQUEST: Duration = Duration::from_secs(10);
/// Read timeout of a watch. The API server closes each of our watches within 300 s, so a connection
/// that is silent for longer is dead.
const WATCH: Duration = Duration::from_secs(305);

/// The time of the last successful request for each path. A watch is closed and requested again
/// within 300 s. If one path was refused for longer, this process misses its changes, even while
/// other watches work.
#[derive(Debug, Clone, Default)]
pub struct Granted(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Granted {
    /// Records a request for `path`. Until the first success, the time of the first request counts.
    fn note(&self, path: &str, granted: bool, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(path) {
            Some(at) if granted => *at = now,
            Some(_) => {}
            None => drop(all.insert(path.to_owned(), now)),
        }
    }

    fn oldest(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }

    /// Returns the time since the last success of the path that has failed for longest.
    pub fn age(&self) -> Duration {
        self.oldest().map_or(Duration::ZERO, |at| clock::monotonic().saturating_duration_since(at))
    }
}

async fn client(
    mut config: kube::Config,
    read_timeout: Duration,
    calls: &Calls,
    granted: Option<&Granted>,
) -> Result<kube::Client, kube::Error> {
    config.connect_timeout = Some(REQUEST);
    config.read_timeout = Some(read_timeout);
    config.write_timeout = Some(REQUEST);
    // A refused eviction is a 429 and a lost race a 409. The reconcile handles both, so the client
    // must not retry them.
    config.default_retry = false;
    let (calls, granted) = (calls.clone(), granted.cloned());
    let counted = layer_fn(move |service| Counted { service, calls: calls.clone(), granted: granted.clone() });
    Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
}

/// Returns the configuration of the pod that we run in, or of the current context of `KUBECONFIG`.
async fn inferred() -> Result<kube::Config, kube::Error> {
    kube::Config::infer().await.map_err(kube::Error::InferConfig)
}

/// Returns the client for requests; `calls` counts them.
pub async fn requests(calls: &Calls) -> Result<kube::Client, kube::Error> {
    client(inferred().await?, REQUEST, calls, None).await
}

/// Returns a client for requests to the cluster of a context of `KUBECONFIG`.
///
/// # Errors
/// There is no such context.
pub async fn requests_of(context: &str) -> anyhow::Result<kube::Client> {
    let options = kube::config::KubeConfigOptions { context: Some(context.to_owned()), ..Default::default() };
    let config = kube::Config::from_kubeconfig(&options).await?;
    Ok(client(config, REQUEST, &Calls::default(), None).await?)
}

/// Returns the client for watches; `granted` records their successful requests.
pub async fn watches(calls: &Calls, granted: Option<&Granted>) -> Result<kube::Client, kube::Error> {
    client(inferred().await?, WATCH, calls, granted).await
}

/// A tower service that counts requests by verb and status code.
struct Counted<S> {
    service: S,
    calls: Calls,
    granted: Option<Granted>,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, calls, granted) = (verb(&request), self.calls.clone(), self.granted.clone());
        let path = request.uri().path().to_owned();
        let note = move |success| {
            if let Some(granted) = &granted {
                granted.note(&path, success, clock::monotonic());
            }
        };
        note(false);
        let answer = self.service.call(request);
        Box::pin(async move {
            let answer = answer.await;
            let code = answer.as_ref().map_or("none".to_owned(), |answer| answer.status().as_u16().to_string());
            calls.get_or_create_owned(&Call { verb, code }).inc();
            note(answer.as_ref().is_ok_and(|answer| answer.status().is_success()));
            answer
        })
    }
}

/// Returns the Kubernetes verb of a request, except that a list counts as `get`.
fn verb<B>(request: &Request<B>) -> &'static str {
    let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
    match *request.method() {
        Method::GET if watches => "watch",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn granting_one_watch_does_not_count_for_another() {
        let (granted, begun) = (Granted::default(), clock::monotonic());
        let later = begun + WATCH;
        for (at, records) in [(begun, false), (later, false), (later, true)] {
            granted.note("/nodes", true, at);
            granted.note("/noderepairs", records, at);
            assert_eq!(granted.oldest(), Some(if records { later } else { begun }));
        }
    }
}
