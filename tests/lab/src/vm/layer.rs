//! A file system in which a test may change everything: an overlay over others, entered by chroot.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::image::{run, tool};
use crate::process::Program;
use crate::wait;

/// Timeout of one command.
const TAKES: Duration = Duration::from_secs(120);
/// Timeout for its last process to end.
const ENDS: Duration = Duration::from_secs(20);
/// The environment variable of every process of a layer, with the layer's path.
pub const MARK: &str = "OSSCI_LAYER";

/// An overlay over other layers, which do not change.
pub struct Layer {
    pub folder: PathBuf,
    pub root: PathBuf,
}

impl Layer {
    pub async fn over(lowers: &[&Path], folder: &Path) -> Result<Self> {
        let [upper, work, root] = ["upper", "work", "root"].map(|name| folder.join(name));
        for folder in [&upper, &work, &root] {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let lowers: Vec<String> = lowers.iter().map(|lower| lower.display().to_string()).collect();
        let options = format!("lowerdir={},upperdir={},workdir={}", lowers.join(":"), upper.display(), work.display());
        run(tool("mount")?.args(["-t", "overlay", "overlay", "-o", &options]).arg(&root)).await?;
        run(tool("mount")?.args(["-t", "proc", "proc"]).arg(root.join("proc"))).await?;
        run(tool("mount")?.args(["--bind", "/dev"]).arg(root.join("dev"))).await?;
        Ok(Self { folder: folder.to_owned(), root })
    }

    /// Returns the folder with its changes, which can be a lower layer of others.
    pub async fn close(self) -> Result<PathBuf> {
        // The last process of a command may be ending.
        wait::until("nothing runs in the layer", ENDS, || async {
            run(tool("umount")?.arg("--recursive").arg(&self.root)).await
        })
        .await?;
        Ok(self.folder.join("upper"))
    }

    pub async fn remove(self) -> Result<()> {
        let folder = self.folder.clone();
        self.close().await?;
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
    }

    pub fn program(&self, command: &[&str]) -> Result<Program> {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Ok(tool("chroot")?.arg(&self.root).args(command).env("PATH", path).env(MARK, &self.folder))
    }

    pub async fn run(&self, command: &[&str]) -> Result<String> {
        let program = self.program(command)?;
        let Some(finished) = program.finish(TAKES).await? else { bail!("{command:?} did not exit") };
        let said = [finished.stdout.as_str(), &finished.stderr].concat();
        ensure!(finished.status.success(), "{command:?} exited with {}: {said}", finished.status);
        Ok(finished.stdout)
    }
}
