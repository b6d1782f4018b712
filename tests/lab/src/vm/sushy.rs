//! sushy-emulator, a third-party Redfish service: from PyPI into a folder of the cache, never
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sha2::{Digest as _, Sha256};

use super::image::run;
use crate::clock::Stopwatch;
use crate::environment;
use crate::process::Program;

const REQUIREMENTS: &str = include_str!("../../vm/redfish-emulator.txt");
const ASKS: Duration = Duration::from_secs(30);
const MISSING: &str = "is missing: the VM nodes' BMCs need it, install it with `apt-get install python3 python3-pip`";

/// The folder with the emulator and its dependencies.
#[derive(Debug, Clone)]
pub struct Sushy {
    python: PathBuf,
    home: PathBuf,
}

impl Sushy {
    /// The folder in the cache, downloaded on first use.
    ///
    /// # Errors
    /// Python or pip is missing, or a package cannot be downloaded.
    pub async fn get() -> Result<Self> {
        let python = environment::on_path("python3").with_context(|| format!("`python3` {MISSING}"))?;
        // Some packages are compiled for one version of Python.
        let version = Program::new("python3", &python).arg("--version").output(ASKS).await?;
        let key = format!("{:.12x}", Sha256::digest(format!("{REQUIREMENTS} {version}")));
        let home = environment::cache_dir()?.join("vm").join(format!("sushy-{key}"));
        let sushy = Self { python, home };
        if !sushy.home.is_dir() {
            sushy.fetch().await?;
        }
        Ok(sushy)
    }

    async fn fetch(&self) -> Result<()> {
        let watch = Stopwatch::start();
        let pip = Program::new("pip", &self.python).args(["-m", "pip"]);
        let asked = pip.clone().arg("--version").finish(ASKS).await?;
        ensure!(asked.is_some_and(|asked| asked.status.success()), "`python3 -m pip` {MISSING}");
        let unfinished = self.home.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("removing {}", unfinished.display()))?;
        }
        fs::create_dir_all(&unfinished).with_context(|| format!("creating {}", unfinished.display()))?;
        let wanted = unfinished.join("requirements.txt");
        fs::write(&wanted, REQUIREMENTS).context("writing the requirements for PyPI")?;
        let pip = pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target"]);
        run(pip.arg(&unfinished).arg("--requirement").arg(&wanted)).await.context("sushy-tools of PyPI")?;
        fs::rename(&unfinished, &self.home).with_context(|| format!("moving it to {}", self.home.display()))?;
        println!("vm: sushy-emulator of PyPI ({})", watch.read());
        Ok(())
    }

    /// The service, ready to run with this configuration.
    pub fn emulator(&self, config: &Path) -> Program {
        self.python("sushy-emulator").args(["-m", "sushy_tools.emulator.main", "--config"]).arg(config)
    }

    /// A password, hashed in the service's format.
    pub async fn hashed(&self, password_file: &Path) -> Result<String> {
        let hashes = "import bcrypt, sys; print(bcrypt.hashpw(open(sys.argv[1], 'rb').read().strip(), \
                      bcrypt.gensalt(4)).decode())";
        let hashed = self.python("python3").args(["-c", hashes]).arg(password_file).output(ASKS).await?;
        Ok(hashed.trim().to_owned())
    }

    fn python(&self, name: &str) -> Program {
        Program::new(name, &self.python).env("PYTHONPATH", &self.home)
    }
}
