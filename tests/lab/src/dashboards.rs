//! The panels of Grafana's dashboards as a test or a benchmark reads them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// A panel that asks.
#[derive(Debug, Clone)]
pub struct Panel {
    /// The file's name without `.json`.
    pub file: String,
    pub json: Value,
}

impl Panel {
    /// `fleet: Waiting`.
    pub fn title(&self) -> String {
        format!("{}: {}", self.file, self.json["title"].as_str().unwrap_or_default())
    }

    pub fn targets(&self) -> &[Value] {
        self.json["targets"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Returns the panels of all dashboards of a folder.
pub fn panels(folder: &Path) -> Result<Vec<Panel>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let dashboard: Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let file = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let panels = dashboard["panels"].as_array().into_iter().flatten().filter(|panel| panel["type"] != "row");
        all.extend(panels.map(|json| Panel { file: file.clone(), json: json.clone() }));
    }
    all.sort_by_key(Panel::title);
    Ok(all)
}

/// Replaces Grafana's variables, which have values only in Grafana. `range`, `rate` and `step` are
/// written like `1h`.
pub fn filled_in(query: &str, range: &str, rate: &str, step: &str) -> String {
    let values = [
        ("$__rate_interval", rate),
        ("$__interval", step),
        ("$__range", range),
        ("$cluster", ".*"),
        ("$node", "gpu-00000"),
    ];
    values.iter().fold(query.to_owned(), |query, (variable, value)| query.replace(variable, value))
}
