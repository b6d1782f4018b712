//! `ossci-remediator explain NODE`: why a node is where it is, what comes next, and what a person
//! can do. It changes nothing.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::api::client;
use crate::core::explain::{self, About};
use crate::metrics::Calls;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};
use ossci_base::clock;

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
    /// `json` prints every field by its name.
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

/// Runs the command; `say` prints. Exit code 0: the node is well, 1: a repair or a slow network is
/// open, 3: it cannot be known.
///
/// # Errors
/// There is no such node.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    match tokio::time::timeout(READS, answer(arguments, say)).await {
        Ok(Ok(code)) => Ok(code),
        Ok(Err(error)) => {
            eprintln!("ossci-remediator: {error:#}");
            Ok(ExitCode::from(3))
        }
        Err(_) => anyhow::bail!("the Kubernetes API did not answer within {} s", READS.as_secs()),
    }
}

async fn answer(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let name = arguments.node.as_str();
    let client = client::requests(&Calls::default())
        .await
        .context("no cluster to ask: run it in a pod with a ServiceAccount, or set KUBECONFIG")?;
    let nodes: Api<SlimNode> = Api::all(client.clone());
    let node = nodes.get_opt(name).await.context("reading the Node needs the verb get on nodes")?;
    let repair = Api::<NodeRepair>::all(client).get_opt(name).await;
    let repair = repair.context("reading the record needs the verb get on noderepairs.ossci.amd.com, and its CRD")?;
    if node.is_none() && repair.is_none() {
        let all = nodes.list(&ListParams::default()).await.context("listing nodes")?;
        let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
        let near = explain::near(name, names.iter().map(String::as_str)).join(", ");
        anyhow::bail!("there is no Node {name}, and no record of one; near: {near}");
    }
    let names = TaintNames { prefix: arguments.taint_prefix.clone() };
    let view = node.as_ref().map(|node| slim_node::view(node, &names));
    let condition = node.as_ref().and_then(slim_node::condition);
    let record = repair.map(|repair| repair.record());
    let (condition, record) = (condition.as_ref(), record.as_ref());
    let about = About { name, node: view.as_ref(), condition, record, now: clock::now() };
    let found = explain::explain(&about);
    say(&match arguments.output.as_str() {
        "json" => serde_json::to_string_pretty(&found)? + "\n",
        _ => explain::text(&found, arguments.history),
    });
    Ok(if found.open { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
