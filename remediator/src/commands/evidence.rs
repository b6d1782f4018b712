//! `ossci-remediator evidence NODE`: what was captured before the node was changed. It changes
//! nothing.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use flate2::read::GzDecoder;
use jiff::Timestamp;
use kube::ResourceExt;

use super::cluster::{Cluster, patient};
use super::output::printable;
use crate::api::evidence_maps::{self, FILE};
use crate::core::words::when;

/// The most of a text that is printed: an agent may have packed a huge one.
const MOST: u64 = 16 << 20;

#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    node: String,
    /// Names the captures, and prints none.
    #[arg(long)]
    list: bool,
    /// Writes every capture to this folder, instead of printing the latest.
    #[arg(long, conflicts_with = "list")]
    out: Option<PathBuf>,
    #[command(flatten)]
    cluster: Cluster,
}

/// Runs the command; `say` prints.
///
/// # Errors
/// There is no evidence, or it cannot be read.
pub async fn run(arguments: &Arguments, say: impl Fn(&str)) -> anyhow::Result<()> {
    let Arguments { node, cluster: Cluster { namespace, .. }, .. } = arguments;
    let client = arguments.cluster.client().await?;
    let mut all = patient("the Kubernetes API", evidence_maps::of_node(&client, namespace, node))
        .await
        .with_context(|| format!("it needs the verb list on configmaps in the namespace {namespace}"))?;
    all.sort_by_key(|map| map.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0));
    anyhow::ensure!(
        !all.is_empty(),
        "there is no evidence of {node} in the namespace {namespace}: none was captured, or it was deleted with age"
    );
    let text = |map: &k8s_openapi::api::core::v1::ConfigMap| -> anyhow::Result<Vec<u8>> {
        let name = map.name_any();
        let packed = map.binary_data.as_ref().and_then(|data| data.get(FILE));
        let packed = packed.with_context(|| format!("the ConfigMap {name} has no {FILE}"))?;
        let mut text = Vec::new();
        let read = GzDecoder::new(packed.0.as_slice()).take(MOST).read_to_end(&mut text);
        read.with_context(|| format!("the evidence of {name} is no gzip file"))?;
        Ok(text)
    };
    for map in all.iter().filter(|_| arguments.list || arguments.out.is_some()) {
        let taken = map.creation_timestamp().map(|time| when(time.0)).unwrap_or_default();
        let Some(folder) = &arguments.out else {
            say(&format!("{taken}   {}\n", map.name_any()));
            continue;
        };
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let file = folder.join(map.name_any()).with_extension("txt");
        std::fs::write(&file, text(map)?).with_context(|| format!("writing {}", file.display()))?;
        say(&format!("{taken}   {}\n", file.display()));
    }
    if let (Some(latest), false, None) = (all.last(), arguments.list, &arguments.out) {
        say(&printable(&String::from_utf8_lossy(&text(latest)?)));
    }
    Ok(())
}
