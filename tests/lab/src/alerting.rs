//! The alerting half of a lab: two Prometheis, two Alertmanagers, and the tap before the
//! remediator's webhook.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::parts::alertmanager::{self, Alertmanager, Routes};
use crate::parts::prometheus::{self, Prometheus};
use crate::parts::replica::Replica;
use crate::parts::{self, Site};
use crate::pki::Pki;
use crate::story::Standing;
use crate::tap::Tap;
use crate::{clock, environment, ports};

pub struct Alerting {
    pub prometheus: Prometheus,
    pub alertmanager: Alertmanager,
    pub tap: Tap,
    client: reqwest::Client,
    shortened: bool,
}

/// Duration of a silence that a story does not delete: longer than any story.
const SILENCE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

impl Alerting {
    /// Starts everything. `webhook` (host:port) is the remediator's.
    pub async fn start(site: &Site, pki: &Pki, webhook: &str, token: &str) -> Result<Self> {
        let alerts = environment::repository().join("alerts");
        let address = || Ok::<_, anyhow::Error>(format!("127.0.0.1:{}", ports::free()?));
        let addresses = [address()?, address()?];
        let tapped = address()?;
        let senders =
            addresses.iter().enumerate().map(|(at, address)| (format!("alertmanager-{}", at + 1), address.clone()));
        let tap = Tap::start(&tapped, webhook, pki, senders.collect()).await?;
        let config = alerts.join("alertmanager.yml");
        let (alertmanager, prometheus) = tokio::try_join!(
            alertmanager::start(site, &config, &addresses, &tapped, token, pki.ca_pem()),
            prometheus::start(site, &alerts, &addresses),
        )?;
        Ok(Self { prometheus, alertmanager, tap, client: parts::http()?, shortened: false })
    }

    /// Kills a replica with SIGKILL; it stays down until a story starts it.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        let replica = self.replica(name)?;
        if !replica.lives() {
            bail!("{name} is already down");
        }
        replica.kill().await;
        Ok(())
    }

    pub async fn revive(&mut self, name: &str) -> Result<()> {
        self.replica(name)?.start().await
    }

    pub async fn route(&mut self, routes: Routes) -> Result<()> {
        self.shortened = true;
        self.alertmanager.route(Some(routes)).await
    }

    /// Undoes what a story did to the alerting half, so that the next story finds the shipped
    /// setup.
    pub async fn restore(&mut self) -> Result<()> {
        for replica in self.replicas() {
            replica.start().await?;
        }
        if std::mem::take(&mut self.shortened) {
            self.alertmanager.route(None).await?;
        }
        Ok(())
    }

    /// Whether every running Alertmanager has the node's remediation alerts in this state.
    pub async fn stands(&self, node: &str, standing: Standing) -> Result<bool> {
        for url in self.alertmanagers() {
            let url = reqwest::Url::parse_with_params(
                &format!("{url}/api/v2/alerts"),
                [("filter", format!("node=\"{node}\"")), ("filter", "remediation=~\".+\"".to_owned())],
            )?;
            let alerts: Vec<Value> = serde_json::from_str(&parts::page(&self.client, url.as_str()).await?)
                .with_context(|| format!("reading {url}"))?;
            let holds = match standing {
                Standing::None => alerts.is_empty(),
                Standing::Firing => alerts.iter().any(|alert| alert["status"]["state"] == "active"),
                Standing::Suppressed => alerts.iter().any(|alert| alert["status"]["state"] == "suppressed"),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every running Prometheus has scraped at least this number of strikes of a node
    /// within 2 min.
    pub async fn has_seen(&self, node: &str, strikes: u32) -> Result<bool> {
        let query = format!("max_over_time(ossci_check_consecutive_failures{{node=\"{node}\"}}[2m]) >= {strikes}");
        for replica in self.prometheus.replicas.iter().filter(|replica| replica.lives()) {
            let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", replica.url), [("query", &query)])?;
            let answer: Value = serde_json::from_str(&parts::page(&self.client, url.as_str()).await?)?;
            if answer.pointer("/data/result").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Posts a foreign alert about a node to every Alertmanager.
    pub async fn post(&self, node: &str, labels: &[(String, String)]) -> Result<()> {
        let mut alert = json!({"labels": {"alertname": "SomebodyElses", "node": node}, "annotations": {}});
        for (name, value) in labels {
            alert["labels"][name] = json!(value);
        }
        for url in self.alertmanagers() {
            self.send(&format!("{url}/api/v2/alerts"), &json!([alert])).await?;
        }
        Ok(())
    }

    /// Posts one alert for each of these nodes to every Alertmanager. It asks for a reboot and
    /// fires for hours.
    pub async fn complain(&self, nodes: &[String]) -> Result<()> {
        let ends = clock::now() + jiff::SignedDuration::from_hours(6);
        let alerts: Vec<Value> = nodes
            .iter()
            .map(|node| {
                json!({"labels": {"alertname": "GPUCheckFailing", "node": node, "cluster": "lab", "remediation": "reboot",
                                  "check": "rocm-smi", "severity": "critical"},
                       "annotations": {"summary": "three strikes"}, "endsAt": ends.to_string()})
            })
            .collect();
        for url in self.alertmanagers() {
            self.send(&format!("{url}/api/v2/alerts"), &json!(alerts)).await?;
        }
        Ok(())
    }

    /// Silences all alerts of a node at one Alertmanager; the other one learns of it by gossip.
    pub async fn silence(&self, node: &str) -> Result<()> {
        let now = clock::now();
        let silence = json!({
            "matchers": [{"name": "node", "value": node, "isRegex": false, "isEqual": true}],
            "startsAt": now.to_string(), "endsAt": (now + SILENCE).to_string(),
            "createdBy": "a person", "comment": "a story",
        });
        let url = self.alertmanagers().next().context("no Alertmanager runs")?;
        self.send(&format!("{url}/api/v2/silences"), &silence).await
    }

    /// Expires every silence of a node.
    pub async fn unsilence(&self, node: &str) -> Result<()> {
        let url = self.alertmanagers().next().context("no Alertmanager runs")?;
        let all: Vec<Value> =
            serde_json::from_str(&parts::page(&self.client, &format!("{url}/api/v2/silences")).await?)?;
        let of_node = |silence: &&Value| {
            silence["status"]["state"] == "active" && silence.pointer("/matchers/0/value").is_some_and(|of| of == node)
        };
        for silence in all.iter().filter(of_node) {
            let id = silence["id"].as_str().context("a silence without id")?;
            let answer = self.client.delete(format!("{url}/api/v2/silence/{id}")).send().await.context("deleting")?;
            answer.error_for_status().context("expiring a silence")?;
        }
        Ok(())
    }

    fn alertmanagers(&self) -> impl Iterator<Item = &str> {
        self.alertmanager.replicas.iter().filter(|replica| replica.lives()).map(|replica| replica.url.as_str())
    }

    async fn send(&self, url: &str, body: &Value) -> Result<()> {
        let answer = self.client.post(url).json(body).send().await.with_context(|| format!("asking {url}"))?;
        let status = answer.status();
        if !status.is_success() {
            bail!("{url} answered {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(())
    }

    fn replica(&mut self, name: &str) -> Result<&mut Replica> {
        self.replicas().find(|replica| replica.name == name).with_context(|| format!("there is no {name}"))
    }

    fn replicas(&mut self) -> impl Iterator<Item = &mut Replica> {
        self.prometheus.replicas.iter_mut().chain(&mut self.alertmanager.replicas)
    }
}
