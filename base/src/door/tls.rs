//! TLS certificate of a listener, replaceable while it serves: an open connection keeps its
//! certificate, a new connection gets the new one.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Error of a certificate or key file.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct TlsFileError {
    pub path: String,
    pub problem: String,
}

impl TlsFileError {
    fn new(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self { path: path.display().to_string(), problem: problem.to_string() }
    }
}

/// The current TLS configuration; clones share it.
#[derive(Debug, Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Replaces the configuration for new connections.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Reads the certificate chain of a PEM file: at least one certificate.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(chain) if chain.is_empty() => Err(TlsFileError::new(path, "it holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(TlsFileError::new(path, error)),
    }
}

/// Reads the private key of a PEM file.
///
/// # Errors
/// The file cannot be read or holds no key.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsFileError::new(path, error))
}

/// Returns a configuration for HTTP/1.1 with this certificate and key, without client certificates.
///
/// # Errors
/// A file cannot be read, or the key does not match the certificate.
pub fn server_config(cert: &Path, key: &Path) -> Result<ServerConfig, TlsFileError> {
    let (chain, private) = (certificates(cert)?, private_key(key)?);
    let builder = ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(chain, private).map_err(|error| TlsFileError::new(key, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
