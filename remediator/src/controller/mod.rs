//! The controller: what it is made of, and how the pieces hang together.

mod act;
mod budget_object;
mod evictions;
mod fleet;
mod observe;
mod record;
mod report;
mod server;
mod taints;
mod turn;
mod wake;
mod watch;
mod webhook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::core::policy::Policy;
use crate::kube_client;
use crate::mail::Mailer;
use crate::metrics::Metrics;
use crate::wire::policy_file::PolicyFile;
use crate::wire::slim_node::TaintNames;

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
    /// A file that holds the bearer token that Alertmanager sends, and nothing else.
    #[arg(long = "webhook.token-file", env = "OSSCI_WEBHOOK_TOKEN_FILE", default_value = "/etc/ossci/webhook/token")]
    pub webhook_token: PathBuf,
    /// Where metrics and health are served.
    #[arg(long = "metrics.listen-address", env = "OSSCI_METRICS_LISTEN_ADDRESS", default_value = "0.0.0.0:19401")]
    pub metrics_address: SocketAddr,
    /// The namespace of the budget object.
    #[arg(long, env = "OSSCI_NAMESPACE", default_value = "ossci")]
    pub namespace: String,
}

/// What every part of the controller shares.
struct Context {
    /// For requests: bounded, and never retried behind our back.
    client: kube::Client,
    policy: Policy,
    names: TaintNames,
    cluster: Option<String>,
    mailer: Option<Mailer>,
    metrics: Arc<Metrics>,
    wakes: wake::Wakes,
    fleet: fleet::Fleet,
    namespace: String,
    reporter: report::Reporter,
}

/// Runs until `stop` resolves or a part that should run for ever ends.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    let yaml = std::fs::read_to_string(&config.policy)
        .with_context(|| format!("reading the policy file {}", config.policy.display()))?;
    let file = PolicyFile::parse(&yaml).with_context(|| format!("the policy file {}", config.policy.display()))?;
    let mailer = file.mail.clone().map(Mailer::new).transpose().context("setting up mail")?;
    if mailer.is_none() {
        tracing::warn!("the policy names no mail server: escalations will wait for one");
    }

    let client = kube_client::requests().await.context("connecting to the Kubernetes API")?;
    let metrics = Metrics::new();
    let (wakes, queue) = wake::queue();
    let context = Arc::new(Context {
        policy: file.policy(),
        names: file.taint_names(),
        cluster: file.cluster.clone(),
        mailer,
        metrics,
        wakes,
        fleet: fleet::Fleet::default(),
        namespace: config.namespace.clone(),
        reporter: report::Reporter::new(client.clone()),
        client,
    });

    let mut parts = JoinSet::new();
    let watching = kube_client::watches().await.context("connecting to the Kubernetes API")?;
    parts.spawn(watch::repairs(watching.clone(), context.clone()));
    parts.spawn(watch::nodes(watching.clone(), context.clone()));
    parts.spawn(watch::budget(watching, context.clone()));
    parts.spawn(server::plain(config.metrics_address, context.clone()));
    parts.spawn(webhook::serve(config.clone(), context.clone()));
    parts.spawn(wake::dispatch(queue, context.clone()));
    tracing::info!(policy = %config.policy.display(), pools = context.policy.pools.len(), "controller started");

    tokio::select! {
        () = stop => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            Ok(Ok(())) => anyhow::bail!("a part of the controller ended by itself"),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(panic.into()),
        },
    }
}
