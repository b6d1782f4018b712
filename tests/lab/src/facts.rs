//! `lab.json`: the addresses and paths of a running lab, for people and for commands in another
//! terminal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::environment;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub dir: PathBuf,
    pub api: String,
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pub audit_log: PathBuf,
    /// The first replica of each.
    pub prometheus: String,
    pub alertmanager: String,
    /// host:port
    pub smtp: String,
    pub inbox: String,
    pub mail_dir: PathBuf,
    /// host:port of the remediator's webhook (TLS), the file with its token, and the addresses of
    /// each replica.
    pub webhook: String,
    pub webhook_token: PathBuf,
    pub remediator_webhooks: Vec<String>,
    pub remediator_metrics: Vec<String>,
    /// Node name to host:port
    pub exporters: BTreeMap<String, String>,
}

impl Facts {
    pub fn write(&self) -> Result<()> {
        let path = self.dir.join("lab.json");
        let new = self.dir.join("lab.json.new");
        fs::write(&new, serde_json::to_string_pretty(self)?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("lab.json");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("understanding {}", path.display()))
    }

    /// The lab of a command: the named one, or the only one that runs.
    pub fn find(named: Option<&Path>) -> Result<Self> {
        if let Some(dir) = named {
            return Self::read(dir);
        }
        let temp = environment::temp_dir();
        let entries = fs::read_dir(&temp).with_context(|| format!("reading {}", temp.display()))?;
        let labs: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.join("lab.json").is_file()).collect();
        match labs.as_slice() {
            [one] => Self::read(one),
            [] => bail!("no lab is running: start one with `make demo KEEP=1`, or name it with --lab DIR"),
            many => {
                let list: Vec<String> = many.iter().map(|dir| dir.display().to_string()).collect();
                bail!("several labs are running, choose one with --lab DIR: {}", list.join(" "))
            }
        }
    }
}
