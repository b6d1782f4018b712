//! Keys of one `amd-smi` device, which both output formats share. Decides nothing.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::leaf::{number, within};

/// Keys of one device, in either format.
pub enum Fields<'a> {
    Json(&'a Value),
    /// `section.key` in lower case.
    Text(&'a BTreeMap<String, Value>),
}

impl Fields<'_> {
    /// Returns the value at a path such as `power.socket_power`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        match self {
            Fields::Json(value) => path.split('.').try_fold(*value, |value, key| value.get(key)),
            Fields::Text(fields) => fields.get(path),
        }
    }

    /// Returns the value of the first of these paths that exists, if it is within its range; others
    /// are reported in `odd`, with the number of the GPU.
    pub fn measure(
        &self,
        index: u32,
        paths: &[&str],
        range: &RangeInclusive<f64>,
        odd: &mut Vec<String>,
    ) -> Option<f64> {
        let value = paths.iter().find_map(|path| self.get(path))?;
        let mut said = Vec::new();
        let measured = within(paths[0], number(value), range, &mut said);
        odd.extend(said.into_iter().map(|said| format!("gpu {index}: {said}")));
        measured
    }

    /// Returns whether a section exists, even as "N/A".
    pub fn has(&self, section: &str) -> bool {
        match self {
            Fields::Json(value) => value.get(section).is_some(),
            Fields::Text(fields) => {
                fields.contains_key(section) || fields.keys().any(|key| key.split('.').next() == Some(section))
            }
        }
    }
}
