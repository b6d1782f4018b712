//! Tests of the evidence ConfigMaps: their number is limited, and an agent creates only those of
//! its own node.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use ossci_lab::kubeconfig;
use ossci_remediator::api::evidence_maps;
use serde_json::json;

use crate::support::{lab_to_flood, part};

const NAMESPACE: &str = "ossci";
/// Number of evidence ConfigMaps that are retained.
const KEPT: usize = 1_000;

fn evidence(number: usize) -> ConfigMap {
    let name = evidence_maps::name("n", &format!("{number:05}"));
    let labels = json!({ evidence_maps::LABEL: "true" });
    // "evidence" in base64.
    let data = json!({ evidence_maps::FILE: "ZXZpZGVuY2U=" });
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "binaryData": data})).unwrap()
}

#[tokio::test]
async fn the_oldest_evidence_is_deleted_above_the_limit() {
    let _part = part("a thousand pieces of evidence");
    let lab = lab_to_flood().await;
    let facts = lab.facts().await;
    let admin = kubeconfig::client(&facts.kubeconfig).await.unwrap();
    let maps = &Api::<ConfigMap>::namespaced(admin, NAMESPACE);
    let make = |number| async move { maps.create(&PostParams::default(), &evidence(number)).await };
    // ConfigMaps created in the same second are pruned in the order of their names.
    for part in [0..3, 3..KEPT + 3] {
        futures::stream::iter(part).map(make).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
    }
    let remediator = kubeconfig::client_as(&facts.kubeconfig, "ossci-remediator").await.unwrap();
    assert_eq!(evidence_maps::prune(&remediator, NAMESPACE).await.unwrap(), 3);
    let left = maps.list_metadata(&ListParams::default().labels(evidence_maps::LABEL)).await.unwrap().items.len();
    assert_eq!(left, KEPT);
    let remediator = &remediator;
    let read = |number: usize| async move {
        let name = evidence(number).metadata.name.unwrap();
        evidence_maps::read(remediator, NAMESPACE, &name).await
    };
    for gone in 0..3 {
        assert_eq!(read(gone).await.unwrap(), None);
    }
    assert_eq!(read(3).await.unwrap().as_deref(), Some(&b"evidence"[..]));
    assert_eq!(evidence_maps::prune(remediator, NAMESPACE).await.unwrap(), 0);
}

#[tokio::test]
async fn an_agent_creates_only_the_config_maps_of_its_own_node() {
    let lab = lab_to_flood().await;
    let facts = lab.facts().await;
    // This token is not bound to a pod, so it belongs to no node.
    let agent = kubeconfig::client_as(&facts.kubeconfig, "ossci-agent").await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(agent, NAMESPACE);
    let refused = maps.create(&PostParams::default(), &evidence(99_999)).await.unwrap_err().to_string();
    assert!(refused.contains("an agent makes evidence of its own node only"), "{refused}");
    let deleted = maps.delete("ossci-policy", &Default::default()).await.unwrap_err().to_string();
    assert!(deleted.contains("forbidden"), "{deleted}");
}
