//! ConfigMaps with evidence, in our namespace. An agent creates one before each reboot and reimage;
//! the controller attaches them to its mail and deletes the oldest. Each has one gzip file of at
//! most 64 KiB.

use std::io::Read as _;

use flate2::read::GzDecoder;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::{Client, ResourceExt};

use crate::api::request;
use crate::core::record::Record;

/// The label of these ConfigMaps.
pub const LABEL: &str = "ossci.amd.com/evidence";
/// The annotation that names the node.
pub const NODE: &str = "ossci.amd.com/node";
/// The key of the file.
pub const FILE: &str = "evidence.txt.gz";
/// Number of ConfigMaps that are not deleted: 64 MB at most.
const KEPT: usize = 1_000;
/// Page size of a list.
const PAGE: u32 = 500;

/// Returns the name of an order's ConfigMap. The key has no dot, so the names of no two nodes begin
/// or end alike (deploy/admission.yaml); `key` is [`crate::core::record::Order::key`].
pub fn name(node: &str, key: &str) -> String {
    format!("ossci-evidence-{key}.{node}")
}

/// Returns the file of one ConfigMap, or `None` if the ConfigMap or its file does not exist.
///
/// # Errors
/// The API server refuses the request or does not answer.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Vec<u8>>, kube::Error> {
    let map = request::found(maps(client, namespace).get(name).await)?;
    Ok(map.and_then(|map| map.binary_data).and_then(|mut data| data.remove(FILE)).map(|file| file.0))
}

/// Returns the ConfigMaps of a node, in no order.
///
/// # Errors
/// The API server refuses the request or does not answer.
pub async fn of_node(client: &Client, namespace: &str, node: &str) -> Result<Vec<ConfigMap>, kube::Error> {
    let (maps, params) = (maps(client, namespace), ListParams::default().labels(LABEL));
    let mut all = Vec::new();
    // The names first: all files together may be 64 MB.
    for known in maps.list_metadata(&params).await?.items {
        if known.annotations().get(NODE).is_some_and(|of| of == node) {
            all.extend(request::found(maps.get(&known.name_any()).await)?);
        }
    }
    Ok(all)
}

/// A stored file of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// gzip, as it is stored.
    pub packed: Vec<u8>,
    /// Its text, if that is short enough to be read without a program that unpacks it.
    pub text: Option<Vec<u8>>,
}

/// A file of evidence with its name, or one sentence why it is not there.
pub type Found = (String, Result<Stored, String>);

/// A text up to this size is read as it is: a phone opens no gzip.
const READABLE: usize = 512 * 1024;

impl Stored {
    /// Returns the file, unpacked as far as it has to be: a small file may hold a huge text.
    ///
    /// # Errors
    /// One sentence: it is no gzip file.
    fn of(packed: Vec<u8>) -> Result<Self, String> {
        let (mut text, most) = (Vec::new(), u64::try_from(READABLE + 1).unwrap_or(u64::MAX));
        let read = GzDecoder::new(packed.as_slice()).take(most).read_to_end(&mut text);
        read.map_err(|error| format!("it is no gzip file ({error})"))?;
        let text = (text.len() <= READABLE).then_some(text);
        Ok(Self { packed, text })
    }
}

/// Returns the evidence of an episode's steps.
pub async fn files_of(client: &Client, namespace: &str, record: &Record) -> Vec<Found> {
    let steps = record.repair.episode.iter().flat_map(|episode| &episode.steps);
    let mut files = Vec::new();
    for name in steps.filter_map(|step| step.evidence.as_ref()) {
        let file = match read(client, namespace, name).await {
            Ok(Some(file)) => Stored::of(file),
            Ok(None) => Err("its ConfigMap is gone".to_owned()),
            Err(error) => Err(format!("its ConfigMap cannot be read: {error}")),
        };
        files.push((name.clone(), file));
    }
    files
}

/// Deletes the oldest ConfigMaps above the limit of 1,000; returns how many.
///
/// # Errors
/// The API server refuses a request or does not answer.
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

/// Returns all but the newest [`KEPT`].
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
    fn a_short_text_is_unpacked_and_nothing_larger() {
        let gzip = |text: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            std::io::Write::write_all(&mut encoder, text).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(Stored::of(gzip(b"kernel log")).unwrap().text, Some(b"kernel log".to_vec()));
        let whole = Stored::of(gzip(&[b'x'; READABLE])).unwrap();
        assert_eq!(whole.text.map(|text| text.len()), Some(READABLE));
        // 50 MB of zeros in 50 kB.
        assert_eq!(Stored::of(gzip(&vec![0; 50 << 20])).unwrap().text, None);
        assert!(Stored::of(b"no gzip".to_vec()).unwrap_err().starts_with("it is no gzip file"));
    }

    #[test]
    fn only_the_oldest_above_the_limit_are_deleted() {
        let known = |number: i64| (Timestamp::from_second(1_000 - number).unwrap(), number.to_string(), None);
        let all: Vec<_> = (0..1_003).map(known).collect();
        let names: Vec<_> = surplus(all).into_iter().map(|(_, name, _)| name).collect();
        assert_eq!(names, ["1002", "1001", "1000"]);
        assert!(surplus((0..1_000).map(known).collect()).is_empty());
    }
}
