//! The conversation with one BMC. It logs in by a session where the BMC has them, otherwise by
//! basic auth, sends requests within limits, and reports errors without secrets. It knows nothing
//! of resets.

use std::time::{Duration, Instant};

use http::header::{DATE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::controller::services::redfish::account::Account;
use crate::controller::services::redfish::trouble::{Trouble, of_transport};
use crate::outbound;
use ossci_base::clock;

const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";
const TOKEN: &str = "X-Auth-Token";
/// Limit of the request that ends a session. If it fails, the BMC ends the session by itself later.
const GOODBYE: Duration = Duration::from_secs(4);
/// Limit of redirects: BMCs only add or remove a slash at the end.
const REDIRECTS: usize = 2;
/// Shortest pause before a retry, even if the BMC asks for 0 s.
const AGAIN: Duration = Duration::from_millis(100);
/// Longest pause before a retry, whatever the BMC asks for.
const AT_MOST: Duration = Duration::from_secs(3600);
/// Limit of a body in bytes; a ComputerSystem has about 10 kB.
const BODY: usize = 1 << 20;

/// Limits of one request, including its retries.
pub struct Limits<'a> {
    /// It does not begin later than this.
    pub begin_by: Instant,
    /// Limit of one answer.
    pub answer: Duration,
    /// Called before each try.
    pub may: &'a (dyn Fn() -> bool + Send + Sync),
}

/// A successful answer of a BMC.
pub struct Answer {
    /// Below 300.
    pub status: StatusCode,
    headers: HeaderMap,
    /// `Null` if there is no body, or none in JSON.
    pub body: Value,
}

enum Proof {
    Basic,
    Session { token: HeaderValue, address: Option<Url> },
}

/// The conversation.
pub struct Talk {
    http: Client,
    bmc: Url,
    account: Account,
    proof: Proof,
}

impl Talk {
    /// `bmc`: any address of the BMC; no other host is ever called. The client must not follow
    /// redirects.
    pub fn new(http: Client, bmc: Url, account: Account) -> Self {
        Self { http, bmc, account, proof: Proof::Basic }
    }

    /// Opens a session. A BMC without sessions is called by basic auth from then on.
    pub async fn log_in(&mut self, limits: &Limits<'_>) -> Result<(), Trouble> {
        let credentials = json!({ "UserName": self.account.username, "Password": self.account.password });
        let url = self.bmc.join(SESSIONS).map_err(|_| Trouble::NotUnderstood("the address of its sessions"))?;
        let answer = match self.once(&Method::POST, url, Some(&credentials), limits).await {
            Ok(answer) => answer,
            // A wrong password is not tried twice: BMCs count failures. A BMC that asks for basic
            // auth says so.
            Err(Trouble::Refused { status: StatusCode::UNAUTHORIZED, basic: true, .. }) => return Ok(()),
            Err(error @ Trouble::Refused { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. }) => {
                return Err(error);
            }
            // No such service, or no free session in it.
            Err(Trouble::Refused { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        if let Some(token) = answer.headers.get(TOKEN) {
            let mut token = token.clone();
            token.set_sensitive(true);
            self.proof = Proof::Session { token, address: self.address(&answer) };
        }
        Ok(())
    }

    /// Ends the session, because a BMC has few.
    pub async fn log_out(&mut self) {
        let Proof::Session { token, address } = std::mem::replace(&mut self.proof, Proof::Basic) else { return };
        let Some(address) = address else { return };
        let goodbye = self.http.delete(address).header(TOKEN, token).timeout(GOODBYE).send().await;
        if let Err(error) = goodbye {
            tracing::debug!(error = of_transport(&error, GOODBYE).to_string(), "cannot end the BMC session");
        }
    }

    /// Returns an address that the BMC gave, at the host that the policy names. Credentials are
    /// sent only there, whatever name the BMC has for itself.
    ///
    /// # Errors
    /// It is not an address.
    pub fn own(&self, address: &str) -> Result<Url, Trouble> {
        let named = self.bmc.join(address).map_err(|_| Trouble::NotUnderstood("an address in its answer"))?;
        let mut url = self.bmc.clone();
        url.set_path(named.path());
        url.set_query(named.query());
        Ok(url)
    }

    /// Returns the address of what was created, as the answer gives it.
    pub fn address(&self, answer: &Answer) -> Option<Url> {
        let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let named = location.or(answer.body["TaskMonitor"].as_str()).or(answer.body["@odata.id"].as_str());
        named.and_then(|address| self.own(address).ok())
    }

    /// Reads a resource, and follows redirects within the BMC.
    pub async fn get(&self, url: &Url, limits: &Limits<'_>) -> Result<Answer, Trouble> {
        let mut url = url.clone();
        for _ in 0..REDIRECTS {
            match self.once(&Method::GET, url, None, limits).await {
                Err(Trouble::Redirected(Some(to))) => url = self.own(&to)?,
                done => return done,
            }
        }
        self.once(&Method::GET, url, None, limits).await
    }

    /// Sends a POST, and follows no redirect.
    pub async fn post(&self, url: &Url, body: &Value, limits: &Limits<'_>) -> Result<Answer, Trouble> {
        self.once(&Method::POST, url.clone(), Some(body), limits).await
    }

    /// Sends one request, and repeats it after a 503 with `Retry-After` while there is time.
    async fn once(
        &self,
        method: &Method,
        url: Url,
        body: Option<&Value>,
        limits: &Limits<'_>,
    ) -> Result<Answer, Trouble> {
        loop {
            if clock::monotonic() >= limits.begin_by || !(limits.may)() {
                return Err(Trouble::TooLate);
            }
            let mut request = self.http.request(method.clone(), url.clone()).timeout(limits.answer);
            request = match &self.proof {
                Proof::Session { token, .. } => request.header(TOKEN, token.clone()),
                // The credentials are in the body of the session request.
                Proof::Basic if url.path() == SESSIONS => request,
                Proof::Basic => request.basic_auth(&self.account.username, Some(&self.account.password)),
            };
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(|error| of_transport(&error, limits.answer))?;
            if answer.status() == StatusCode::SERVICE_UNAVAILABLE
                && let Some(wait) = wait(answer.headers())
            {
                if clock::monotonic() + wait >= limits.begin_by {
                    return Err(Trouble::Busy(wait));
                }
                tokio::time::sleep(wait).await;
                continue;
            }
            return read(answer, limits.answer).await;
        }
    }
}

impl Answer {
    /// Parses the body; `what` names it in errors.
    pub fn is<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, Trouble> {
        T::deserialize(&self.body).map_err(|_| Trouble::NotUnderstood(what))
    }

    /// Returns the pause that the BMC asks for.
    pub fn wait(&self) -> Option<Duration> {
        wait(&self.headers)
    }

    /// Returns the BMC's own time.
    pub fn date(&self) -> Option<Timestamp> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
    }
}

/// Returns the seconds in `Retry-After`, clamped: some BMCs send absurd numbers. They do not send
/// dates.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(AGAIN, AT_MOST))
}

async fn read(mut answer: Response, limit: Duration) -> Result<Answer, Trouble> {
    let (status, headers) = (answer.status(), answer.headers().clone());
    if status.is_redirection() {
        let to = headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        return Err(Trouble::Redirected(to));
    }
    let text = match outbound::body(&mut answer, BODY).await {
        // The status tells the outcome of a request; only a caller that needs the body misses it.
        Ok(text) => text.unwrap_or_default(),
        Err(_) if status != StatusCode::OK => Vec::new(),
        Err(error) => return Err(of_transport(&error, limit)),
    };
    let body = serde_json::from_slice(&text).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(Answer { status, headers, body });
    }
    let schemes = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let basic = schemes.into_iter().any(|scheme| scheme.trim_start().to_ascii_lowercase().starts_with("basic"));
    Err(Trouble::Refused { status, basic, message: crate::controller::services::redfish::trouble::message_id(&body) })
}
