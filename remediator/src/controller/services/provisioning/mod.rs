//! The client of the site's provisioning service, as far as a reimage needs it. Each reimage has
//! one address: PUT begins it, GET returns its state, 404 means that the service does not have it.
//! A PUT whose answer was lost is repeated only after a GET returned 404.

#[cfg(test)]
mod tests;

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};

use crate::core::record::ProvisioningState;
use crate::outbound;
use crate::wire::policy_file::{ID, NODE, ServiceFile};

/// Timeout of an answer. The service only has to accept a reimage in this time.
pub const ANSWERS: Duration = Duration::from_secs(15);
/// Limit of a body in bytes: an answer is a word and a sentence.
const BODY: usize = 64 * 1024;
/// Limit of a message in the record, in characters.
const MESSAGE: usize = 500;

const UNHEARD: &str = "no usable answer from the provisioning service";

/// The service of a site.
pub struct Service {
    url: String,
    token_file: Option<std::path::PathBuf>,
    http: Client,
}

/// The request for a reimage, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    pub node: &'a str,
    /// The boot to be ended.
    #[serde(rename = "bootID")]
    pub boot_id: &'a str,
    /// The node's addresses, from the status of its Node.
    pub addresses: Vec<Address<'a>>,
    /// The reason, for people.
    pub reason: &'a str,
    /// After this time (RFC 3339) the controller hands the node to a person.
    pub deadline: Option<jiff::Timestamp>,
}

#[derive(Debug, Serialize)]
pub struct Address<'a> {
    pub r#type: &'a str,
    pub address: &'a str,
}

#[derive(Deserialize)]
struct Said {
    state: Word,
    #[serde(default)]
    message: String,
}

/// The body of an error, if it is JSON.
#[derive(Deserialize)]
struct Why {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Running,
    Done,
    Failed,
}

/// The state of a reimage, with one sentence.
pub type Outcome = (ProvisioningState, String);

impl Service {
    /// # Errors
    /// A file that the policy names cannot be read.
    pub fn new(file: &ServiceFile) -> anyhow::Result<Self> {
        Self::waiting(file, ANSWERS)
    }

    fn waiting(file: &ServiceFile, patience: Duration) -> anyhow::Result<Self> {
        let http = outbound::client(file.ca_file.as_deref())?.timeout(patience).connect_timeout(patience);
        let http = http.redirect(reqwest::redirect::Policy::none()).build().context("setting up HTTP")?;
        if let Some(path) = &file.token_file {
            outbound::secret("tokenFile", path)?;
        }
        Ok(Self { url: file.url.clone(), token_file: file.token_file.clone(), http })
    }

    /// Returns the state of a reimage that was last seen in `state`. Without a usable answer the
    /// state stays: the service may be restarting, or another program may answer in its place.
    pub async fn look(&self, node: &str, id: &str, state: ProvisioningState) -> Outcome {
        match self.get(node, id).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => (state, "the provisioning service does not have this reimage".to_owned()),
            Err(error) => (state, format!("{UNHEARD}: {error:#}")),
        }
    }

    /// Begins a reimage that may have been requested before, unless the service has it already.
    /// `may`: whether nothing objects now.
    pub async fn start_again(&self, id: &str, request: &Request<'_>, may: impl AsyncFnOnce() -> bool) -> Outcome {
        match self.get(request.node, id).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) if may().await => match self.start(id, request, ANSWERS).await {
                // An earlier request may still be in flight.
                (ProvisioningState::Pending, text) => (ProvisioningState::Asked, text),
                outcome => outcome,
            },
            Ok(None) => (ProvisioningState::Asked, "the provisioning service does not have this reimage".to_owned()),
            Err(error) => (ProvisioningState::Asked, format!("{UNHEARD}: {error:#}")),
        }
    }

    async fn get(&self, node: &str, id: &str) -> anyhow::Result<Option<Outcome>> {
        let mut answer = self.request(Method::GET, node, id)?.send().await.map_err(in_words)?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => said(&mut answer).await.map(Some),
            status => anyhow::bail!("it answered {status}"),
        }
    }

    /// Begins a reimage that was never requested. `Pending`: the service certainly did not accept
    /// it.
    pub async fn start(&self, id: &str, request: &Request<'_>, within: Duration) -> Outcome {
        let asked = match self.request(Method::PUT, request.node, id) {
            Ok(asked) => asked.json(request).timeout(within),
            Err(error) => return (ProvisioningState::Pending, format!("{error:#}")),
        };
        let mut answer = match asked.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() || error.is_builder() => {
                return (ProvisioningState::Pending, format!("{UNHEARD}: {}", in_words(error)));
            }
            Err(error) => {
                let text = format!("the provisioning service did not answer: {}", in_words(error));
                return (ProvisioningState::Asked, text);
            }
        };
        let status = answer.status();
        if status.is_success() {
            let running = || (ProvisioningState::Running, "the provisioning service began the reimage".to_owned());
            return said(&mut answer).await.unwrap_or_else(|_| running());
        }
        let why = outbound::body(&mut answer, BODY).await.ok().flatten();
        let why =
            why.and_then(|body| serde_json::from_slice::<Why>(&body).ok()).map(|why| format!(": {}", why.message));
        let text = bounded(&format!("the provisioning service answered {status}{}", why.unwrap_or_default()));
        let again = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        if again.contains(&status) {
            (ProvisioningState::Pending, text)
        } else if status.is_server_error() {
            (ProvisioningState::Asked, text)
        } else {
            (ProvisioningState::Failed, text)
        }
    }

    fn request(&self, method: Method, node: &str, id: &str) -> anyhow::Result<reqwest::RequestBuilder> {
        let url: Url = self.url.replace(NODE, node).replace(ID, id).parse().context("reimage.service.url")?;
        let request = self.http.request(method, url);
        Ok(match &self.token_file {
            // The token may be renewed at any time.
            Some(path) => request.bearer_auth(outbound::secret("tokenFile", path)?),
            None => request,
        })
    }
}

async fn said(answer: &mut Response) -> anyhow::Result<Outcome> {
    let body = outbound::body(answer, BODY).await.map_err(in_words)?.context("its answer is too long")?;
    let Said { state, message } = serde_json::from_slice(&body).context("its answer cannot be parsed")?;
    let (state, nothing_more) = match state {
        Word::Running => (ProvisioningState::Running, "the reimage is under way"),
        Word::Done => (ProvisioningState::Done, "the node boots its new system"),
        Word::Failed => (ProvisioningState::Failed, "the service gives no reason"),
    };
    let details = if message.trim().is_empty() { nothing_more } else { message.trim() };
    Ok((state, bounded(&format!("the provisioning service reports: {details}"))))
}

fn bounded(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

fn in_words(error: reqwest::Error) -> anyhow::Error {
    anyhow::anyhow!(outbound::deepest(&error))
}
