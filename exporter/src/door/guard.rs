//! Access control of the pages: users with bcrypt password hashes, and verified client
//! certificates. Decides on requests; [`super::web_config`] reads the files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::web_config::{ClientCertificates, WebConfig};

/// Maximum number of cached logins. A bcrypt check takes a tenth of a second on purpose, so a valid
/// login is cached by its digest.
const REMEMBERED: usize = 64;

/// Compared with if the user is unknown, so that the answer takes as long as for a known user.
const UNKNOWN_USER: &str = "$2b$10$MQmyZb7YwSqfy1GhuKZ.tuSWe4qt.OLVa6/qmqUZJ9yKIU9cQXKZi";

/// Decides who may see the pages.
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

    /// Returns whether no users are configured: then only TLS restricts who may connect.
    pub fn is_open(&self) -> bool {
        self.users.is_empty()
    }

    /// Returns whether callers must authenticate, with a password or a certificate.
    pub fn asks_who_it_is(&self) -> bool {
        !self.users.is_empty() || self.certificates == ClientCertificates::Verified
    }

    /// Returns whether these credentials are valid. Slow by design.
    pub fn knows(&self, authorization: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(authorization).into();
        if self.passed.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return true;
        }
        let Some((user, password)) = credentials(authorization) else { return false };
        let hash = self.users.get(&user);
        let right =
            bcrypt::verify(password, hash.map_or(UNKNOWN_USER, String::as_str)).unwrap_or(false) && hash.is_some();
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

/// Decodes `Basic` and the base64 of `user:password`.
fn credentials(authorization: &str) -> Option<(String, String)> {
    let (scheme, encoded) = authorization.split_once(' ')?;
    let decoded = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(encoded.trim()).ok())??;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_string(), password.to_string()))
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
    fn the_hash_for_unknown_users_is_valid() {
        assert_eq!(bcrypt::verify("anything", UNKNOWN_USER).ok(), Some(false));
    }
}
