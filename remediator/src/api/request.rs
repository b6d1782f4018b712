//! What every request to the Kubernetes API shares: the guard of a write, the error that names what was tried, and what a
//! refusal means.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// A request that failed, and what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RequestError {
    pub what: &'static str,
    #[source]
    pub source: kube::Error,
}

/// Names what a request was for.
pub fn doing(what: &'static str) -> impl FnOnce(kube::Error) -> RequestError {
    move |source| RequestError { what, source }
}

/// What a patch has as `metadata` so that it is refused unless the object is still the one that was read, as it was read.
pub fn guard(read: &ObjectMeta) -> Value {
    json!({ "resourceVersion": read.resource_version, "uid": read.uid })
}

/// Somebody else wrote in between: read again.
pub fn lost_race(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

pub fn not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
