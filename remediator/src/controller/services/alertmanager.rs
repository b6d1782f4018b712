//! The HTTP client of Alertmanager's API, for the replicas of one cluster. Each replica has its own
//! answer.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;

use crate::controller::services::outbound;
use crate::wire::policy_file::AlertmanagerFile;

/// Timeout of a request; a slower replica counts as one that does not answer.
const REQUEST: Duration = Duration::from_secs(5);
/// The replicas of one Alertmanager cluster.
pub struct Replicas {
    pub urls: Vec<String>,
    http: Client,
    token: Option<String>,
    pub every: Duration,
}

impl Replicas {
    pub fn new(file: &AlertmanagerFile) -> anyhow::Result<Self> {
        let http = outbound::client(file.ca_file.as_deref())?.timeout(REQUEST).connect_timeout(REQUEST);
        let token = file.token_file.as_deref().map(|path| outbound::secret("tokenFile", path));
        Ok(Self {
            urls: file.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect(),
            http: http.build().context("setting up HTTP")?,
            token: token.transpose()?,
            every: Duration::from_secs(file.poll_seconds.into()),
        })
    }

    pub async fn get<T: serde::de::DeserializeOwned>(&self, url: &str, path: &str) -> anyhow::Result<T> {
        let url = format!("{url}{path}");
        let mut request = self.http.get(&url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?.error_for_status()?;
        answer.json().await.with_context(|| format!("reading the answer of {url}"))
    }
}
