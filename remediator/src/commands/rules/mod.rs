//! `ossci-remediator rules`: renders a site's alert rules from their sources and the site's
//! thresholds, as plain Prometheus files and as objects of the Prometheus operator. The routing is
//! rendered as objects, too.

mod routing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The sources of the rules, with `@key@` for each threshold.
const SOURCES: [(&str, &str); 4] = [
    ("strikes", include_str!("../../../../alerts/source/strikes.yml")),
    ("people", include_str!("../../../../alerts/source/people.yml")),
    ("remediator", include_str!("../../../../alerts/source/remediator.yml")),
    ("recording", include_str!("../../../../alerts/source/recording.yml")),
];

/// The routing in Alertmanager's format.
const ROUTING: &str = include_str!("../../../../alerts/alertmanager.yml");

/// The thresholds of a site; `alerts/thresholds.yml` shows the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Thresholds {
    /// Matchers of the exporter's series, with commas between them.
    pub selector: String,
    pub strikes: u32,
    pub fresh_intervals: u32,
    /// Reasons of the exporter, with `|` between them.
    pub manual_reasons: String,
    pub silent_minutes: u32,
    pub paused_minutes: u32,
    pub hot_minutes: u32,
    pub unknown_minutes: u32,
    pub target_down_minutes: u32,
    pub clock_seconds: u32,
    pub fabric_gbit_per_second: u32,
    pub hot_celsius: u32,
    pub throttled_minutes: u32,
    pub correctable_errors_per_hour: u32,
    pub many_nodes: u32,
    pub many_percent: u32,
    pub heartbeat_minutes: u32,
    /// Empty: alerts have no `runbook_url`.
    pub runbooks: String,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            selector: "job=\"ossci-exporter\"".to_owned(),
            strikes: 3,
            fresh_intervals: 10,
            manual_reasons: "bad-pages|over-temperature".to_owned(),
            silent_minutes: 5,
            paused_minutes: 240,
            hot_minutes: 5,
            unknown_minutes: 30,
            target_down_minutes: 10,
            clock_seconds: 60,
            fabric_gbit_per_second: 25,
            hot_celsius: 95,
            throttled_minutes: 10,
            correctable_errors_per_hour: 100,
            many_nodes: 3,
            many_percent: 20,
            heartbeat_minutes: 25,
            runbooks: String::new(),
        }
    }
}

impl Thresholds {
    /// Parses a thresholds file; an error names the line.
    pub fn parse(yaml: &str) -> anyhow::Result<Self> {
        let thresholds: Self = serde_saphyr::from_str(yaml)?;
        let line = |key: &str| {
            let at = yaml.lines().position(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
            format!("line {}", at.unwrap_or_default() + 1)
        };
        anyhow::ensure!(
            thresholds.strikes > 0,
            "{}: strikes is 0; a node without a failure would be repaired",
            line("strikes")
        );
        anyhow::ensure!(
            thresholds.fresh_intervals > 1,
            "{}: freshIntervals has to be at least 2; a check runs once in each",
            line("freshIntervals")
        );
        let reason = |reason: &str| !reason.is_empty() && reason.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        anyhow::ensure!(
            thresholds.manual_reasons.split('|').all(reason),
            "{}: manualReasons {:?} is no list of reasons; write it like bad-pages|over-temperature",
            line("manualReasons"),
            thresholds.manual_reasons
        );
        let matcher = regex::Regex::new(r#"^[a-z_]+(=|!=|=~|!~)"[^"\\\\{}@]*"$"#)?;
        anyhow::ensure!(
            thresholds.selector.split(',').all(|one| matcher.is_match(one)),
            "{}: selector {:?} is no list of matchers; write it like job=\"ossci-exporter\"",
            line("selector"),
            thresholds.selector
        );
        // It is not quoted in the rules.
        let plain = |c: char| c.is_ascii_graphic() && !"\"'#@\\{}".contains(c);
        anyhow::ensure!(
            thresholds.runbooks.is_empty()
                || thresholds.runbooks.starts_with("http") && thresholds.runbooks.chars().all(plain),
            "{}: runbooks {:?} is not a URL; write one like https://host/path, or leave it out",
            line("runbooks"),
            thresholds.runbooks
        );
        Ok(thresholds)
    }

    /// Reads a thresholds file; `None`: the defaults.
    pub fn read(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self::default()) };
        let yaml = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        Self::parse(&yaml).with_context(|| file.display().to_string())
    }

    /// Returns the address of the site's runbooks, if it has one.
    pub fn site_runbooks(&self) -> Option<&str> {
        Some(self.runbooks.as_str()).filter(|runbooks| !runbooks.is_empty())
    }

    /// Returns the values by `key`, as the sources name them.
    pub fn values(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let serde_json::Value::Object(fields) = serde_json::to_value(self)? else { return Ok(BTreeMap::new()) };
        let text = |value: serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
        Ok(fields.into_iter().map(|(key, value)| (key, text(value))).collect())
    }
}

/// What a site renders from its thresholds: the rules, and the dashboards.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// The site's thresholds file. Absent: the defaults.
    #[arg(long)]
    thresholds: Option<PathBuf>,
    /// The output folder; existing files are replaced.
    #[arg(long)]
    out: PathBuf,
}

/// The files that a command writes: name to text.
type Files = BTreeMap<PathBuf, String>;

impl Arguments {
    /// Writes the files that `render` makes of the thresholds.
    pub fn write(&self, render: impl FnOnce(&Thresholds) -> anyhow::Result<Files>) -> anyhow::Result<()> {
        for (name, text) in render(&Thresholds::read(self.thresholds.as_deref())?)? {
            let file = self.out.join(name);
            let folder = file.parent().unwrap_or(&self.out);
            std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
            std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        }
        Ok(())
    }
}

/// Returns plain rule files, and below `operator/` rules and routing as objects of the Prometheus
/// operator. Pure.
pub fn render(thresholds: &Thresholds) -> anyhow::Result<Files> {
    let (values, linked) = (thresholds.values()?, thresholds.site_runbooks().is_some());
    let mut files = BTreeMap::new();
    for (name, source) in SOURCES {
        let lines = source.split_inclusive('\n').filter(|line| linked || !line.contains("@runbooks@"));
        let text =
            super::fill_in(&lines.collect::<String>(), &values).with_context(|| format!("alerts/source/{name}.yml"))?;
        let text = format!(
            "# Rendered from alerts/source/{name}.yml and the thresholds; `make alerts` renders it again.\n{text}"
        );
        files.insert(format!("operator/{name}.yaml").into(), prometheus_rule(name, &text));
        files.insert(format!("{name}.yml").into(), text);
    }
    let objects = routing::render(ROUTING).context("alerts/alertmanager.yml")?;
    files.insert("operator/alertmanagerconfig.yaml".into(), objects);
    Ok(files)
}

/// Returns the same groups as an object of the Prometheus operator (monitoring.coreos.com/v1).
fn prometheus_rule(name: &str, text: &str) -> String {
    let mut object = format!(
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: ossci-{name}\n  namespace: ossci\n  \
         labels: {{app.kubernetes.io/part-of: ossci-ops}}\nspec:\n"
    );
    for line in text.lines() {
        let indent = if line.is_empty() { "" } else { "  " };
        object.push_str(&format!("{indent}{line}\n"));
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(yaml: &str) -> String {
        format!("{:#}", Thresholds::parse(yaml).unwrap_err())
    }

    #[test]
    fn a_wrong_threshold_is_refused_with_its_line() {
        let number = refused("strikes: 3\nhotCelsius: warm\n");
        assert!(number.contains("line 2"), "{number}");
        let unknown = refused("strikes: 3\n\nstrike: 4\n");
        assert!(unknown.contains("strike") && unknown.contains("line 3"), "{unknown}");
        let none = refused("# of ours\nstrikes: 0");
        assert!(none.contains("would be repaired") && none.contains("line 2"), "{none}");
        let reasons = refused("strikes: 3\nmanualReasons: \"bad-pages|.*\"\n");
        assert!(reasons.contains("line 2") && reasons.contains("no list of reasons"), "{reasons}");
        for selector in
            ["", "ossci-exporter", "job=exporter", "job=\"a\"} or vector(1", "job=\"a\",", "job=\"@strikes@\""]
        {
            let error = refused(&format!("strikes: 3\nselector: '{selector}'\n"));
            assert!(error.contains("line 2") && error.contains("no list of matchers"), "{error}");
        }
        for runbooks in ["somewhere", "https://a b", r"https://a\n    evil: x", "https://a#b"] {
            let error = refused(&format!("strikes: 3\nrunbooks: \"{runbooks}\"\n"));
            assert!(error.contains("line 2") && error.contains("is not a URL"), "{error}");
        }
    }

    #[test]
    fn a_site_may_select_other_jobs() {
        let of = |selector: &str| Thresholds::parse(&format!("selector: '{selector}'\n")).unwrap();
        let strikes = |selector: &str| render(&of(selector)).unwrap().remove(Path::new("strikes.yml")).unwrap();
        assert!(
            strikes("job=~\"gpu|x\",env=\"a\"").contains("ossci_check_result_info{job=~\"gpu|x\",env=\"a\",reason=~")
        );
    }

    #[test]
    fn a_threshold_reaches_the_rule_in_both_forms() {
        let files = render(&Thresholds { strikes: 5, ..Thresholds::default() }).unwrap();
        for file in ["strikes.yml", "operator/strikes.yaml"] {
            assert!(files[Path::new(file)].contains(">= 5"), "{file}");
        }
    }

    #[test]
    fn an_alert_links_to_a_runbook_only_where_a_site_has_them() {
        let rules =
            |yaml: &str| render(&Thresholds::parse(yaml).unwrap()).unwrap().remove(Path::new("strikes.yml")).unwrap();
        assert!(!rules("strikes: 3\n").contains("runbook_url"));
        assert!(rules("runbooks: https://wiki/run\n").contains("runbook_url: https://wiki/run/gpucheckfailing\n"));
    }

    #[test]
    fn the_documented_thresholds_are_the_defaults() {
        let documented = Thresholds::parse(include_str!("../../../../alerts/thresholds.yml")).unwrap();
        assert_eq!(documented, Thresholds::default());
    }

    #[test]
    fn the_committed_rules_are_the_rendered_ones() {
        let alerts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../alerts");
        for (name, text) in render(&Thresholds::default()).unwrap() {
            let committed = std::fs::read_to_string(alerts.join(&name)).unwrap_or_default();
            assert!(committed == text, "alerts/{} is out of date; run `make alerts`", name.display());
        }
    }
}
