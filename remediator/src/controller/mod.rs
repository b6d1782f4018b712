//! The controller: what it is made of, and how the pieces hang together.

mod context;
mod inputs;
mod outputs;
mod reconcile;
mod services;
mod state;
#[cfg(test)]
mod testing;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use self::context::Context;
use self::inputs::webhook::DoorFiles;
use self::state::site::Site;
use crate::api::client;
use crate::core::lease::{Candidate, Terms};
use crate::metrics::Metrics;
use ossci_base::clock;

#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The policy file.
    #[arg(long, env = "OSSCI_POLICY", default_value = "/etc/ossci/policy.yaml")]
    pub policy: PathBuf,
    /// Where Alertmanager's webhook is received, with TLS.
    #[arg(long = "webhook.listen-address", env = "OSSCI_WEBHOOK_LISTEN_ADDRESS", default_value = "0.0.0.0:19402")]
    pub webhook_address: SocketAddr,
    #[arg(long = "webhook.tls-cert", env = "OSSCI_WEBHOOK_TLS_CERT", default_value = "/etc/ossci/tls/tls.crt")]
    pub webhook_cert: PathBuf,
    #[arg(long = "webhook.tls-key", env = "OSSCI_WEBHOOK_TLS_KEY", default_value = "/etc/ossci/tls/tls.key")]
    pub webhook_key: PathBuf,
    /// The file with the bearer token that Alertmanager sends. During a rotation it holds two, one a line; both are valid.
    #[arg(long = "webhook.token-file", env = "OSSCI_WEBHOOK_TOKEN_FILE", default_value = "/etc/ossci/webhook/token")]
    pub webhook_token: PathBuf,
    /// Where metrics and health are served.
    #[arg(long = "metrics.listen-address", env = "OSSCI_METRICS_LISTEN_ADDRESS", default_value = "0.0.0.0:19401")]
    pub metrics_address: SocketAddr,
    /// The namespace of the budget object and of the Lease.
    #[arg(long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    pub namespace: String,
    /// Who this replica is, in the Lease; a part that is new at each start is added.
    #[arg(long = "leader-elect-identity", env = "HOSTNAME", default_value = "ossci-remediator")]
    pub identity: String,
    /// How long the Lease is held after its last renewal.
    #[arg(long = "leader-elect-lease-duration", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// How long the leader acts after its last renewal; less than the Lease's duration.
    #[arg(long = "leader-elect-renew-deadline", default_value = "10s", value_parser = duration)]
    pub renew_deadline: Duration,
    /// How often the Lease is renewed, or looked at.
    #[arg(long = "leader-elect-retry-period", default_value = "2s", value_parser = duration)]
    pub retry_period: Duration,
}

impl Config {
    fn door_files(&self) -> DoorFiles {
        DoorFiles { cert: self.webhook_cert.clone(), key: self.webhook_key.clone(), token: self.webhook_token.clone() }
    }

    fn lease_terms(&self) -> anyhow::Result<Terms> {
        let (duration, acts_for, retry) = (self.lease_duration, self.renew_deadline, self.retry_period);
        anyhow::ensure!(
            retry < acts_for && acts_for < duration && duration.subsec_nanos() == 0,
            "the lease's duration has to be whole seconds and longer than the renew deadline, and that longer than the \
             retry period: {duration:?}, {acts_for:?}, {retry:?}"
        );
        Ok(Terms { duration, acts_for, retry })
    }
}

/// `15s`, `1m`, `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().map_err(|error| format!("{error}; write it like 15s"))?;
    Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())
}

/// Runs until `stop` resolves or a part that should run for ever ends.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let terms = config.lease_terms()?;
    let yaml = inputs::policy_file::read(&config.policy)?;
    let site = Site::of(&yaml).with_context(|| format!("the policy file {}", config.policy.display()))?;
    if site.mailer.is_none() {
        tracing::warn!("the policy names no mail server: escalations will wait for one");
    }

    let metrics = Arc::new(Metrics::default());
    let calls = &metrics.api_requests;
    let client = client::requests(calls).await.context("connecting to the Kubernetes API")?;
    let watching = client::watches(calls, None).await.context("connecting to the Kubernetes API")?;
    metrics.policy_read(Some(clock::now()));
    let (wakes, queue) = state::wakes::queue();
    let time = inputs::api_time::begin(&client).await;
    let (events, event_queue) = state::events::Events::new();
    let context = Context::new(client.clone(), config.namespace.clone(), site, metrics, time, wakes, events);
    let context = Arc::new(context);
    let me = format!("{}_{}", config.identity, uuid::Uuid::new_v4());

    let mut parts = JoinSet::new();
    parts.spawn(inputs::watch::repairs(watching.clone(), context.clone()));
    parts.spawn(inputs::watch::nodes(watching.clone(), context.clone()));
    parts.spawn(inputs::watch::budget(watching, context.clone()));
    parts.spawn(outputs::server::plain(config.metrics_address, context.clone()));
    parts.spawn(inputs::webhook::serve(config.webhook_address, config.door_files(), context.clone()));
    parts.spawn(reconcile::dispatch::dispatch(queue, context.clone()));
    parts.spawn(outputs::publish::follow(client.clone(), event_queue));
    let (leading, candidate) = (context.clone(), Candidate::new(me.clone(), terms));
    parts.spawn(async move {
        // Whoever leads has asked what is silenced; without an answer it leads all the same.
        inputs::poll::ask(&leading).await;
        inputs::lease::run(leading, candidate).await
    });
    parts.spawn(inputs::poll::follow(context.clone()));
    parts.spawn(outputs::notices::follow(context.clone()));
    parts.spawn(outputs::evidence::follow(context.clone()));
    parts.spawn(inputs::api_time::follow(client, context.clone()));
    parts.spawn(inputs::policy_file::follow(config.policy.clone(), yaml, context.clone()));
    tracing::info!(policy = %config.policy.display(), pools = context.site().policy.pools.len(), "controller started");

    tokio::select! {
        () = stop => {
            parts.shutdown().await;
            inputs::lease::give_back(&context, &me).await;
            Ok(())
        }
        Some(ended) = parts.join_next() => match ended {
            Ok(Ok(())) => anyhow::bail!("a part of the controller ended by itself"),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        },
    }
}
