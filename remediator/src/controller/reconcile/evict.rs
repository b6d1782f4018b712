//! Evicts pods through the eviction API, which respects their disruption budgets.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams};

use crate::api::request;
use crate::api::request::RequestError;
use crate::controller::state::evictions::Evictions;
use crate::core::observation::PodView;

/// Asks for the eviction of each pod. A disruption budget's refusal (429) is an answer, not an
/// error: the controller asks again until the drain's deadline.
pub async fn evict(
    client: &kube::Client,
    evictions: &Evictions,
    node: &str,
    pods: &[PodView],
) -> Result<(), RequestError> {
    let mut refused = None;
    for pod in pods {
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
        match api.evict(&pod.name, &EvictParams::default()).await {
            Ok(_) => tracing::info!(node, %pod, "eviction asked for"),
            Err(error) if request::not_found(&error) => {}
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let cause =
                    status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.clone()).next();
                let message = cause.unwrap_or_else(|| status.message.clone());
                tracing::info!(node, %pod, message, "eviction refused by a disruption budget, asked again");
                refused = refused.or(Some(message));
            }
            Err(source) => return Err(RequestError { what: "evicting a pod", source }),
        }
    }
    evictions.note(node, refused);
    Ok(())
}
