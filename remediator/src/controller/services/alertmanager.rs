//! The HTTP client of Alertmanager's API, for the replicas of one cluster. Each replica has its own
//! answer.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Client;

use crate::outbound;
use crate::wire::policy_file::AlertmanagerFile;

/// Timeout of a request; a slower replica counts as one that does not answer.
const REQUEST: Duration = Duration::from_secs(5);
/// Limit of an answer in bytes: over ten thousand alerts. A replica that sends more counts as one
/// that does not answer.
const BODY: usize = 32 << 20;

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
        let mut answer = request.send().await?.error_for_status()?;
        let body = outbound::body(&mut answer, BODY).await?;
        let body = body.with_context(|| format!("the answer of {url} is longer than {} MiB", BODY >> 20))?;
        serde_json::from_slice(&body).with_context(|| format!("reading the answer of {url}"))
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_too_long_or_cut_off_is_no_answer() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let long = || async { format!("[{}]", " ".repeat(BODY)) };
        let half = || async { r#"[{"labels": {"alertname": "GPU"#.to_owned() };
        let whole = || async { "[]".to_owned() };
        let pages = Router::new().route("/long", get(long)).route("/half", get(half)).route("/whole", get(whole));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, pages).await });
        let file = serde_saphyr::from_str(&format!("urls: ['{url}']")).unwrap();
        let replicas = Replicas::new(&file).unwrap();
        let error = replicas.get::<Value>(&url, "/long").await.unwrap_err().to_string();
        assert!(error.ends_with("/long is longer than 32 MiB"), "{error}");
        let error = replicas.get::<Value>(&url, "/half").await.unwrap_err().to_string();
        assert!(error.starts_with("reading the answer of"), "{error}");
        assert_eq!(replicas.get::<Vec<Value>>(&url, "/whole").await.unwrap().len(), 0);
        server.abort();
    }
}
