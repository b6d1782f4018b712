//! Writes to a NodeRepair, with strict field validation. If the cluster's CRD is older than this
//! program, the API server rejects the write. Without validation it would silently drop the unknown
//! fields, and the next reconcile would decide as if they had never been written.

use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::Value;

use crate::api::request;
use crate::wire::bounds;
use crate::wire::node_repair::NodeRepair;

/// Precedes the unknown fields in the API server's message.
const UNKNOWN: &str = "strict decoding error: ";

/// Merges `change` into the record's `status`.
///
/// # Errors
/// The API server refuses the request or does not answer.
pub async fn status(repairs: &Api<NodeRepair>, name: &str, mut change: Value) -> Result<NodeRepair, kube::Error> {
    let whole = PatchParams::default().validation_strict();
    bounds::fit(&mut change);
    repairs.patch_status(name, &whole, &Patch::Merge(change)).await.map_err(in_short)
}

/// Merges `change` into the record's `spec`.
///
/// # Errors
/// The API server refuses the request or does not answer.
pub async fn spec(repairs: &Api<NodeRepair>, name: &str, change: Value) -> Result<NodeRepair, kube::Error> {
    let whole = PatchParams::default().validation_strict();
    repairs.patch(name, &whole, &Patch::Merge(change)).await.map_err(in_short)
}

/// Creates the record of a node. Creation is the lock: if another replica was faster, its record is
/// returned.
pub async fn create(repairs: &Api<NodeRepair>, name: &str) -> Result<NodeRepair, kube::Error> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let repair = NodeRepair { metadata, ..NodeRepair::default() };
    match repairs.create(&PostParams::default(), &repair).await {
        Err(error) if request::lost_race(&error) => repairs.get(name).await,
        other => other,
    }
}

/// Shortens the error about an unknown field to that field: the API server's message quotes the
/// whole record, twice.
fn in_short(mut error: kube::Error) -> kube::Error {
    if let kube::Error::Api(refusal) = &mut error
        && let Some((_, unknown)) = refusal.message.rsplit_once(UNKNOWN)
    {
        refusal.message =
            format!("the CRD in the cluster is older than this program, apply deploy/crd.yaml: {unknown}");
        refusal.details = None;
    }
    error
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::in_short;

    #[test]
    fn an_unknown_field_is_named_without_quoting_the_record() {
        let said = r#" "" is invalid: patch: Invalid value: "{\"kind\":\"NodeRepair\"}": strict decoding error: unknown field "status.new""#;
        let refused = Status::failure(said, "Invalid").with_code(422);
        let sentence = in_short(kube::Error::Api(Box::new(refused))).to_string();
        assert!(sentence.contains("older than this program"), "{sentence}");
        assert!(sentence.contains("status.new") && !sentence.contains("kind"), "{sentence}");
    }
}
