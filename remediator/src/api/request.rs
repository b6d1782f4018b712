//! Common parts of requests to the Kubernetes API: the precondition of a guarded write, an error
//! that names what was tried, and the meaning of a refusal. It sends no request itself.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Status;
use serde_json::{Value, json};

/// What a 404 says that is about no object.
const UNSERVED: &str = "the API server does not serve this kind of object; a missing CRD is applied by: \
                        ossci-remediator crd | kubectl apply --server-side -f -";

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

/// Whether the API server looked for the object and has none of that name.
pub fn not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() && names_an_object(status))
}

/// The API server's own 404 for an object names it. One for a kind whose CRD is missing or not yet
/// served, or of a proxy in between, does not, and says nothing about the object.
fn names_an_object(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| !details.name.is_empty())
}

/// Returns the object that was read by its name; `None`: there is none of that name.
///
/// # Errors
/// The answer's, and a 404 that is about no object.
pub fn found<T>(answer: Result<T, kube::Error>) -> Result<Option<T>, kube::Error> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if not_found(&error) => Ok(None),
        Err(error) => Err(unserved(error)),
    }
}

/// Says what a 404 means that is about no object.
pub fn unserved(mut error: kube::Error) -> kube::Error {
    if let kube::Error::Api(status) = &mut error
        && status.code == 404
        && !names_an_object(status)
    {
        status.message = UNSERVED.to_owned();
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(reason: &str, name: Option<&str>) -> Result<(), kube::Error> {
        let details = name.map(|name| json!({ "name": name }));
        let status = json!({"code": 404, "message": "404 page not found", "reason": reason, "details": details});
        Err(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn a_404_that_names_no_object_is_no_answer() {
        assert_eq!(found(answered("NotFound", Some("gpu1"))).unwrap(), None);
        for (reason, name) in [("NotFound", None), ("NotFound", Some("")), ("Failed to parse error data", None)] {
            let error = found(answered(reason, name)).unwrap_err().to_string();
            assert!(error.contains("ossci-remediator crd"), "{error}");
        }
    }
}
