//! A provisioning service out of two commands of the site: one begins a reimage, one says how far
//! it is. TLS, the token and that a reimage begins once are done here (docs/reimage-service.md).

mod known;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::serve::Listener as _;
use axum::{Json, Router};
use jiff::Timestamp;
use ossci_base::clock;
use ossci_base::door::listen;
use ossci_base::door::tls::{self, Tls};
use ossci_base::door::tokens::Tokens;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::agent::process::{self, TRY_LATER};
use known::{Key, Known, Reimage, Said, State};

/// Limit of a request's body; ours have some hundred bytes.
const BODY_BYTES: usize = 64 << 10;
/// Limit of the command that says the state: the controller waits 15 s for an answer.
const SAYS_WITHIN: Duration = Duration::from_secs(10);
/// Limit of the command that begins.
const BEGINS_WITHIN: Duration = Duration::from_secs(600);
/// Pause before a command that could not begin is run again.
const AGAIN: Duration = Duration::from_secs(30);
/// How often a new certificate is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Limit of a message in characters.
const MESSAGE: usize = 500;

#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// Listen address, with TLS.
    #[arg(long = "listen-address", default_value = "0.0.0.0:19404")]
    pub address: SocketAddr,
    /// Path of the certificate (PEM).
    #[arg(long = "tls-cert", default_value = "/etc/ossci/tls/tls.crt")]
    pub cert: PathBuf,
    /// Path of the private key (PEM).
    #[arg(long = "tls-key", default_value = "/etc/ossci/tls/tls.key")]
    pub key: PathBuf,
    /// Path of the file with the bearer tokens that are accepted, one per line; read for each
    /// request.
    #[arg(long = "token-file", default_value = "/etc/ossci/reimage-token")]
    pub token: PathBuf,
    /// The folder that remembers each reimage; on a disk that lasts.
    #[arg(long = "state-dir", default_value = "/var/lib/ossci/reimages")]
    pub state_dir: PathBuf,
    /// The program that begins a reimage: NODE and ID as arguments, the request as JSON on its
    /// standard input.
    #[arg(long = "begin")]
    pub begin: PathBuf,
    /// The program that says how far a reimage is: NODE and ID as arguments; running, done, failed
    /// or unknown and a message in its first line.
    #[arg(long = "state")]
    pub state: PathBuf,
}

struct Service {
    config: Config,
    known: Known,
    /// For each reimage the lock of the request that looks at it and then writes.
    in_work: Mutex<BTreeMap<Key, Arc<Mutex<()>>>>,
}

/// Serves until `stopped` resolves.
pub async fn run(config: Config, stopped: impl Future<Output = ()>) -> anyhow::Result<()> {
    for (option, program) in [("--begin", &config.begin), ("--state", &config.state)] {
        let file = std::fs::metadata(program).with_context(|| format!("{option}: {}", program.display()))?;
        ensure!(is_program(&file), "{option}: {} is no program; make it executable", program.display());
    }
    Tokens::read(&config.token).context("--token-file")?;
    let tls = Tls::new(Arc::new(tls::server_config(&config.cert, &config.key)?));
    let known = Known::of(&config.state_dir)
        .with_context(|| format!("--state-dir: {} cannot be used", config.state_dir.display()))?;
    let listener = listen::bind(config.address)
        .await
        .with_context(|| format!("listening on {} (--listen-address)", config.address))?;
    let service = Arc::new(Service { config, known, in_work: Mutex::default() });
    for (key, reimage) in service.known.starting().context("reading what was begun")? {
        let service = Arc::clone(&service);
        tokio::spawn(async move { service.goes_on(&key, reimage).await });
    }
    let routes = Router::new()
        .route("/reimages/{node}/{id}", get(look).put(begin))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&service), authorized))
        .with_state(Arc::clone(&service));
    tracing::info!(address = %listener.local_addr()?, "listening");
    tokio::select! {
        never = listen::serve(listener, Some(tls.clone()), routes) => match never {},
        never = follow(&service.config, &tls) => match never {},
        () = stopped => Ok(()),
    }
}

fn is_program(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.is_file() && file.permissions().mode() & 0o111 != 0
}

/// Takes a new certificate; one that cannot be used changes nothing.
async fn follow(config: &Config, tls: &Tls) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match tls::server_config(&config.cert, &config.key) {
            Ok(read) => tls.replace(Arc::new(read)),
            Err(error) => tracing::error!(error = %error, "certificate not used, the old one stays in force"),
        }
    }
}

/// No body is read for a client without a token.
async fn authorized(Shared(service): Shared<Arc<Service>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    match Tokens::read(&service.config.token) {
        Ok(tokens) if tokens.accept(given) => next.run(request).await,
        Ok(_) => (StatusCode::UNAUTHORIZED, "the bearer token is missing or wrong\n").into_response(),
        Err(error) => {
            tracing::error!(error = %error, "no request can be allowed");
            (StatusCode::SERVICE_UNAVAILABLE, "the service cannot read its tokens\n").into_response()
        }
    }
}

type Answer = (StatusCode, Json<Value>);
type NodeAndId = axum::extract::Path<(String, String)>;

fn says(status: StatusCode, state: State, message: &str) -> Answer {
    // A reimage that is being begun is not called back any more.
    let state = if state == State::Starting { State::Running } else { state };
    (status, Json(json!({"state": state, "message": message})))
}

fn refused(status: StatusCode, message: impl std::fmt::Display) -> Answer {
    (status, Json(json!({"message": message.to_string()})))
}

async fn look(Shared(service): Shared<Arc<Service>>, axum::extract::Path((node, id)): NodeAndId) -> Answer {
    let Some(key) = Key::of(node, id) else { return refused(StatusCode::NOT_FOUND, "no such reimage") };
    let one = service.one_at_a_time(&key).await;
    let _one = one.lock().await;
    match service.known.read(&key) {
        Ok(None) => refused(StatusCode::NOT_FOUND, "this reimage was never asked for"),
        Ok(Some(reimage)) => service.state_of(&key, reimage).await,
        Err(error) => refused(StatusCode::SERVICE_UNAVAILABLE, format_args!("reading the reimage: {error}")),
    }
}

async fn begin(
    Shared(service): Shared<Arc<Service>>,
    axum::extract::Path((node, id)): NodeAndId,
    Json(request): Json<Value>,
) -> Answer {
    let Some(key) = Key::of(node, id) else {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "node or id is not a name of Kubernetes");
    };
    if request["node"] != key.node.as_str() {
        return refused(StatusCode::UNPROCESSABLE_ENTITY, "the body is about another node");
    }
    let one = service.one_at_a_time(&key).await;
    let _one = one.lock().await;
    let reimage = Reimage { state: State::Starting, message: "beginning".into(), request };
    match service.known.read(&key) {
        Ok(Some(known)) => return says(StatusCode::OK, known.state, &known.message),
        Ok(None) => {}
        Err(error) => {
            return refused(StatusCode::SERVICE_UNAVAILABLE, format_args!("reading the reimage: {error}"));
        }
    }
    if let Err(error) = service.known.write(&key, &reimage) {
        return refused(StatusCode::SERVICE_UNAVAILABLE, format_args!("storing the reimage: {error}"));
    }
    let begins = Arc::clone(&service);
    tokio::spawn(async move { begins.begins(&key, reimage).await });
    says(StatusCode::ACCEPTED, State::Starting, "beginning")
}

/// What the command that begins came to.
enum Begun {
    Yes,
    /// It could not begin for now.
    NotYet(String),
    No(String),
    /// It did not end: it may have begun.
    Unclear(String),
}

impl Service {
    async fn one_at_a_time(&self, key: &Key) -> Arc<Mutex<()>> {
        let mut all = self.in_work.lock().await;
        all.retain(|_, one| Arc::strong_count(one) > 1);
        Arc::clone(all.entry(key.clone()).or_default())
    }

    /// Runs the command that begins, again while it cannot, until the deadline of the request.
    async fn begins(&self, key: &Key, reimage: Reimage) {
        let deadline: Option<Timestamp> = reimage.request["deadline"].as_str().and_then(|text| text.parse().ok());
        loop {
            let (state, message) = match self.begin_once(key, &reimage.request).await {
                Begun::Yes => (State::Running, "begun".to_owned()),
                Begun::No(why) => (State::Failed, why),
                Begun::NotYet(why) if deadline.is_some_and(|deadline| clock::now() >= deadline) => {
                    (State::Failed, format!("it could not begin by its deadline: {why}"))
                }
                Begun::NotYet(why) => {
                    tracing::warn!(node = key.node, id = key.id, why, "the reimage cannot begin yet");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
                // The other command tells.
                Begun::Unclear(why) => (State::Running, why),
            };
            tracing::info!(node = key.node, id = key.id, state = %state, message, "reimage");
            self.store(key, &Reimage { state, message, ..reimage }).await;
            return;
        }
    }

    /// Goes on with a reimage that an earlier process may have begun.
    async fn goes_on(&self, key: &Key, reimage: Reimage) {
        loop {
            match self.ask(key).await {
                Ok(Said::Unknown) => return self.begins(key, reimage).await,
                Ok(Said::Known(state, message)) => {
                    return self.store(key, &Reimage { state, message, ..reimage }).await;
                }
                Err(why) => {
                    tracing::warn!(node = key.node, id = key.id, why, "it is not known whether the reimage was begun");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    async fn begin_once(&self, key: &Key, request: &Value) -> Begun {
        let input = request.to_string();
        let program = self.config.begin.display().to_string();
        let arguments = [key.node.as_str(), key.id.as_str()];
        match process::run("the command that begins", &program, &arguments, input.as_bytes(), BEGINS_WITHIN).await {
            Ok(ended) => {
                let last = last_line(&[ended.stdout, ended.stderr].concat());
                match ended.exit_status {
                    Some(0) => Begun::Yes,
                    Some(TRY_LATER) => Begun::NotYet(last),
                    Some(status) => Begun::No(format!("the command that begins exited with {status}: {last}")),
                    None => Begun::Unclear("the command that begins was killed".into()),
                }
            }
            Err(error) if error.may_be_done() => Begun::Unclear(error.whole()),
            Err(error) => Begun::NotYet(error.whole()),
        }
    }

    /// Runs the command that says the state. The error is one sentence.
    async fn ask(&self, key: &Key) -> Result<Said, String> {
        let program = self.config.state.display().to_string();
        let arguments = [key.node.as_str(), key.id.as_str()];
        let ended = process::run("the command that says the state", &program, &arguments, b"", SAYS_WITHIN).await;
        let ended = ended.map_err(|error| error.whole())?;
        let output = String::from_utf8_lossy(&ended.stdout).into_owned();
        match (ended.exit_status, Said::of(&output)) {
            (Some(0), Some(Said::Known(state, message))) => Ok(Said::Known(state, shortened(&message))),
            (Some(0), Some(said)) => Ok(said),
            (Some(0), None) => {
                let line = shortened(output.lines().next().unwrap_or_default());
                Err(format!(
                    "the command that says the state printed {line:?}, and not running, done, failed or unknown"
                ))
            }
            (status, _) => {
                let last = last_line(&ended.stderr);
                let status = status.map_or("a signal".to_owned(), |status| status.to_string());
                Err(format!("the command that says the state exited with {status}: {last}"))
            }
        }
    }

    async fn state_of(&self, key: &Key, reimage: Reimage) -> Answer {
        if reimage.state != State::Running {
            return says(StatusCode::OK, reimage.state, &reimage.message);
        }
        match self.ask(key).await {
            Ok(Said::Known(state, message)) => {
                let ended = Reimage { state, message: message.clone(), ..reimage };
                if state != State::Running
                    && let Err(error) = self.known.write(key, &ended)
                {
                    // The next request asks the command again.
                    tracing::error!(node = key.node, id = key.id, error = %error, "cannot store the reimage");
                }
                says(StatusCode::OK, state, &message)
            }
            Ok(Said::Unknown) => refused(StatusCode::BAD_GATEWAY, "it was begun, and the site does not know it"),
            Err(why) => refused(StatusCode::BAD_GATEWAY, why),
        }
    }

    /// Stores a reimage, however long that takes.
    async fn store(&self, key: &Key, reimage: &Reimage) {
        while let Err(error) = self.known.write(key, reimage) {
            tracing::error!(node = key.node, id = key.id, error = %error, "cannot store the reimage");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    shortened(text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no output").trim())
}
