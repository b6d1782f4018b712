//! Asking pods to leave, through the eviction API, which respects their disruption budgets.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams};

use super::Context;
use super::turn::TurnError;
use crate::core::decide::PodName;
use crate::kube_client;

/// Asks for the eviction of each pod. A budget's refusal (429) is an answer, not an error: the pod is asked again until
/// the drain's deadline.
pub async fn evict(context: &Context, node: &str, pods: &[PodName]) -> Result<(), TurnError> {
    for pod in pods {
        let api: Api<Pod> = Api::namespaced(context.client.clone(), &pod.namespace);
        match api.evict(&pod.name, &EvictParams::default()).await {
            Ok(_) => tracing::info!(node, %pod, "eviction asked for"),
            Err(error) if kube_client::not_found(&error) => {}
            Err(kube::Error::Api(status)) if status.code == 429 => {
                tracing::info!(node, %pod, message = status.message, "a disruption budget does not let the pod go yet");
            }
            Err(source) => return Err(TurnError { what: "evicting a pod", source }),
        }
    }
    Ok(())
}
