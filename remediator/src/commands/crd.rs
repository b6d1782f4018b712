//! `ossci-remediator crd`: prints the CustomResourceDefinition of NodeRepair, generated from its
//! type.

use kube::CustomResourceExt;

use crate::wire::node_repair::NodeRepair;

/// Returns the definition as YAML.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(&NodeRepair::crd())
}
