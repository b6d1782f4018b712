//! The proxy between the remediator and the API server. A story may cut the connection until it is
//! restored, or at one committed write, before or after the response. The proxy changes nothing in
//! requests and responses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use futures::TryStreamExt;

use crate::pki::Pki;
use crate::pods::App;
use crate::{ports, process};

/// Size limit of a request; the remediator's largest is far below it.
const REQUEST_BYTES: usize = 1 << 20;

/// Which side of the response the cut is on, for a write that the API server has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The writer never receives the response.
    Before,
    /// The writer has received the response when it is killed.
    After,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

#[derive(Debug, Default)]
struct Line {
    down: bool,
    /// Durable writes since the count began: those of records, nodes and the budget.
    committed: u32,
    cut: Option<(u32, Side)>,
}

/// A running proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub url: String,
    line: Arc<Mutex<Line>>,
}

#[derive(Clone)]
struct Way {
    line: Arc<Mutex<Line>>,
    upstream: String,
    client: reqwest::Client,
}

impl Proxy {
    pub async fn start(pki: &Pki, upstream: &str) -> Result<Self> {
        let pair = pki.server("proxy")?;
        let tls =
            RustlsConfig::from_pem_file(&pair.cert, &pair.key).await.context("reading the proxy's certificate")?;
        let ca = reqwest::Certificate::from_pem(pki.ca_pem().as_bytes()).context("reading the lab's CA")?;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build()?;
        let line = Arc::new(Mutex::new(Line::default()));
        let way = Way { line: Arc::clone(&line), upstream: upstream.to_owned(), client };
        let address: SocketAddr = ([127, 0, 0, 1], ports::free()?).into();
        let listener = std::net::TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
        listener.set_nonblocking(true).context("preparing the proxy's socket")?;
        // Like the API server, it delays no segment of an answer.
        let acceptor = RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor);
        let server = axum_server::from_tcp(listener).context("preparing the proxy")?.acceptor(acceptor);
        tokio::spawn(server.serve(Router::new().fallback(pass).with_state(way).into_make_service()));
        Ok(Self { url: format!("https://{address}"), line })
    }

    /// Cuts the connection, or restores it.
    pub fn set_down(&self, down: bool) {
        lock(&self.line).down = down;
    }

    /// Restarts the count of durable writes, and kills the remediator at the write that `cut`
    /// names.
    pub fn count(&self, cut: Option<(u32, Side)>) {
        *lock(&self.line) = Line { cut, ..Line::default() };
    }

    /// Durable writes since the count began.
    pub fn committed(&self) -> u32 {
        lock(&self.line).committed
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills every process of the remediator.
fn kill_remediator() {
    process::kill_all(|text| text.contains(App::Controller.sign()));
}

async fn pass(State(way): State<Way>, request: Request) -> Response<Body> {
    let down = || lock(&way.line).down;
    if down() {
        return refusal("the connection is cut");
    }
    let durable = is_durable(request.method(), request.uri().path());
    let answer = match forward(&way, request).await {
        Ok(answer) => answer,
        Err(error) => return refusal(&format!("{error:#}")),
    };
    let side = if durable && answer.status().is_success() { at_cut(&way.line) } else { None };
    match side {
        None => {}
        Some(Side::Before) => {
            kill_remediator();
            return refusal("cut before the answer");
        }
        Some(Side::After) => {
            // The response is on its way when the writer is killed a moment later.
            tokio::spawn(async {
                tokio::task::yield_now().await;
                kill_remediator();
            });
        }
    }
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers().iter().filter(|(name, _)| *name != header::TRANSFER_ENCODING) {
        response = response.header(name, value);
    }
    // A watch fails when the connection is cut.
    let line = Arc::clone(&way.line);
    let body = answer.bytes_stream().map_err(std::io::Error::other).and_then(move |bytes| {
        let cut = lock(&line).down;
        std::future::ready(if cut { Err(std::io::Error::other("the connection is cut")) } else { Ok(bytes) })
    });
    response.body(Body::from_stream(body)).unwrap_or_else(|error| refusal(&error.to_string()))
}

/// Counts a committed write, and returns the side of the cut if it is at this write.
fn at_cut(line: &Mutex<Line>) -> Option<Side> {
    let mut line = lock(line);
    line.committed += 1;
    let (at, side) = line.cut?;
    (line.committed == at).then_some(side)
}

/// Whether this is a write of the remediator's persistent state: neither its Lease nor its Events.
fn is_durable(method: &Method, path: &str) -> bool {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    let kept = ["/noderepairs", "/nodes/", "/configmaps/", "/eviction"];
    writes && kept.iter().any(|part| path.contains(part))
}

async fn forward(way: &Way, request: Request) -> Result<reqwest::Response> {
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map(|path| path.as_str()).unwrap_or_default();
    let body = to_bytes(body, REQUEST_BYTES).await.context("reading the request")?;
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::HOST && *name != header::CONNECTION) {
        headers.append(name, value.clone());
    }
    let request = way.client.request(head.method, format!("{}{path}", way.upstream)).headers(headers).body(body);
    request.send().await.context("asking the API server")
}

fn refusal(text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(text.to_owned()));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_that_are_remembered_are_counted_and_no_others() {
        let repair = "/apis/ossci.amd.com/v1alpha1/noderepairs/gpu1/status";
        assert!(is_durable(&Method::PATCH, repair) && !is_durable(&Method::GET, repair));
        assert!(is_durable(&Method::PATCH, "/api/v1/nodes/gpu1"));
        assert!(is_durable(&Method::POST, "/api/v1/namespaces/train/pods/job-0/eviction"));
        assert!(!is_durable(&Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/ossci/leases/ossci-remediator"));
        assert!(!is_durable(&Method::POST, "/apis/events.k8s.io/v1/namespaces/default/events"));
    }

    #[test]
    fn the_line_is_cut_once() {
        let line = Mutex::new(Line { cut: Some((2, Side::Before)), ..Line::default() });
        assert_eq!([at_cut(&line), at_cut(&line), at_cut(&line)], [None, Some(Side::Before), None]);
    }
}
