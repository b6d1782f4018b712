//! The storage of evidence: complete on the node's own disk, and a bounded part in a ConfigMap that
//! outlives the node.

use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::evidence::{Evidence, IN_CLUSTER};
use super::newest::keep_newest;
use crate::api::evidence_maps;
use crate::api::evidence_maps::FILE;

/// Limit of captures whose files stay on the node.
const KEPT: usize = 10;

/// Writes the complete evidence into a folder on the node, and deletes the oldest there. A disk
/// that does not respond blocks a thread, but not the runtime.
///
/// # Errors
/// The disk is full or read-only.
pub async fn on_node(state_dir: &Path, key: &str, evidence: Evidence) -> std::io::Result<()> {
    let (folder, key) = (state_dir.join("evidence"), key.to_owned());
    tokio::task::spawn_blocking(move || write(&folder, &key, &evidence)).await?
}

fn write(folder: &Path, key: &str, evidence: &Evidence) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    keep_newest(folder, KEPT - 1)?;
    let file = folder.join(format!("{key}.txt.gz"));
    std::fs::write(&file, evidence.whole()?)?;
    // The next step is a reboot, so the file has to be on the disk.
    std::fs::File::open(&file)?.sync_all()
}

/// Creates the ConfigMap with an order's evidence and returns its name. An existing one is from the
/// same order, and stays.
///
/// # Errors
/// The API server does not answer, or refuses.
pub async fn in_cluster(
    client: &kube::Client,
    namespace: &str,
    node: &str,
    key: &str,
    evidence: &Evidence,
) -> anyhow::Result<String> {
    let name = evidence_maps::name(node, key);
    let label = (evidence_maps::LABEL.to_owned(), "true".to_owned());
    let metadata = ObjectMeta {
        name: Some(name.clone()),
        labels: Some(BTreeMap::from([label])),
        annotations: Some(BTreeMap::from([(evidence_maps::NODE.to_owned(), node.to_owned())])),
        ..ObjectMeta::default()
    };
    let binary_data = Some(BTreeMap::from([(FILE.to_owned(), ByteString(evidence.within(IN_CLUSTER)?))]));
    let map = ConfigMap { metadata, binary_data, immutable: Some(true), ..ConfigMap::default() };
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    match maps.create(&PostParams::default(), &map).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(name),
        made => made.map(|_| name).map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::evidence::Section;

    #[tokio::test]
    async fn the_newest_captures_stay_on_the_node() {
        let state = std::env::temp_dir().join(format!("ossci-evidence-{}", uuid::Uuid::new_v4()));
        let evidence = Evidence::of(vec![Section { name: "kernel", said: Ok("amdgpu".into()) }]);
        for number in 0..KEPT + 3 {
            on_node(&state, &number.to_string(), evidence.clone()).await.unwrap();
        }
        let folder = state.join("evidence");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), KEPT);
        assert!(folder.join(format!("{}.txt.gz", KEPT + 2)).is_file());
        std::fs::remove_dir_all(&state).unwrap();
    }
}
