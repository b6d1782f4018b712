//! The common parts of requests to services that the policy names: trusted CAs, secrets from files,
//! bodies. It sends no request itself.

use std::error::Error;
use std::path::Path;

use anyhow::Context as _;
use reqwest::{Certificate, Client, ClientBuilder, Response};

/// Returns a client that trusts only the CA in this PEM file, or without one the system's CAs.
///
/// # Errors
/// The file cannot be read, or contains no certificate.
pub fn client(ca_file: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    let http = Client::builder();
    let Some(path) = ca_file else { return Ok(http) };
    let pem = std::fs::read(path).with_context(|| format!("reading caFile {}", path.display()))?;
    let ca = Certificate::from_pem_bundle(&pem).with_context(|| format!("caFile {}", path.display()))?;
    anyhow::ensure!(!ca.is_empty(), "caFile {} holds no certificate", path.display());
    Ok(http.tls_certs_only(ca))
}

/// Returns the content of a file without surrounding white space. `key`: the file's key in the
/// policy.
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn secret(key: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {key} {}", path.display()))?;
    anyhow::ensure!(!text.trim().is_empty(), "{key} {} is empty", path.display());
    Ok(text.trim().to_owned())
}

/// Returns the body of an answer, or `None` if it is longer than `most` bytes.
///
/// # Errors
/// The connection broke.
pub async fn body(answer: &mut Response, most: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Returns the innermost cause: the outer ones only name the address.
pub fn deepest(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_refused_by_its_key() {
        let path = std::env::temp_dir().join(format!("ossci-outbound-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, " s3cret\n").unwrap();
        assert_eq!(secret("tokenFile", &path).unwrap(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        let (nothing, no_ca) = (secret("tokenFile", &path).unwrap_err(), client(Some(&path)).unwrap_err());
        std::fs::remove_file(&path).unwrap();
        assert!(nothing.to_string().starts_with("tokenFile ") && nothing.to_string().ends_with(" is empty"));
        assert!(no_ca.to_string().ends_with("holds no certificate"), "{no_ca}");
        assert!(secret("tokenFile", &path).unwrap_err().to_string().starts_with("reading tokenFile"));
    }
}
