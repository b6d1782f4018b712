//! Two Prometheis. Both read the rule files in `alerts/`, and send every alert to every
//! Alertmanager. Each node's targets are in one file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::replica::Replica;
use super::{Site, flag};
use crate::ports;
use crate::process::Program;

/// The replicas, and the folder of their target files.
#[derive(Debug)]
pub struct Prometheus {
    pub replicas: [Replica; 2],
    targets: PathBuf,
}

impl Prometheus {
    /// Starts to scrape `address`. `node` becomes the target label that the rules read.
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

    /// Stops scraping this target.
    pub fn forget(&self, job: &str, name: &str) {
        let _ = fs::remove_file(self.targets.join(job).join(format!("{name}.json")));
    }
}

/// The jobs of a site that runs OSSCI Ops.
pub const JOBS: [&str; 2] = ["ossci-exporter", "ossci-remediator"];
/// The external label that distinguishes the replicas. It is dropped from alerts, so that both
/// replicas send the same alert.
const REPLICA: &str = "replica";

/// The rule files of a folder: every YAML file except the tests, the thresholds and Alertmanager's
/// configuration.
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

/// Starts both. `alertmanagers` are addresses (host:port).
pub async fn start(site: &Site, alerts: &Path, alertmanagers: &[String]) -> Result<Prometheus> {
    let folder = site.folder("prometheus")?;
    let targets = folder.join("targets");
    for job in JOBS {
        let folder = targets.join(job);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let rules = rule_files(alerts)?;
    let replica = |name: &str| -> Result<Replica> {
        let file = folder.join(format!("{name}.yml"));
        let config = config(name, &rules, alertmanagers, &targets);
        fs::write(&file, serde_json::to_string_pretty(&config)?)
            .with_context(|| format!("writing {}", file.display()))?;
        let address = format!("127.0.0.1:{}", ports::free()?);
        let program = Program::new(name, site.tools.get("prometheus")?)
            .args([flag("config.file", &file), flag("storage.tsdb.path", &folder.join(format!("data-{name}")))])
            // Shortened like the other times: an Alertmanager that lost an alert soon receives it
            // again.
            .args([format!("--web.listen-address={address}"), "--rules.alert.resend-delay=5s".into()]);
        Ok(Replica::new(name.to_owned(), &address, program, site.log(name)))
    };
    let (mut one, mut two) = (replica("prometheus-1")?, replica("prometheus-2")?);
    tokio::try_join!(one.start(), two.start())?;
    Ok(Prometheus { replicas: [one, two], targets })
}

fn config(name: &str, rules: &[PathBuf], alertmanagers: &[String], targets: &Path) -> Value {
    let job = |job: &&str| {
        json!({
            "job_name": job,
            "file_sd_configs": [{"files": [targets.join(job).join("*.json")], "refresh_interval": "1s"}],
        })
    };
    json!({
        "global": {
            "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s",
            "external_labels": {"cluster": "lab", REPLICA: name},
        },
        "rule_files": rules,
        "alerting": {
            "alert_relabel_configs": [{"action": "labeldrop", "regex": REPLICA}],
            "alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}],
        },
        "scrape_configs": JOBS.iter().map(job).collect::<Vec<_>>(),
    })
}
