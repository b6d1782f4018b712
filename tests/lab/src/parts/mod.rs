//! The real parts of a lab, one file each: how to start it, and how to know that it is ready.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::setup::Tools;

pub mod alertmanager;
pub mod apiserver;
pub mod controller_manager;
pub mod etcd;
pub mod mailpit;
pub mod prometheus;
pub mod replica;
pub mod scheduler;

/// Timeout for a part's first answer; the API server needs 4 s on an idle machine.
const START: Duration = Duration::from_secs(90);

/// The properties of a lab that every part needs.
#[derive(Debug, Clone)]
pub struct Site {
    pub dir: PathBuf,
    pub tools: Tools,
}

impl Site {
    fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    /// A folder for one part.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }
}

/// `--name=path`.
pub fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// An HTTP client that uses no proxy.
pub fn http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?)
}

/// The body of a page that answers 200.
pub async fn page(client: &reqwest::Client, url: &str) -> Result<String> {
    let response = client.get(url).send().await.with_context(|| format!("asking {url}"))?;
    let status = response.status();
    let text = response.text().await.with_context(|| format!("reading {url}"))?;
    if !status.is_success() {
        bail!("{url} answered {status}: {}", text.chars().take(300).collect::<String>());
    }
    Ok(text)
}
