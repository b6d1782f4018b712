//! Prometheus: reads the real rule files of `alerts/` where they lie; targets come from one file for each node.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use super::{START, Site, flag, http, page};
use crate::ports;
use crate::process::{Process, Program};

/// A running Prometheus.
pub struct Prometheus {
    pub process: Process,
    pub url: String,
    targets: PathBuf,
}

impl Prometheus {
    /// Scrapes `address` from now on. `node` becomes the target label that the rules read.
    pub fn scrape(&self, job: &str, name: &str, address: &str, node: Option<&str>) -> Result<()> {
        let labels = match node {
            Some(node) => json!({ "node": node }),
            None => json!({}),
        };
        let text = json!([{"targets": [address], "labels": labels}]).to_string();
        let file = self.targets.join(job).join(format!("{name}.json"));
        let new = file.with_extension("new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &file))
            .with_context(|| format!("writing {}", file.display()))
    }

    /// Scrapes this target no more.
    pub fn forget(&self, job: &str, name: &str) {
        let _ = fs::remove_file(self.targets.join(job).join(format!("{name}.json")));
    }
}

/// The jobs of a site that runs OSSCI Ops.
pub const JOBS: [&str; 2] = ["ossci-exporter", "ossci-remediator"];

/// The rule files of a folder: every YAML file but the tests, the thresholds and Alertmanager's own.
pub fn rule_files(alerts: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(alerts).with_context(|| format!("reading {}", alerts.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let other = ["alertmanager.yml", "thresholds.yml"].contains(&name.as_str()) || name.ends_with(".test.yml");
            name.ends_with(".yml") && !other
        })
        .collect();
    files.sort();
    Ok(files)
}

pub async fn start(site: &Site, alerts: &Path, alertmanager: &str) -> Result<Prometheus> {
    let folder = site.folder("prometheus")?;
    let targets = folder.join("targets");
    for job in JOBS {
        let folder = targets.join(job);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let jobs: Vec<_> = JOBS
        .iter()
        .map(|job| {
            json!({
                "job_name": job,
                "file_sd_configs": [{"files": [targets.join(job).join("*.json")], "refresh_interval": "1s"}],
            })
        })
        .collect();
    let config = json!({
        "global": {
            "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s",
            "external_labels": {"cluster": "lab"},
        },
        "rule_files": rule_files(alerts)?,
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": jobs,
    });
    let file = folder.join("prometheus.yml");
    fs::write(&file, serde_json::to_string_pretty(&config)?).with_context(|| format!("writing {}", file.display()))?;

    let address = format!("127.0.0.1:{}", ports::free()?);
    let mut process = Program::new("prometheus", site.tools.get("prometheus")?)
        .args([flag("config.file", &file), flag("storage.tsdb.path", &folder.join("data"))])
        .arg(format!("--web.listen-address={address}"))
        .start(&site.log("prometheus"))?;
    let url = format!("http://{address}");
    let client = http()?;
    process.ready(START, || async { page(&client, &format!("{url}/-/ready")).await.map(drop) }).await?;
    Ok(Prometheus { process, url, targets })
}
