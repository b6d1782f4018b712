//! Evicts pods through the eviction API, which respects their disruption budgets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, EvictParams, Preconditions};

use crate::api::request;
use crate::controller::state::evictions::Evictions;
use crate::core::observation::PodView;

/// Number of evictions that are asked for at a time.
const AT_A_TIME: usize = 8;
/// Limit of an answer's text, in characters.
const TEXT: usize = 200;

/// Asks for the eviction of each pod, whatever the answer for another one. What was not accepted
/// (a disruption budget, a webhook, a namespace that ends) is asked for again until the drain's
/// deadline.
pub async fn evict(client: &kube::Client, evictions: &Evictions, node: &str, pods: &[PodView]) {
    let mut refused = BTreeMap::new();
    for some in pods.chunks(AT_A_TIME) {
        let answers = futures::future::join_all(some.iter().map(|pod| one(client, node, pod))).await;
        refused.extend(answers.into_iter().flatten());
    }
    evictions.note(node, refused);
}

/// Asks for one eviction; returns the answer if it was not accepted.
async fn one(client: &kube::Client, node: &str, pod: &PodView) -> Option<(String, String)> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace);
    // A pod that was created again under the same name, perhaps on another node, stays.
    let this_one = Preconditions { uid: Some(pod.uid.clone()), ..Preconditions::default() };
    let delete_options = DeleteParams { preconditions: Some(this_one), ..DeleteParams::default() };
    let parameters = EvictParams { delete_options: Some(delete_options), ..EvictParams::default() };
    let text = match api.evict(&pod.name, &parameters).await {
        Ok(_) => {
            tracing::info!(node, %pod, "eviction asked for");
            return None;
        }
        Err(error) if request::not_found(&error) || request::lost_race(&error) => return None,
        Err(kube::Error::Api(status)) => {
            let cause = status.details.iter().flat_map(|details| &details.causes).map(|cause| &cause.message).next();
            cause.unwrap_or(&status.message).clone()
        }
        Err(error) => error.to_string(),
    };
    tracing::info!(node, %pod, answer = text, "eviction not accepted, asked for again");
    Some((pod.to_string(), text.chars().take(TEXT).collect()))
}
