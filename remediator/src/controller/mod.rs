//! The controller: its configuration and its tasks. It starts the tasks and decides nothing.

mod context;
mod inputs;
mod outputs;
pub(crate) mod reconcile;
pub(crate) mod services;
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
    /// Path of the policy file.
    #[arg(long, env = "OSSCI_POLICY", default_value = "/etc/ossci/policy.yaml")]
    pub policy: PathBuf,
    /// Listen address of Alertmanager's webhook, with TLS.
    #[arg(long = "webhook.listen-address", env = "OSSCI_WEBHOOK_LISTEN_ADDRESS", default_value = "0.0.0.0:19402")]
    pub webhook_address: SocketAddr,
    /// Path of the webhook's certificate (PEM).
    #[arg(long = "webhook.tls-cert", env = "OSSCI_WEBHOOK_TLS_CERT", default_value = "/etc/ossci/tls/tls.crt")]
    pub webhook_cert: PathBuf,
    /// Path of the webhook's private key (PEM).
    #[arg(long = "webhook.tls-key", env = "OSSCI_WEBHOOK_TLS_KEY", default_value = "/etc/ossci/tls/tls.key")]
    pub webhook_key: PathBuf,
    /// Path of the file with the bearer tokens that the webhook accepts, one per line. During a
    /// rotation it has the old and the new one.
    #[arg(long = "webhook.token-file", env = "OSSCI_WEBHOOK_TOKEN_FILE", default_value = "/etc/ossci/webhook/token")]
    pub webhook_token: PathBuf,
    /// Makes and renews the webhook's certificate and token itself, in the Secrets
    /// ossci-webhook-tls and ossci-webhook-token, and writes them to these three files.
    #[arg(long = "webhook.self-signed", env = "OSSCI_WEBHOOK_SELF_SIGNED")]
    pub webhook_self_signed: bool,
    /// Listen address of metrics and health, without TLS.
    #[arg(long = "metrics.listen-address", env = "OSSCI_METRICS_LISTEN_ADDRESS", default_value = "0.0.0.0:19401")]
    pub metrics_address: SocketAddr,
    /// Namespace of the Lease and of the controller's ConfigMaps.
    #[arg(long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    pub namespace: String,
    /// Identity of this replica in the Lease; a suffix that is new at each start is added.
    #[arg(long = "leader-elect-identity", env = "HOSTNAME", default_value = "ossci-remediator")]
    pub identity: String,
    /// Time after the last renewal at which another replica may take the Lease.
    #[arg(long = "leader-elect-lease-duration", default_value = "15s", value_parser = duration)]
    pub lease_duration: Duration,
    /// Time after its last renewal at which the leader stops acting; less than the lease duration.
    #[arg(long = "leader-elect-renew-deadline", default_value = "10s", value_parser = duration)]
    pub renew_deadline: Duration,
    /// Interval at which the leader renews the Lease and the other replicas read it.
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
            "the lease duration must be whole seconds and longer than the renew deadline, which must be longer than \
             the retry period: {duration:?}, {acts_for:?}, {retry:?}"
        );
        Ok(Terms { duration, acts_for, retry })
    }
}

/// Parses a duration like `15s`, `1m` or `500ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().map_err(|error| format!("{error}; write a duration like 15s"))?;
    Duration::try_from(parsed).map_err(|_| "a duration cannot be negative".to_owned())
}

/// Runs until `stop` resolves, and then releases the Lease.
///
/// # Errors
/// The configuration is not valid, or a task failed or ended unexpectedly.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let terms = config.lease_terms()?;
    let yaml = inputs::policy_file::read(&config.policy)?;
    let site = Site::of(&yaml).with_context(|| format!("loading the policy file {}", config.policy.display()))?;

    let metrics = Arc::new(Metrics::default());
    let calls = &metrics.api_requests;
    let client = client::requests(calls).await.context("connecting to the Kubernetes API")?;
    let watching = client::watches(calls, None).await.context("connecting to the Kubernetes API")?;
    metrics.policy_read(clock::now(), &site.digest);
    let keeper = config
        .webhook_self_signed
        .then(|| inputs::credentials::Keeper::new(client.clone(), &config.namespace, config.door_files()));
    if let Some(keeper) = &keeper {
        keeper.begin().await;
    }
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
    if let Some(keeper) = keeper {
        parts.spawn(keeper.follow());
    }
    parts.spawn(reconcile::dispatch::dispatch(queue, context.clone()));
    parts.spawn(outputs::publish::follow(client.clone(), event_queue));
    let (leading, candidate) = (context.clone(), Candidate::new(me.clone(), terms));
    parts.spawn(async move {
        // Poll Alertmanager before taking the Lease, so that the leader knows the silences. A
        // failed poll does not prevent leadership.
        inputs::poll::ask(&leading).await;
        inputs::lease::run(leading, candidate).await
    });
    parts.spawn(inputs::poll::follow(context.clone()));
    parts.spawn(outputs::notices::follow(context.clone()));
    parts.spawn(outputs::outbox::follow(context.clone()));
    parts.spawn(outputs::evidence::follow(context.clone()));
    parts.spawn(outputs::adopt::follow(context.clone()));
    parts.spawn(outputs::holds::follow(context.clone()));
    parts.spawn(outputs::site_warnings::follow(context.clone()));
    parts.spawn(inputs::api_time::follow(client, context.clone()));
    parts.spawn(inputs::policy_file::follow(config.policy.clone(), yaml, context.clone()));
    tracing::info!(policy = %config.policy.display(), pools = context.site().policy.pools.len(), "controller started");

    tokio::select! {
        () = stop => {
            parts.shutdown().await;
            inputs::lease::give_back(&context.client, &context.namespace, &context.leadership, &me).await;
            Ok(())
        }
        Some(ended) = parts.join_next() => match ended {
            Ok(Ok(())) => anyhow::bail!("a task of the controller ended unexpectedly"),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        },
    }
}
