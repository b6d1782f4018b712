//! `ossci-remediator dashboards`: renders Grafana's dashboards from their sources and the site's
//! thresholds.

mod model;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::source::Dashboard;
use super::rules::Thresholds;

/// The sources of the dashboards: `@exporter@` and `@cluster@` become matchers, `@key@` the
/// threshold of that name.
const SOURCES: [(&str, &str); 3] = [
    ("fleet", include_str!("../../../../grafana/source/fleet.yml")),
    ("node", include_str!("../../../../grafana/source/node.yml")),
    ("itself", include_str!("../../../../grafana/source/itself.yml")),
];

/// Returns the files: name to text. Pure.
pub fn render(thresholds: &Thresholds) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let mut values = thresholds.values()?;
    values.insert("cluster".to_owned(), "cluster=~\"$cluster\"".to_owned());
    values.insert("exporter".to_owned(), format!("{},cluster=~\"$cluster\"", thresholds.selector));
    let mut files = BTreeMap::new();
    for (name, source) in SOURCES {
        let text = super::fill_in(source, &values).with_context(|| format!("grafana/source/{name}.yml"))?;
        let dashboard: Dashboard =
            serde_saphyr::from_str(&text).with_context(|| format!("grafana/source/{name}.yml"))?;
        let model = model::render(&dashboard, thresholds.site_runbooks(), &thresholds.selector);
        files.insert(Path::new(name).with_extension("json"), serde_json::to_string_pretty(&model)? + "\n");
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_dashboards_are_the_rendered_ones() {
        let grafana = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
        for (name, text) in render(&Thresholds::default()).unwrap() {
            let committed = std::fs::read_to_string(grafana.join(&name)).unwrap_or_default();
            assert!(committed == text, "grafana/{} is out of date; run `make alerts`", name.display());
        }
    }

    #[test]
    fn a_site_has_its_own_thresholds_selector_and_runbooks() {
        let plain = render(&Thresholds::default()).unwrap();
        assert!(!plain[Path::new("fleet.json")].contains("Runbook of"), "the default address leads nowhere");
        let yaml = "strikes: 7\nselector: job=\"gpu\"\nrunbooks: https://wiki/run\n";
        let own = render(&Thresholds::parse(yaml).unwrap()).unwrap();
        let fleet = &own[Path::new("fleet.json")];
        for part in ["At 7 an alert", "job=\\\"gpu\\\",cluster", "https://wiki/run/nodeneedsperson"] {
            assert!(fleet.contains(part), "{part}");
        }
        assert!(!fleet.contains("ossci-exporter\\\""), "the default selector is still there");
    }
}
