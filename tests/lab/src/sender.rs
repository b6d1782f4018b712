//! A client of the remediator's webhook that sends what Alertmanager would send, or any other body.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Body, Certificate, Client, StatusCode};
use serde_json::{Value, json};

use crate::clock::{self, Stopwatch};
use crate::facts::Facts;

/// Timeout of a request, similar to Alertmanager's own.
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub struct Sender {
    http: Client,
    url: String,
    token: String,
}

impl Sender {
    /// A client of one replica's webhook, host:port.
    pub fn to(facts: &Facts, webhook: &str) -> Result<Self> {
        let ca = fs::read(facts.dir.join("pki/ca.crt")).context("reading the lab's CA")?;
        let builder = Client::builder().no_proxy().timeout(ANSWER).tls_certs_only([Certificate::from_pem(&ca)?]);
        let token = fs::read_to_string(&facts.webhook_token).context("reading the webhook's token")?;
        Ok(Self {
            http: builder.build().context("setting up HTTP")?,
            url: format!("https://{webhook}/webhook"),
            token: token.trim().to_owned(),
        })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Sends any body.
    pub async fn send(&self, body: impl Into<Body>) -> Result<StatusCode> {
        let request = self.http.post(&self.url).bearer_auth(&self.token).body(body);
        Ok(request.send().await.context("posting to the webhook")?.status())
    }

    /// Sends these alerts in one delivery.
    pub async fn try_alerts(&self, alerts: &[Value]) -> Result<StatusCode> {
        self.send(json!({"version": "4", "status": "firing", "alerts": alerts}).to_string()).await
    }

    /// Sends these alerts in one delivery, which has to succeed.
    pub async fn alerts(&self, alerts: &[Value]) -> Result<()> {
        match self.try_alerts(alerts).await? {
            status if status.is_success() => Ok(()),
            status => bail!("the webhook answered {status}"),
        }
    }

    /// Retries like Alertmanager, while the response is a 5xx or missing.
    pub async fn deliver(&self, alerts: &[Value], deadline: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            let obstacle = match self.try_alerts(alerts).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) if !status.is_server_error() => {
                    bail!("the webhook answered {status}, which Alertmanager does not retry")
                }
                Ok(status) => status.to_string(),
                Err(error) => format!("{error:#}"),
            };
            if watch.elapsed() >= deadline {
                bail!("not delivered in {}: {obstacle}", watch.read());
            }
        }
    }
}

/// An alert that asks for a reboot of the node; one node and check make one fingerprint.
pub fn alert(node: &str, check: &str) -> Value {
    json!({"status": "firing", "fingerprint": format!("{node}{check}"), "startsAt": clock::now().to_string(),
           "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph",
           "labels": {"node": node, "cluster": "lab", "remediation": "reboot", "check": check, "severity": "critical"},
           "annotations": {"summary": "three strikes"}})
}
