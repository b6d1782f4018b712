//! Who may see the pages: users with passwords, kept as bcrypt hashes, and callers whose certificate was verified. Decides on requests;
//! the files it goes by are [`crate::web_config`].

use crate::door::Door;
use crate::web_config::{ClientCertificates, WebConfig};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// A bcrypt check takes a tenth of a second on purpose; what passed once is remembered by its digest, at most so many.
const REMEMBERED: usize = 64;

/// Compared with when a user is not known, so that the answer takes as long as for one who is.
const NOBODY: &str = "$2b$10$MQmyZb7YwSqfy1GhuKZ.tuSWe4qt.OLVa6/qmqUZJ9yKIU9cQXKZi";

/// What stands before the pages.
#[derive(Debug)]
pub struct Guard {
    users: BTreeMap<String, String>,
    certificates: ClientCertificates,
    passed: Mutex<BTreeSet<[u8; 32]>>,
}

impl Guard {
    pub fn new(config: &WebConfig) -> Guard {
        Guard { users: config.users.clone(), certificates: config.client_certificates, passed: Mutex::default() }
    }

    /// Whether callers have to say who they are at all.
    pub fn asks_who_it_is(&self) -> bool {
        !self.users.is_empty() || self.certificates == ClientCertificates::Verified
    }

    /// Whether these credentials are right. Slow by design.
    fn knows(&self, authorization: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(authorization).into();
        if self.passed.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let Some((user, password)) = credentials(authorization) else { return false };
        let hash = self.users.get(&user);
        let right = bcrypt::verify(password, hash.map_or(NOBODY, String::as_str)).unwrap_or(false) && hash.is_some();
        if right {
            let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            if passed.len() >= REMEMBERED {
                passed.clear();
            }
            passed.insert(digest);
        }
        right
    }
}

/// `Basic` and the base64 of `user:password`.
fn credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}

/// Lets a request pass or asks for a name and a password. Where there are no users, the certificate was asked for by TLS already.
pub async fn let_in(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    let guard = door.guard();
    if guard.users.is_empty() {
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

/// Hides what only known callers may use where nobody is asked who it is.
pub async fn hide_from_strangers(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match door.guard().asks_who_it_is() {
        true => next.run(request).await,
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_of_a_known_user_passes() {
        let users = BTreeMap::from([("prometheus".to_string(), bcrypt::hash("secret", 4).unwrap())]);
        let guard = Guard { users, certificates: ClientCertificates::NotVerified, passed: Mutex::default() };
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        assert!(guard.asks_who_it_is());
        assert!(guard.knows(&basic("prometheus:secret")) && guard.knows(&basic("prometheus:secret")));
        for wrong in ["prometheus:wrong", "someone:secret", "prometheus", ""] {
            assert!(!guard.knows(&basic(wrong)), "{wrong}");
        }
        assert!(!guard.knows("Bearer secret"));
    }

    #[test]
    fn the_hash_of_nobody_is_a_hash() {
        assert_eq!(bcrypt::verify("anything", NOBODY).ok(), Some(false));
    }
}
