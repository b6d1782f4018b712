//! Asking pods to leave, through the eviction API, which respects their disruption budgets.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, EvictParams};

use super::Context;
use super::turn::TurnError;
use crate::core::decide::PodView;
use crate::kube_client;

/// What refused the last evictions, by node: for people, and only while this process lives.
#[derive(Debug, Default)]
pub struct Evictions(Mutex<HashMap<String, String>>);

impl Evictions {
    pub fn refused(&self, node: &str) -> Option<String> {
        self.lock().get(node).cloned()
    }

    fn note(&self, node: &str, refused: Option<String>) {
        match refused {
            Some(refused) => drop(self.lock().insert(node.to_owned(), refused)),
            None => drop(self.lock().remove(node)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the eviction of each pod. A budget's refusal (429) is an answer, not an error: the pod is asked again until
/// the drain's deadline.
pub async fn evict(context: &Context, node: &str, pods: &[PodView]) -> Result<(), TurnError> {
    let mut refused = None;
    for pod in pods {
        let api: Api<Pod> = Api::namespaced(context.client.clone(), &pod.namespace);
        match api.evict(&pod.name, &EvictParams::default()).await {
            Ok(_) => tracing::info!(node, %pod, "eviction asked for"),
            Err(error) if kube_client::not_found(&error) => {}
            Err(kube::Error::Api(status)) if status.code == 429 => {
                let cause =
                    status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.clone()).next();
                let message = cause.unwrap_or_else(|| status.message.clone());
                tracing::info!(node, %pod, message, "a disruption budget does not let the pod go yet");
                refused = refused.or(Some(message));
            }
            Err(source) => return Err(TurnError { what: "evicting a pod", source }),
        }
    }
    context.evictions.note(node, refused);
    Ok(())
}
