//! Common parts of requests to the Kubernetes API: the precondition of a guarded write, an error
//! that names what was tried, and the meaning of a refusal. It sends no request itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

/// A failed request, and what it was for.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RequestError {
    pub what: &'static str,
    #[source]
    pub source: kube::Error,
}

/// Adds to an error what the request was for.
pub fn doing(what: &'static str) -> impl FnOnce(kube::Error) -> RequestError {
    move |source| RequestError { what, source }
}

/// Returns the `metadata` of a guarded patch. The API server rejects the patch with 409 unless the
/// object still has the UID and resourceVersion that were read.
pub fn guard(read: &ObjectMeta) -> Value {
    json!({ "resourceVersion": read.resource_version, "uid": read.uid })
}

/// Whether another writer was faster, so that the object must be read again.
pub fn lost_race(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict() || status.is_already_exists())
}

pub fn not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}
