//! The chart, with the pinned helm: installed as an administrator does, and rendered into the plain
//! manifests of `deploy/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::environment;
use crate::process::Program;
use crate::setup::Tools;

/// The release, and its namespace.
pub const RELEASE: &str = "ossci";

/// helm, with the administrator's identity where it needs one.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    home: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// The folder of the chart.
pub fn folder() -> PathBuf {
    environment::repository().join("deploy/chart")
}

impl Helm {
    /// `home`: a folder for its caches.
    pub fn new(tools: &Tools, home: &Path, kubeconfig: Option<&Path>) -> Result<Self> {
        Ok(Self { program: tools.get("helm")?, home: home.to_owned(), kubeconfig: kubeconfig.map(Path::to_owned) })
    }

    pub async fn run(&self, args: &[&str]) -> Result<String> {
        let kubeconfig = self.kubeconfig.iter().map(|path| format!("--kubeconfig={}", path.display()));
        Program::new("helm", &self.program)
            .args(args)
            .args(kubeconfig)
            .env("HOME", &self.home)
            .output(Duration::from_secs(180))
            .await
    }

    /// Installs the chart with these values (YAML).
    pub async fn install(&self, values: &str) -> Result<String> {
        let (chart, file) = (folder().display().to_string(), self.home.join("values.yaml"));
        fs::create_dir_all(&self.home).with_context(|| format!("creating {}", self.home.display()))?;
        fs::write(&file, values).with_context(|| format!("writing {}", file.display()))?;
        let file = file.display().to_string();
        self.run(&["install", RELEASE, &chart, "--namespace", RELEASE, "--values", &file]).await
    }

    /// Changes the installed release to these settings; values that were set before stay.
    pub async fn upgrade(&self, settings: &[&str]) -> Result<String> {
        let chart = folder().display().to_string();
        let mut args = vec!["upgrade", RELEASE, &chart, "--namespace", RELEASE, "--reuse-values", "--force-conflicts"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        self.run(&args).await
    }

    /// Returns what `helm template` renders with these settings.
    pub async fn template(&self, settings: &[&str]) -> Result<String> {
        let chart = folder().display().to_string();
        let mut args = vec!["template", RELEASE, &chart, "--namespace", RELEASE];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        self.run(&args).await
    }
}

/// The templates whose objects stand in a folder of their own below `deploy/`.
const FOLDERS: [(&str, &str); 2] = [("monitoring", "monitoring"), ("dashboards", "monitoring")];

/// Returns the plain manifests by their path below `deploy/`: what the chart renders by default.
/// Hooks are helm's own.
pub async fn plain(helm: &Helm) -> Result<BTreeMap<String, String>> {
    let rendered = helm.template(&[]).await?;
    let mut files = BTreeMap::new();
    for document in rendered.split("\n---\n").map(|document| document.strip_prefix("---\n").unwrap_or(document)) {
        let (source, object) = document.split_once('\n').unwrap_or((document, ""));
        let Some(template) = source.strip_prefix("# Source: ossci-ops/templates/") else { continue };
        if object.contains("helm.sh/hook") || object.trim().is_empty() {
            continue;
        }
        let name = template.trim_end_matches(".yaml");
        let folder = FOLDERS.iter().find(|(known, _)| *known == name).map(|(_, folder)| format!("{folder}/"));
        let file = format!("{}{template}", folder.unwrap_or_default());
        let text = files
            .entry(file)
            .or_insert_with(|| "# Rendered from deploy/chart; `make manifests` renders it again.\n".to_owned());
        text.push_str(&format!("---\n{}\n", object.trim()));
    }
    Ok(files)
}

/// Writes the plain manifests.
pub async fn write_plain(helm: &Helm) -> Result<usize> {
    let files = plain(helm).await?;
    for (file, text) in &files {
        let path = environment::repository().join("deploy").join(file);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(files.len())
}
