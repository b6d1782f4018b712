//! File of `--web.config.file`, in the format of the Prometheus exporter toolkit: TLS, client
//! certificates, users. Reads files; serves nothing.

use ossci_base::door::tls;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Parsed content of the file. The default is plain HTTP without access control.
#[derive(Debug, Clone, Default)]
pub struct WebConfig {
    /// `None`: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    pub client_certificates: ClientCertificates,
    /// Users and the bcrypt hashes of their passwords.
    pub users: BTreeMap<String, String>,
    /// SHA-256 of the file and of all files that it names.
    pub digest: [u8; 32],
}

/// Whether every caller has presented a certificate that the configured CA signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    Verified,
    #[default]
    NotVerified,
}

/// Error in the file or in one that it names.
#[derive(Debug, Error)]
pub enum WebConfigError {
    #[error("{0}: {1}")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{0}: {1}")]
    Format(PathBuf, String),
    #[error("{file}: {field}: {problem}")]
    Field { file: PathBuf, field: &'static str, problem: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tls_server_config: Option<TlsFile>,
    /// Accepted for compatibility; there is nothing to set.
    #[serde(default)]
    http_server_config: Option<HttpFile>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpFile {
    #[serde(default, rename = "http2")]
    _http2: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    client_auth_type: Option<String>,
    #[serde(default)]
    min_version: Option<String>,
    #[serde(default, rename = "prefer_server_cipher_suites")]
    _prefer: Option<bool>,
}

/// Reads the file and the files that it names; their paths are relative to it.
pub fn load(path: &Path) -> Result<WebConfig, WebConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| WebConfigError::Read(path.to_path_buf(), error))?;
    let format = |error: serde_saphyr::Error| WebConfigError::Format(path.to_path_buf(), error.to_string());
    let file: File = match text.trim().is_empty() {
        true => File { tls_server_config: None, http_server_config: None, basic_auth_users: BTreeMap::new() },
        false => serde_saphyr::from_str(&text).map_err(format)?,
    };
    let _ = file.http_server_config;
    let field = |field, problem: String| WebConfigError::Field { file: path.to_path_buf(), field, problem };
    for (user, hash) in &file.basic_auth_users {
        if hash.parse::<bcrypt::HashParts>().is_err() {
            return Err(field("basic_auth_users", format!("the password of {user} must be a bcrypt hash")));
        }
    }
    let mut digest = Sha256::new_with_prefix(&text);
    let (tls, client_certificates) = match &file.tls_server_config {
        None => (None, ClientCertificates::NotVerified),
        Some(tls) => {
            let directory = path.parent().unwrap_or(Path::new("."));
            for named in [Some(&tls.cert_file), Some(&tls.key_file), tls.client_ca_file.as_ref()].into_iter().flatten()
            {
                // An unreadable file is reported below, with its field.
                digest.update(std::fs::read(directory.join(named)).unwrap_or_default());
            }
            let (config, certificates) = server_config(tls, directory, &field)?;
            (Some(Arc::new(config)), certificates)
        }
    };
    Ok(WebConfig { tls, client_certificates, users: file.basic_auth_users, digest: digest.finalize().into() })
}

fn server_config(
    file: &TlsFile,
    directory: &Path,
    field: &dyn Fn(&'static str, String) -> WebConfigError,
) -> Result<(rustls::ServerConfig, ClientCertificates), WebConfigError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match file.min_version.as_deref() {
        None | Some("TLS12") => rustls::ALL_VERSIONS,
        Some("TLS13") => &[&rustls::version::TLS13],
        Some(other) => return Err(field("min_version", format!("write TLS12 or TLS13, not {other}"))),
    };
    let certificates =
        |path: &Path, name| tls::certificates(&directory.join(path)).map_err(|error| field(name, error.to_string()));
    let chain = certificates(&file.cert_file, "cert_file")?;
    let key =
        tls::private_key(&directory.join(&file.key_file)).map_err(|error| field("key_file", error.to_string()))?;

    let kind = file.client_auth_type.as_deref().unwrap_or("NoClientCert");
    let demand = match kind {
        "NoClientCert" | "" => None,
        "VerifyClientCertIfGiven" => Some(ClientCertificates::NotVerified),
        "RequireAndVerifyClientCert" => Some(ClientCertificates::Verified),
        // An unverified certificate proves nothing.
        other => {
            let known = "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert";
            return Err(field("client_auth_type", format!("write {known}, not {other}")));
        }
    };
    let builder = rustls::ServerConfig::builder_with_protocol_versions(versions);
    let builder = match (demand, &file.client_ca_file) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(_)) => return Err(field("client_ca_file", "has no effect without a client_auth_type".to_string())),
        (Some(_), None) => return Err(field("client_ca_file", format!("is required for {kind}"))),
        (Some(demand), Some(ca)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca, "client_ca_file")? {
                roots.add(certificate).map_err(|error| field("client_ca_file", error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
            let verifier = match demand {
                ClientCertificates::Verified => verifier,
                ClientCertificates::NotVerified => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| field("client_ca_file", error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| field("key_file", error.to_string()))?;
    Ok((config, demand.unwrap_or(ClientCertificates::NotVerified)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::scratch;

    fn load_text(name: &str, text: &str) -> Result<WebConfig, String> {
        let directory = scratch(name);
        let path = directory.join("web.yml");
        std::fs::write(&path, text).unwrap();
        load(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn users_need_hashes() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let good = load_text("web-good", &format!("basic_auth_users:\n  prometheus: {hash}\n")).unwrap();
        assert_eq!(good.users.len(), 1);
        assert!(
            load_text("web-plain", "basic_auth_users:\n  prometheus: secret\n").unwrap_err().contains("bcrypt hash")
        );
    }

    #[test]
    fn an_error_names_the_field_and_valid_values() {
        let tls = |rest: &str| format!("tls_server_config:\n  cert_file: a.pem\n  key_file: b.pem\n{rest}");
        for (name, text, said) in [
            ("web-version", tls("  min_version: TLS10\n"), "write TLS12 or TLS13"),
            ("web-cert", tls(""), "cert_file"),
            ("web-field", "tls_server_confg: {}\n".to_string(), "tls_server_confg"),
        ] {
            let error = load_text(name, &text).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        assert!(load_text("web-empty", "").unwrap().tls.is_none());
    }
}
