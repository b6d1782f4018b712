//! The objects by which an operator keeps the GPU driver of a node: the AMD GPU operator's
//! DeviceConfig, and KMM's Module. KMM unloads a module from a node with a NoSchedule taint that
//! the object does not tolerate.
//!
//! Source: instinct.docs.amd.com/projects/gpu-operator, "Full Reference Config"; kmm.sigs.k8s.io,
//! Module `v1beta1`; kubernetes-sigs/kernel-module-management issue 1271.

use serde_json::Value;

use super::slim_node::TaintNames;
use crate::core::taint::TaintKey;
use ossci_base::words::ClosedWord;

/// A resource whose objects may keep a GPU driver.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    /// Where an object has its tolerations.
    tolerations: &'static str,
    /// The field and value by which an object keeps the driver amdgpu.
    keeps: (&'static str, &'static str),
}

pub const RESOURCES: [Resource; 2] = [
    Resource {
        group: "amd.com",
        version: "v1alpha1",
        kind: "DeviceConfig",
        plural: "deviceconfigs",
        tolerations: "/spec/driver/tolerations",
        keeps: ("/spec/driver/enable", "true"),
    },
    Resource {
        group: "kmm.sigs.x-k8s.io",
        version: "v1beta1",
        kind: "Module",
        plural: "modules",
        tolerations: "/spec/tolerations",
        keeps: ("/spec/moduleLoader/container/modprobe/moduleName", "amdgpu"),
    },
];

impl Resource {
    /// Returns the taints of ours that an object does not tolerate; empty if it keeps no GPU
    /// driver.
    pub fn unloads_at(&self, object: &Value, names: &TaintNames) -> Vec<String> {
        let (field, wanted) = self.keeps;
        let keeps = match object.pointer(field) {
            Some(Value::Bool(value)) => value.to_string() == wanted,
            Some(Value::String(value)) => value == wanted,
            _ => false,
        };
        if !keeps {
            return Vec::new();
        }
        let tolerations = object.pointer(self.tolerations).and_then(Value::as_array);
        let tolerated = |key: &String| tolerations.into_iter().flatten().any(|toleration| tolerates(toleration, key));
        TaintKey::ALL.iter().map(|key| names.spell(*key)).filter(|key| !tolerated(key)).collect()
    }
}

/// Whether a toleration covers a NoSchedule taint without a value.
///
/// Source: kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration.
fn tolerates(toleration: &Value, key: &str) -> bool {
    let field = |name: &str| toleration[name].as_str().unwrap_or_default();
    let exists = field("operator") == "Exists";
    let key_fits = field("key") == key || field("key").is_empty() && exists;
    let value_fits = exists || field("value").is_empty();
    key_fits && value_fits && matches!(field("effect"), "" | "NoSchedule")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn untolerated(driver: &Value) -> usize {
        RESOURCES[0].unloads_at(&json!({"spec": {"driver": driver}}), &TaintNames::default()).len()
    }

    #[test]
    fn a_driver_that_the_operator_does_not_keep_is_not_unloaded() {
        assert_eq!(untolerated(&json!({"enable": false})), 0);
        assert_eq!(untolerated(&json!({})), 0);
        let module = |name: &str| json!({"spec": {"moduleLoader": {"container": {"modprobe": {"moduleName": name}}}}});
        assert_eq!(RESOURCES[1].unloads_at(&module("drbd"), &TaintNames::default()).len(), 0);
        assert_eq!(RESOURCES[1].unloads_at(&module("amdgpu"), &TaintNames::default()).len(), 4);
    }

    #[test]
    fn each_of_our_taints_has_to_be_tolerated() {
        let with = |tolerations: Value| untolerated(&json!({"enable": true, "tolerations": tolerations}));
        assert_eq!(with(json!(null)), 4);
        assert_eq!(with(json!([{"key": "amd-gpu-unhealthy", "operator": "Exists"}])), 4);
        assert_eq!(with(json!([{"operator": "Exists"}])), 0);
        assert_eq!(with(json!([{"operator": "Exists", "effect": "NoExecute"}])), 4);
        assert_eq!(with(json!([{"key": "repair-reboot", "operator": "Exists", "effect": "NoSchedule"}])), 3);
        assert_eq!(with(json!([{"key": "slow-network", "operator": "Equal", "value": "x"}])), 4);
    }

    #[test]
    fn a_site_with_a_prefix_tolerates_its_own_taints() {
        let names = TaintNames { prefix: Some("gpu.example".to_owned()) };
        let driver = json!({"enable": true, "tolerations": [{"key": "repair-reboot", "operator": "Exists"}]});
        let missing = RESOURCES[0].unloads_at(&json!({"spec": {"driver": driver}}), &names);
        assert_eq!(missing.len(), 4);
        assert_eq!(missing[0], "gpu.example/repair-reboot");
    }
}
