//! `ossci-remediator history [NODE]`: what was done, and why, from the records. It changes nothing.

use anyhow::Context as _;
use jiff::SignedDuration;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use super::cluster::{Cluster, patient};
use super::output::Output;
use crate::api::request;
use crate::core::history;
use crate::wire::node_repair::NodeRepair;

/// Page size of a list.
const PAGE: u32 = 250;

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Absent: all nodes.
    node: Option<String>,
    /// How far back: `90m`, `24h`, `7d`.
    #[arg(long, default_value = "24h", value_parser = super::span)]
    since: SignedDuration,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    output: Output,
}

/// Runs the command; `say` prints.
///
/// # Errors
/// The records cannot be read.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<()> {
    let cluster = arguments.cluster.connect().await?;
    let begin = cluster.now().checked_sub(arguments.since).context("--since is too long ago")?;
    let repairs: Api<NodeRepair> = Api::all(cluster.client);
    let mut all = Vec::new();
    let mut keep = |repair: &NodeRepair| {
        let happened = history::of(&repair.name_any(), &repair.record());
        all.extend(happened.into_iter().filter(|happened| happened.at >= begin));
    };
    if let Some(node) = &arguments.node {
        let repair =
            request::found(repairs.get(node).await).context("it needs the verb get on noderepairs.ossci.amd.com")?;
        let repair = repair.with_context(|| format!("there is no record of a node {node}: it never complained"))?;
        keep(&repair);
    } else {
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = patient("the Kubernetes API", repairs.list(&params))
                .await
                .map_err(request::unserved)
                .context("it needs the verb list on noderepairs.ossci.amd.com")?;
            page.items.iter().for_each(&mut keep);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break,
            }
        }
    }
    all.sort();
    say(&arguments.output.render(&all, |all| history::text(all))?);
    Ok(())
}
