//! Container images without a registry, in the format of `docker save`, from programs and their
//! shared libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::image::{copy, run, tool};

const ASKS: Duration = Duration::from_secs(30);

/// Writes the image `name` (with its registry) to `out`: each program in /usr/bin, the first one as
/// its command.
pub async fn write(out: &Path, name: &str, programs: &[&Path], command: &[&str]) -> Result<()> {
    let folder = out.with_extension("folder");
    let (root, layer) = (folder.join("root"), folder.join("layer"));
    assemble(&root, programs).await?;
    fs::create_dir_all(&layer).with_context(|| format!("creating {}", layer.display()))?;
    pack(&root, &layer.join("layer.tar")).await?;
    let layer_id = hash(&fs::read(layer.join("layer.tar")).context("reading the layer")?);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Entrypoint": command, "Env": ["PATH=/usr/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_id}")]},
    });
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    for (file, text) in [("config.json", config), ("manifest.json", manifest)] {
        fs::write(layer.join(file), text.to_string()).with_context(|| format!("writing {file}"))?;
    }
    pack(&layer, out).await?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

/// Fills the root folder of an image: each program in /usr/bin, and the libraries that they load.
pub async fn assemble(root: &Path, programs: &[&Path]) -> Result<()> {
    for dir in ["usr/bin", "tmp", "etc"] {
        fs::create_dir_all(root.join(dir)).with_context(|| format!("creating {dir} of an image"))?;
    }
    let mut libraries = BTreeSet::new();
    for program in programs {
        let here = root.join("usr/bin").join(program.file_name().unwrap_or_default());
        copy(program, &here)?;
        // Debug information is most of a debug build.
        run(tool("strip")?.arg(&here)).await?;
        libraries.extend(libraries_of(program).await?);
    }
    for library in libraries {
        let here = root.join(library.strip_prefix("/").unwrap_or(&library));
        fs::create_dir_all(here.parent().unwrap_or(root)).context("creating a folder for a library")?;
        copy(&library, &here)?;
    }
    Ok(())
}

/// A tar of a folder's content.
pub async fn pack(folder: &Path, out: &Path) -> Result<()> {
    let tar = tool("tar")?.args(["--create", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--file"]);
    run(tar.arg(out).arg("--directory").arg(folder).arg(".")).await
}

/// The shared libraries of a program and their loader; empty for a static program.
async fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let asked = tool("ldd")?.arg(program).finish(ASKS).await?.context("ldd took too long")?;
    let paths = asked.stdout.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).filter(|path| path.is_file()).collect())
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
