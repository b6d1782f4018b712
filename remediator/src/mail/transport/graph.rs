//! Microsoft Graph, `sendMail` with a whole MIME message: only that form keeps the Message-ID and
//! the headers of a thread.
//!
//! Source: learn.microsoft.com/graph/api/user-sendmail.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

use super::token::Tokens;
use super::{Say, Sealed, refusal, retry_after};
use crate::core::outbox::Refusal;
use crate::outbound;

/// Limit of one request: 4 MB at most.
const ANSWERS: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const MOST: usize = 64 * 1024;

pub struct Graph {
    url: String,
    tokens: Option<Tokens>,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    error: Problem,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    message: String,
}

impl Graph {
    /// # Errors
    /// The CA file cannot be read.
    pub fn new(url: &str, tokens: Option<Tokens>, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let client = outbound::client(ca_file)?.timeout(ANSWERS).redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self { url: url.to_owned(), tokens, client })
    }

    /// Graph names no refused recipients: it answers before it delivers.
    pub async fn deliver(&self, mail: &Sealed, say: Say<'_>) -> Result<Vec<String>, Refusal> {
        let (status, refused) = self.attempt(mail, say).await?;
        let Some(refused) = refused else { return Ok(Vec::new()) };
        if status != StatusCode::UNAUTHORIZED {
            return Err(refused);
        }
        // A token may have been withdrawn before its time.
        say("asking for a new token, once");
        self.tokens.as_ref().map(Tokens::forget);
        match self.attempt(mail, say).await?.1 {
            Some(refused) => Err(refused),
            None => Ok(Vec::new()),
        }
    }

    async fn attempt(&self, mail: &Sealed, say: Say<'_>) -> Result<(StatusCode, Option<Refusal>), Refusal> {
        const WHAT: &str = "sending by Graph";
        let Some(tokens) = &self.tokens else { return Err(refusal(true, format!("{WHAT}: there is no mail.oauth"))) };
        let token = tokens.token(say).await?;
        let url = format!("{}/v1.0/users/{}/sendMail", self.url, mail.from);
        say(&format!("POST {url}"));
        let request = self.client.post(&url).bearer_auth(token).header(CONTENT_TYPE, "text/plain");
        let answer = request.body(STANDARD.encode(&mail.mime)).send().await;
        let mut answer = answer.map_err(|error| refusal(false, format!("{WHAT}: {}", outbound::deepest(&error))))?;
        let status = answer.status();
        if status == StatusCode::ACCEPTED {
            say("202: accepted");
            return Ok((status, None));
        }
        let retry_after = retry_after(answer.headers());
        let body = outbound::body(&mut answer, MOST).await.ok().flatten().unwrap_or_default();
        let said = serde_json::from_slice::<Answer>(&body);
        let said =
            said.map_or_else(|_| String::new(), |answer| format!(": {}: {}", answer.error.code, answer.error.message));
        let hint = match status.as_u16() {
            401 => "; the token is not accepted: check oauth.scope and the application",
            403 => "; the application may not send from this mailbox: docs/mail.md, \"Graph\"",
            404 => "; there is no mailbox of this name: check mail.from",
            413 => TOO_LARGE,
            _ => "",
        };
        let permanent = status.is_client_error() && status.as_u16() != 429;
        let refused = refusal(permanent, format!("{WHAT}: {status}{said}{hint}"));
        Ok((status, Some(Refusal { of_mail: matches!(status.as_u16(), 400 | 413), retry_after, ..refused })))
    }
}

const TOO_LARGE: &str = "; the mail is too large";

/// Whether a smaller mail may pass.
pub fn is_too_large(refusal: &Refusal) -> bool {
    refusal.words.ends_with(TOO_LARGE)
}
