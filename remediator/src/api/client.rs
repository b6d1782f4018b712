//! The two clients of the Kubernetes API: one for requests, one for watches. Both count every request.

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

/// A request that takes longer than this is tried again in another turn.
const REQUEST: Duration = Duration::from_secs(10);
/// A watch that is silent for longer than this is dead: the API server ends each of ours before 300 s.
const WATCH: Duration = Duration::from_secs(305);

/// When the API server last granted what is asked of it again and again, each path by itself. A watch is ended and asked for again
/// before 300 s are over, so a client of watches that one of them was not granted for longer is blind to what that one tells.
#[derive(Debug, Clone, Default)]
pub struct Granted(Arc<Mutex<BTreeMap<String, Instant>>>);

impl Granted {
    /// Of one that was never granted it is the first request that counts.
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

    /// Of what was not granted for longest.
    pub fn age(&self) -> Duration {
        self.oldest().map_or(Duration::ZERO, |at| clock::monotonic().saturating_duration_since(at))
    }
}

async fn client(read_timeout: Duration, calls: &Calls, granted: Option<&Granted>) -> Result<kube::Client, kube::Error> {
    let mut config = kube::Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.connect_timeout = Some(REQUEST);
    config.read_timeout = Some(read_timeout);
    config.write_timeout = Some(REQUEST);
    // A refused eviction is a 429 and a lost race a 409: each is an answer for the next turn, not for a retry below us.
    config.default_retry = false;
    let (calls, granted) = (calls.clone(), granted.cloned());
    let counted = layer_fn(move |service| Counted { service, calls: calls.clone(), granted: granted.clone() });
    Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
}

/// For requests; each is counted in `calls`.
pub async fn requests(calls: &Calls) -> Result<kube::Client, kube::Error> {
    client(REQUEST, calls, None).await
}

/// For watches; what they are granted is noted in `granted`.
pub async fn watches(calls: &Calls, granted: Option<&Granted>) -> Result<kube::Client, kube::Error> {
    client(WATCH, calls, granted).await
}

/// A service that counts what it is asked and what is answered.
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

/// As Kubernetes names it, but that a list is a `get`.
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
    fn one_watch_that_is_granted_does_not_speak_for_another() {
        let (granted, begun) = (Granted::default(), clock::monotonic());
        let later = begun + WATCH;
        for (at, records) in [(begun, false), (later, false), (later, true)] {
            granted.note("/nodes", true, at);
            granted.note("/noderepairs", records, at);
            assert_eq!(granted.oldest(), Some(if records { later } else { begun }));
        }
    }
}
