//! `ossci-remediator explain NODE`: why a node is where it is, what comes next, and what a person
//! can do. It changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::cluster::{Cluster, patient};
use super::output::Output;
use crate::api::about;
use crate::core::explain;
use crate::wire::slim_node::TaintNames;

/// Limit of all reads.
const READS: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    node: String,
    /// Shows earlier repairs, too.
    #[arg(long)]
    history: bool,
    /// The DNS prefix of the taints, as `taintPrefix` of the policy says.
    #[arg(long, env = "OSSCI_TAINT_PREFIX")]
    taint_prefix: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `say` prints. Exit code 0: the node is well, 1: a repair or a slow network is
/// open, 3: it cannot be known.
///
/// # Errors
/// There is no such node.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let answered = tokio::time::timeout(READS, answer(arguments, say)).await;
    answered.with_context(|| format!("the Kubernetes API did not answer within {} s", READS.as_secs()))?
}

async fn answer(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let name = arguments.node.as_str();
    let cluster = arguments.cluster.connect().await?;
    let names = TaintNames { prefix: arguments.taint_prefix.clone() };
    let asked = about::explain(&cluster.client, name, &names, cluster.now());
    let found = patient("the Kubernetes API", asked).await;
    let found =
        found.context("it needs the verb get on nodes and on noderepairs.ossci.amd.com, and the CRD of NodeRepair")?;
    let Some(found) = found else {
        let all =
            Api::<Node>::all(cluster.client).list_metadata(&ListParams::default()).await.context("listing nodes")?;
        let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        let near = explain::near(name, names.iter().map(String::as_str)).join(", ");
        anyhow::bail!("there is no Node {name}, and no record of one; near: {near}");
    };
    say(&arguments.output.render(&found, |found| explain::text(found, arguments.history))?);
    Ok(if found.open { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
