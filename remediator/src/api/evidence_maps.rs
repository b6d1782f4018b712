//! The ConfigMaps of our namespace that hold evidence: an agent makes one before each reboot and reimage, the controller
//! attaches them to its mail and deletes the oldest. Each has one file, gzip of at most 64 KiB.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::{Client, ResourceExt};

use crate::core::record::Record;

/// The label by which they are known.
pub const LABEL: &str = "ossci.amd.com/evidence";
/// The annotation that says of which node.
pub const NODE: &str = "ossci.amd.com/node";
/// The key of the one file.
pub const FILE: &str = "evidence.txt.gz";
/// So many are kept: 64 MB at most.
const KEPT: usize = 1_000;
/// So many are listed in one answer.
const PAGE: u32 = 500;

/// The name of an order's; `key` is [`crate::core::record::Order::key`].
pub fn name(node: &str, key: &str) -> String {
    format!("ossci-evidence-{node}-{key}")
}

/// Reads the file of one; `None`: it is gone.
///
/// # Errors
/// The API server does not answer.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Vec<u8>>, kube::Error> {
    let map = maps(client, namespace).get_opt(name).await?;
    Ok(map.and_then(|map| map.binary_data).and_then(|mut data| data.remove(FILE)).map(|file| file.0))
}

/// What an episode's captures left in the cluster, with the names of their files. What is gone is not waited for: a mail
/// without it is better than none.
pub async fn files_of(client: &Client, namespace: &str, record: &Record) -> Vec<(String, Vec<u8>)> {
    let steps = record.repair.episode.iter().flat_map(|episode| &episode.steps);
    let mut files = Vec::new();
    for name in steps.filter_map(|step| step.evidence.as_ref()) {
        match read(client, namespace, name).await {
            Ok(Some(file)) => files.push((format!("{name}.txt.gz"), file)),
            Ok(None) => tracing::warn!(name, "the evidence is gone"),
            Err(error) => tracing::warn!(name, %error, "reading the evidence"),
        }
    }
    files
}

/// Deletes the oldest beyond what is kept; how many.
///
/// # Errors
/// The API server does not answer, or says no.
pub async fn prune(client: &Client, namespace: &str) -> Result<usize, kube::Error> {
    let maps = maps(client, namespace);
    let (mut known, mut params) = (Vec::new(), ListParams::default().labels(LABEL).limit(PAGE));
    loop {
        let page = maps.list_metadata(&params).await?;
        known.extend(page.items.iter().map(|map| {
            let made = map.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
            (made, map.name_any(), map.uid())
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    let surplus = surplus(known);
    for (_, name, uid) in &surplus {
        let as_listed = Preconditions { uid: uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(as_listed), ..DeleteParams::default() };
        maps.delete(name, &params).await?;
    }
    Ok(surplus.len())
}

type Known = (Timestamp, String, Option<String>);

/// The oldest beyond what is kept.
fn surplus(mut known: Vec<Known>) -> Vec<Known> {
    known.sort();
    known.truncate(known.len().saturating_sub(KEPT));
    known
}

fn maps(client: &Client, namespace: &str) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_first_and_no_more_than_has_to() {
        let known = |number: i64| (Timestamp::from_second(1_000 - number).unwrap(), number.to_string(), None);
        let all: Vec<_> = (0..1_003).map(known).collect();
        let names: Vec<_> = surplus(all).into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, ["1002", "1001", "1000"]);
        assert!(surplus((0..1_000).map(known).collect()).is_empty());
    }
}
