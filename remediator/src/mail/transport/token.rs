//! Tokens of an application: the client credentials flow of OAuth 2.0 (RFC 6749, section 4.4), with
//! a secret, a signed assertion of a certificate, or a token of the cluster.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::CONTENT_TYPE;
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{Say, refusal, retry_after};
use crate::core::outbox::Refusal;
use crate::outbound;
use crate::wire::policy_file::OauthFile;
use ossci_base::clock;

/// Limit of one question.
const ANSWERS: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const MOST: usize = 64 * 1024;
/// A token is not used in its last minutes.
const BEFORE_ITS_END: Duration = Duration::from_secs(300);
/// How long an assertion that we sign may be used.
const ASSERTION: i64 = 600;

/// Asks for tokens, and keeps the last one until five minutes before its end.
pub struct Tokens {
    file: OauthFile,
    scope: String,
    client: reqwest::Client,
    kept: Mutex<Option<(String, Instant)>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds.
    expires_in: i64,
}

#[derive(Deserialize)]
struct Denied {
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Tokens {
    /// # Errors
    /// The CA file cannot be read.
    pub fn new(file: &OauthFile, scope: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let client = outbound::client(ca_file)?.timeout(ANSWERS).redirect(reqwest::redirect::Policy::none()).build()?;
        let scope = file.scope.clone().unwrap_or_else(|| scope.to_owned());
        Ok(Self { file: file.clone(), scope, client, kept: Mutex::default() })
    }

    /// Returns a token that is valid for some minutes.
    pub async fn token(&self, say: Say<'_>) -> Result<String, Refusal> {
        let now = clock::monotonic();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, _)) = kept.filter(|(_, until)| *until > now) {
            return Ok(token);
        }
        let granted = self.ask().await?;
        say(&format!("token: {}", described(&granted)));
        let lasts = u64::try_from(granted.expires_in).unwrap_or_default();
        if lasts == 0 {
            return Err(refusal(false, "the token endpoint answered with a token that has expired".to_owned()));
        }
        // A token that lasts less than that is used for half its time.
        let lasts = Duration::from_secs(lasts.min(24 * 3600));
        let until = now + lasts.saturating_sub(BEFORE_ITS_END).max(lasts / 2);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((granted.access_token.clone(), until));
        Ok(granted.access_token)
    }

    /// Drops the token that a server refused.
    pub fn forget(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn ask(&self) -> Result<Granted, Refusal> {
        const WHAT: &str = "asking for a token";
        let form = self.form().map_err(|error| refusal(true, format!("{WHAT}: {error:#}")))?;
        let request = self.client.post(&self.file.token_url).form(&form);
        let answer = request.send().await;
        let mut answer = answer.map_err(|error| refusal(false, format!("{WHAT}: {}", outbound::deepest(&error))))?;
        let status = answer.status();
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (kind, retry_after) = (header(CONTENT_TYPE).unwrap_or_default(), retry_after(answer.headers()));
        let body = outbound::body(&mut answer, MOST).await;
        let body = body.map_err(|error| refusal(false, format!("{WHAT}: {}", outbound::deepest(&error))))?;
        let Some(body) = body else {
            return Err(refusal(false, format!("{WHAT}: the answer is longer than 64 kB, so it is no token")));
        };
        if status.is_success() {
            // The answer may hold a token, so it is not shown.
            return serde_json::from_slice(&body).map_err(|_| {
                refusal(false, format!("{WHAT}: the answer ({status}, {kind}) is no token; check oauth.tokenUrl"))
            });
        }
        let said = serde_json::from_slice::<Denied>(&body).map(|denied| {
            let first = denied.error_description.lines().next().unwrap_or_default().to_owned();
            format!("{}: {first}", denied.error)
        });
        let said = said.unwrap_or_else(|_| format!("the answer ({kind}) is no JSON; check oauth.tokenUrl"));
        let permanent = status.is_client_error() && status.as_u16() != 429;
        Err(Refusal { retry_after, ..refusal(permanent, format!("{WHAT}: {status}: {said}")) })
    }

    fn form(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let file = &self.file;
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", file.client_id.clone()),
            ("scope", self.scope.clone()),
        ];
        let assertion = match (&file.secret_file, &file.key_file, &file.certificate_file, &file.assertion_file) {
            (Some(secret), ..) => {
                form.push(("client_secret", outbound::secret("oauth.secretFile", secret)?));
                return Ok(form);
            }
            (None, Some(key), Some(certificate), _) => {
                signed(&file.client_id, &file.token_url, key, certificate, clock::now().as_second())?
            }
            (.., Some(assertion)) => outbound::secret("oauth.assertionFile", assertion)?,
            _ => anyhow::bail!("oauth names no secretFile, keyFile or assertionFile"),
        };
        form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned()));
        form.push(("client_assertion", assertion));
        Ok(form)
    }
}

/// Returns an assertion of the application, signed with its certificate's key: header and claims
/// as Microsoft asks for them.
///
/// Source: learn.microsoft.com/entra/identity-platform/certificate-credentials.
fn signed(client: &str, audience: &str, key: &Path, certificate: &Path, now: i64) -> anyhow::Result<String> {
    use anyhow::Context as _;
    let named = |path: &Path| format!("reading {}", path.display());
    let certificate = CertificateDer::from_pem_file(certificate).with_context(|| named(certificate))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| named(key))?;
    let private = rustls::crypto::ring::sign::any_supported_type(&private).with_context(|| named(key))?;
    let scheme = [SignatureScheme::RSA_PSS_SHA256];
    let signer = private.choose_scheme(&scheme).context("oauth.keyFile is not an RSA key")?;
    let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(&certificate));
    let header = serde_json::json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint });
    let claims = serde_json::json!({
        "aud": audience, "iss": client, "sub": client, "jti": uuid::Uuid::new_v4().to_string(),
        "nbf": now, "iat": now, "exp": now + ASSERTION,
    });
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let signature = signer.sign(text.as_bytes()).context("signing with oauth.keyFile")?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Says whom a token is for, what it allows and how long it lasts, and never the token itself. Some
/// tokens cannot be read: they are for the server alone.
fn described(granted: &Granted) -> String {
    let claims = granted.access_token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<serde_json::Value> = claims.and_then(|json| serde_json::from_slice(&json).ok());
    let lasts = format!("valid for {} s", granted.expires_in);
    let Some(claims) = claims else { return lasts };
    let shown = ["aud", "roles", "appid", "tid"].into_iter().filter_map(|name| {
        let value = claims.get(name)?;
        Some(format!("{name} {value}"))
    });
    shown.chain([lasts]).collect::<Vec<_>>().join(", ")
}
