//! How a NodeRepair is written: whole or not at all. A field that the cluster's CRD does not know, since it is older than this
//! program, would be dropped without a word, and the next turn would decide as if it had never been written.

use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::Value;

use crate::api::request;
use crate::wire::node_repair::NodeRepair;

/// Before what the API server does not know.
const UNKNOWN: &str = "strict decoding error: ";

/// Merges `change` into the record's `status`.
///
/// # Errors
/// The API server refuses it or does not answer.
pub async fn status(repairs: &Api<NodeRepair>, name: &str, change: Value) -> Result<NodeRepair, kube::Error> {
    let whole = PatchParams::default().validation_strict();
    repairs.patch_status(name, &whole, &Patch::Merge(change)).await.map_err(in_short)
}

/// Merges `change` into the record's `spec`.
///
/// # Errors
/// The API server refuses it or does not answer.
pub async fn spec(repairs: &Api<NodeRepair>, name: &str, change: Value) -> Result<NodeRepair, kube::Error> {
    let whole = PatchParams::default().validation_strict();
    repairs.patch(name, &whole, &Patch::Merge(change)).await.map_err(in_short)
}

/// Creates the record of a node; creating it is the lock, so a twin's record is as good as ours.
pub async fn create(repairs: &Api<NodeRepair>, name: &str) -> Result<NodeRepair, kube::Error> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let repair = NodeRepair { metadata, ..NodeRepair::default() };
    match repairs.create(&PostParams::default(), &repair).await {
        Err(error) if request::lost_race(&error) => repairs.get(name).await,
        other => other,
    }
}

/// Of a record with a field that it does not know the API server says all of it, twice.
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
    fn a_field_that_the_crd_does_not_know_is_named_and_the_record_is_not_told() {
        let said = r#" "" is invalid: patch: Invalid value: "{\"kind\":\"NodeRepair\"}": strict decoding error: unknown field "status.new""#;
        let refused = Status::failure(said, "Invalid").with_code(422);
        let sentence = in_short(kube::Error::Api(Box::new(refused))).to_string();
        assert!(sentence.contains("older than this program"), "{sentence}");
        assert!(sentence.contains("status.new") && !sentence.contains("kind"), "{sentence}");
    }
}
