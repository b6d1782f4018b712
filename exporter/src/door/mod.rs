//! Certificates and users of the TCP listeners, replaceable on a running node. Reads the web
//! configuration again when asked; [`guard`] decides on requests.

pub mod guard;
pub mod web_config;

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ossci_base::door::tls::Tls;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use tracing::info;

use self::guard::Guard;
use self::web_config::{WebConfig, WebConfigError};

/// Shared by all listeners.
#[derive(Debug)]
pub struct Door {
    file: Option<PathBuf>,
    inside: RwLock<Inside>,
    /// `None`: plain HTTP.
    tls: Option<Tls>,
}

#[derive(Debug)]
struct Inside {
    config: WebConfig,
    guard: Arc<Guard>,
}

/// Error of a reload. The old configuration stays active.
#[derive(Debug, Error)]
pub enum DoorError {
    #[error(transparent)]
    File(#[from] WebConfigError),
    /// A connection accepted under the old rule would outlive the change.
    #[error("{0}: a restart is needed to switch TLS on or off, or to change client_auth_type")]
    NeedsRestart(PathBuf),
}

impl Door {
    /// `file` is the source of `config`.
    pub fn new(file: Option<PathBuf>, config: WebConfig) -> Door {
        let tls = config.tls.clone().map(Tls::new);
        let guard = Arc::new(Guard::new(&config));
        Door { file, inside: RwLock::new(Inside { config, guard }), tls }
    }

    pub fn guard(&self) -> Arc<Guard> {
        Arc::clone(&self.inside.read().unwrap_or_else(PoisonError::into_inner).guard)
    }

    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }

    /// Reads the file and the files that it names, and applies them if they are valid and changed.
    /// Blocks while the disk does.
    pub fn reload(&self) -> Result<(), DoorError> {
        let Some(file) = &self.file else { return Ok(()) };
        let config = web_config::load(file)?;
        let mut inside = self.inside.write().unwrap_or_else(PoisonError::into_inner);
        if config.digest == inside.config.digest {
            return Ok(());
        }
        let rules = |config: &WebConfig| (config.tls.is_some(), config.client_certificates);
        if rules(&config) != rules(&inside.config) {
            return Err(DoorError::NeedsRestart(file.clone()));
        }
        if let (Some(tls), Some(new)) = (&self.tls, &config.tls) {
            tls.replace(Arc::clone(new));
        }
        let guard = Arc::new(Guard::new(&config));
        *inside = Inside { config, guard };
        info!(file = %file.display(), "web configuration applied");
        Ok(())
    }
}

/// Passes a request with valid credentials; answers 401 to others. Without users all requests pass:
/// TLS has verified the certificate, if one is required.
pub async fn let_in(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let guard = door.guard();
    if guard.is_open() {
        return next.run(request).await;
    }
    let authorization = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let known = match authorization.map(str::to_string) {
        Some(authorization) => tokio::task::spawn_blocking(move || guard.knows(&authorization)).await.unwrap_or(false),
        None => false,
    };
    match known {
        true => next.run(request).await,
        false => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")], "Unauthorized\n").into_response(),
    }
}

/// Answers 404 if callers need not authenticate, to hide routes for authenticated callers.
pub async fn hide_from_strangers(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match door.guard().asks_who_it_is() {
        true => next.run(request).await,
        false => StatusCode::NOT_FOUND.into_response(),
    }
}
