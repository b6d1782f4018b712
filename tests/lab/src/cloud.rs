//! The two services of Microsoft's cloud that a mail needs: a token endpoint, and Graph's
//! `sendMail`. Each answers as its documentation says, with the faults that it is told.
//!
//! Sources: learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow;
//! learn.microsoft.com/graph/api/user-sendmail and /graph/errors.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Router};
use axum_server::tls_rustls::RustlsConfig;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::pki::Pki;

/// A whole answer in place of the good one: status, headers, body.
pub type Instead = (u16, Vec<(&'static str, String)>, String);

#[derive(Default)]
struct Known {
    /// The forms of the token requests.
    asked: Vec<Vec<(String, String)>>,
    /// The valid token.
    token: String,
    tokens_instead: Option<Instead>,
    /// Seconds.
    expires_in: i64,
    graph_instead: Vec<Instead>,
    /// The mailbox, and the mail.
    sent: Vec<(String, String)>,
    attempts: usize,
}

/// A running cloud; it ends with its runtime.
#[derive(Clone)]
pub struct Cloud {
    /// host:port of both services, with TLS.
    pub address: String,
    known: Arc<Mutex<Known>>,
}

impl Cloud {
    pub async fn open(pki: &Pki) -> Result<Self> {
        let pair = pki.server("cloud")?;
        let tls = RustlsConfig::from_pem_file(&pair.cert, &pair.key).await.context("reading its certificate")?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").context("listening for the cloud")?;
        listener.set_nonblocking(true).context("preparing its socket")?;
        let known = Known { token: new_token(1), expires_in: 3_599, ..Known::default() };
        let cloud = Self { address: listener.local_addr()?.to_string(), known: Arc::new(Mutex::new(known)) };
        let routes = Router::new()
            .route("/tenant/oauth2/v2.0/token", post(token))
            .route("/v1.0/users/{mailbox}/sendMail", post(send_mail))
            .with_state(cloud.clone());
        let server = axum_server::from_tcp_rustls(listener, tls).context("preparing the cloud")?;
        tokio::spawn(server.serve(routes.into_make_service()));
        Ok(cloud)
    }

    pub fn token(&self) -> String {
        self.lock().token.clone()
    }

    /// Every token from before is refused from now on.
    pub fn withdraw_tokens(&self) -> String {
        let mut known = self.lock();
        known.token = new_token(known.asked.len() + 2);
        known.token.clone()
    }

    pub fn tokens_answer(&self, instead: Option<Instead>) {
        self.lock().tokens_instead = instead;
    }

    pub fn tokens_last(&self, seconds: i64) {
        self.lock().expires_in = seconds;
    }

    /// The next answers of Graph, before it answers well again.
    pub fn graph_answers(&self, instead: Vec<Instead>) {
        self.lock().graph_instead = instead;
    }

    pub fn sent(&self) -> Vec<(String, String)> {
        self.lock().sent.clone()
    }

    pub fn attempts(&self) -> usize {
        self.lock().attempts
    }

    pub fn asked(&self) -> Vec<Vec<(String, String)>> {
        self.lock().asked.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn new_token(number: usize) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "aud": "https://graph.microsoft.com", "roles": ["Mail.Send"], "jti": number });
    format!("{}.{}.c2lnbmF0dXJl", part(json!({ "alg": "RS256" })), part(claims))
}

fn answer((status, headers, body): Instead) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT), body).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (header::HeaderName::from_bytes(name.as_bytes()), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn token(State(cloud): State<Cloud>, Form(form): Form<Vec<(String, String)>>) -> Response {
    let mut known = cloud.lock();
    let has = |name: &str| form.iter().any(|(key, value)| key == name && !value.is_empty());
    let proven = has("client_secret") || has("client_assertion") && has("client_assertion_type");
    let complete = has("client_id") && has("scope") && has("grant_type") && proven;
    known.asked.push(form.clone());
    if let Some(instead) = known.tokens_instead.clone() {
        return answer(instead);
    }
    if !complete {
        return problem(400, "invalid_request", "AADSTS900144: The request body must contain the parameter.");
    }
    if form.iter().any(|(key, value)| key == "client_secret" && value != "the-secret") {
        return problem(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1");
    }
    let granted = json!({ "token_type": "Bearer", "expires_in": known.expires_in, "access_token": known.token });
    answer((200, vec![("content-type", "application/json".to_owned())], granted.to_string()))
}

fn problem(status: u16, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    answer((status, vec![("content-type", "application/json".to_owned())], body.to_string()))
}

/// Returns an error of Graph as it writes one.
pub fn graph_error(status: u16, code: &str, message: &str) -> Instead {
    let body = json!({ "error": { "code": code, "message": message } });
    (status, vec![("content-type", "application/json".to_owned())], body.to_string())
}

async fn send_mail(
    State(cloud): State<Cloud>,
    Path(mailbox): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut known = cloud.lock();
    known.attempts += 1;
    let header = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header(header::AUTHORIZATION) != format!("Bearer {}", known.token) {
        return answer(graph_error(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid."));
    }
    if !known.graph_instead.is_empty() {
        return answer(known.graph_instead.remove(0));
    }
    let mime = STANDARD.decode(&body).ok().filter(|_| header(header::CONTENT_TYPE) == "text/plain");
    let Some(mime) = mime.and_then(|mime| String::from_utf8(mime).ok()) else {
        return answer(graph_error(
            400,
            "ErrorMimeContentInvalidBase64String",
            "Invalid base64 string for MIME content.",
        ));
    };
    // A request of about 4 MB is the largest.
    if body.len() > 4 << 20 {
        return answer(graph_error(413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."));
    }
    known.sent.push((mailbox, mime));
    StatusCode::ACCEPTED.into_response()
}
