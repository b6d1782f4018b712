//! `ossci-remediator crd`: prints the CustomResourceDefinition of NodeRepair, generated from its
//! type.

use kube::CustomResourceExt;

use crate::wire::bounds;
use crate::wire::node_repair::NodeRepair;

/// Returns the definition as YAML.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    let mut crd = NodeRepair::crd();
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()).for_each(bounds::limit);
    // The records outlive the release.
    crd.metadata.annotations = Some([("helm.sh/resource-policy".to_owned(), "keep".to_owned())].into());
    serde_saphyr::to_string(&crd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crd_is_the_one_that_the_type_makes() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart/files/crd.yaml");
        ossci_base::golden::check(&path, &yaml().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
}
