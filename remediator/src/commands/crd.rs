//! `ossci-remediator crd`: the CustomResourceDefinition of NodeRepair, out of its type.

use kube::CustomResourceExt;

use crate::wire::node_repair::NodeRepair;

/// The definition as YAML.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&NodeRepair::crd())
}
