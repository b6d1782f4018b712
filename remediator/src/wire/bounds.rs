//! The limits of every text and list in a NodeRepair. The CRD demands them, so nothing that may
//! write a record can fill the cluster's store; and each write of ours is fitted to them first, so
//! that no record of ours is ever refused for its length.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// Limit of a text in characters: twice the longest that is written, the end of a kernel log.
const TEXT: usize = 16_384;
/// Limit of a list and of a map, in items. A repair has fewer steps than that, unless it goes to
/// and fro for days.
const LIST: usize = 512;

/// Adds the limits to a schema, wherever it has none of its own.
pub fn limit(schema: &mut JSONSchemaProps) {
    match schema.type_.as_deref() {
        // Values of an enumeration and times have a form of their own.
        Some("string") if schema.enum_.is_none() && schema.format.is_none() => {
            schema.max_length.get_or_insert(TEXT as i64);
        }
        Some("array") => {
            schema.max_items.get_or_insert(LIST as i64);
        }
        Some("object") if schema.additional_properties.is_some() => {
            schema.max_properties.get_or_insert(LIST as i64);
        }
        _ => {}
    }
    schema.properties.iter_mut().flatten().for_each(|(_, field)| limit(field));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(item)) => limit(item),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(limit),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
        limit(value);
    }
}

/// Cuts what is longer than its limit: the end of a text, and the oldest items of a list, which are
/// its first.
pub fn fit(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some((at, _)) = text.char_indices().nth(TEXT) {
                text.truncate(at);
            }
        }
        Value::Array(items) => {
            items.drain(..items.len().saturating_sub(LIST));
            items.iter_mut().for_each(fit);
        }
        Value::Object(fields) => fields.values_mut().for_each(fit),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;
    use serde_json::json;

    use super::*;
    use crate::wire::node_repair::NodeRepair;

    #[test]
    fn every_text_and_list_of_the_record_is_limited() {
        let mut crd = NodeRepair::crd();
        let schema = crd.spec.versions[0].schema.as_mut().unwrap().open_api_v3_schema.as_mut().unwrap();
        limit(schema);
        let mut open = Vec::new();
        unlimited("", &json!(schema), &mut open);
        assert!(open.is_empty(), "{open:?}");
    }

    /// Collects the places without a limit, in the schema as JSON: independent of [`limit`]'s own
    /// way through it.
    fn unlimited(at: &str, schema: &Value, open: &mut Vec<String>) {
        let has = |key: &str| schema.get(key).is_some();
        let is_open = match schema.get("type").and_then(Value::as_str) {
            Some("string") => !has("maxLength") && !has("enum") && !has("format"),
            Some("array") => !has("maxItems"),
            Some("object") => has("additionalProperties") && !has("maxProperties"),
            _ => false,
        };
        if is_open {
            open.push(at.to_owned());
        }
        for (key, inner) in schema.as_object().into_iter().flatten().filter(|(_, inner)| inner.is_object()) {
            unlimited(&format!("{at}.{key}"), inner, open);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_the_newest_stays() {
        let steps: Vec<usize> = (0..LIST + 3).collect();
        let mut value = json!({"status": {"message": "é".repeat(TEXT + 1), "short": "as it is", "steps": steps}});
        fit(&mut value);
        let message = value["status"]["message"].as_str().unwrap();
        assert_eq!(message.chars().count(), TEXT);
        assert_eq!(value["status"]["short"], "as it is");
        let kept = value["status"]["steps"].as_array().unwrap();
        assert_eq!((kept.len(), &kept[0], &kept[LIST - 1]), (LIST, &json!(3), &json!(LIST + 2)));
    }
}
