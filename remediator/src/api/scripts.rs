//! Scripts that the site provides, stored in ConfigMaps of our namespace: of a reimage and of a
//! load test. The controller's order identifies a script by its hash, and the agent must run no
//! other.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use sha2::{Digest as _, Sha256};

use crate::api::request;
use crate::core::record::Script;

/// A script as read from its ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptText {
    pub text: String,
    /// SHA-256 of the text in 64 hexadecimal digits, as `sha256sum` prints it.
    pub sha256: String,
}

/// Reads a script, whatever its hash; returns `None` if the ConfigMap or the key does not exist.
///
/// # Errors
/// The API server refuses the request or does not answer.
pub async fn read(client: &kube::Client, namespace: &str, script: &Script) -> Result<Option<ScriptText>, kube::Error> {
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace).get(&script.config_map).await;
    let map = request::found(map)?;
    Ok(map.and_then(|map| map.data).and_then(|mut data| data.remove(&script.key)).map(of))
}

/// Returns the text of the ordered script.
///
/// # Errors
/// The script was missing when it was ordered, is missing now, or has changed since. The error is
/// one sentence for people.
pub fn as_ordered(read: Option<ScriptText>, ordered: &Script) -> Result<String, String> {
    let Script { config_map, key, sha256 } = ordered;
    match (read, sha256) {
        (Some(read), Some(sha256)) if read.sha256 == *sha256 => Ok(read.text),
        (Some(_), Some(_)) => Err(format!("script {key} in ConfigMap {config_map} was changed after it was ordered")),
        (Some(_), None) => Err(format!("there was no script {key} in ConfigMap {config_map} when this was ordered")),
        (None, _) => Err(format!("there is no script {key} in ConfigMap {config_map}")),
    }
}

fn of(text: String) -> ScriptText {
    let sha256 = format!("{:x}", Sha256::digest(&text));
    ScriptText { text, sha256 }
}

#[cfg(test)]
mod tests {
    use super::{Script, as_ordered, of};

    #[test]
    fn only_the_script_that_was_ordered_is_run() {
        let script = |sha256: Option<&str>| Script {
            config_map: "ossci-reimage".into(),
            key: "reimage.sh".into(),
            sha256: sha256.map(str::to_owned),
        };
        let there = || Some(of("true\n".into()));
        let hash = there().map(|it| it.sha256);
        assert_eq!(as_ordered(there(), &script(hash.as_deref())).as_deref(), Ok("true\n"));
        for (read, ordered) in [(there(), Some("00")), (there(), None), (None, hash.as_deref()), (None, None)] {
            assert!(as_ordered(read, &script(ordered)).is_err(), "{ordered:?}");
        }
    }

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        let printed = "a17fcf0a2f50e2d495e4f90ce263410edc183add6c62699a2facbccf60410f74";
        assert_eq!(of("true\n".into()).sha256, printed);
    }
}
