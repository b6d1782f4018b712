//! JSON merge patches (RFC 7386) of only the changed fields, so that a writer touches nothing else.

use serde_json::{Map, Value};

/// Returns the merge patch from `old` to `new`; `None` when they are equal. A removed field becomes
/// an explicit null.
pub fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| {
        let patch = match old.get(key) {
            Some(before) => difference(before, value)?,
            None => value.clone(),
        };
        Some((key.clone(), patch))
    });
    Some(Value::Object(gone.chain(changed).collect::<Map<_, _>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_need_no_patch() {
        assert_eq!(difference(&json!({"a": 1}), &json!({"a": 1})), None);
    }

    #[test]
    fn removed_fields_become_null_and_equal_ones_are_omitted() {
        let patch = difference(&json!({"a": 1, "b": {"c": 1, "d": 2}}), &json!({"b": {"c": 1, "e": 3}}));
        assert_eq!(patch, Some(json!({"a": null, "b": {"d": null, "e": 3}})));
    }

    #[test]
    fn lists_are_replaced_whole() {
        assert_eq!(difference(&json!({"a": [1]}), &json!({"a": [1, 2]})), Some(json!({"a": [1, 2]})));
    }
}
