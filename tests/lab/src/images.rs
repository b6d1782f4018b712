//! The command `ossci-lab images`: the two images that a site pushes to its registry, built by
//! buildah from the Containerfiles of `deploy/images`. Needs no registry.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::environment;
use crate::vm::container_image::assemble;
use crate::vm::image::{copy, run, tool, tool_file};

/// One image.
struct Image {
    name: &'static str,
    /// The program of ours.
    program: &'static str,
    /// Programs of the machine that builds it, in its PATH.
    beside: &'static [&'static str],
    /// Files of that machine, at the same place.
    files: &'static [&'static str],
}

const IMAGES: [Image; 2] = [
    Image {
        name: "ossci-remediator",
        program: "ossci-remediator",
        // The agent runs the host's tools with it.
        beside: &["chroot"],
        files: &["/etc/ssl/certs/ca-certificates.crt"],
    },
    // The shell starts the servers of the network check.
    Image {
        name: "ossci-exporter",
        program: "ossci-exporter",
        beside: &["chroot", "iperf3", "sh", "seq", "sleep"],
        files: &[],
    },
];

/// Builds the images of the programs in this folder as OCI archives; prints name, size and digest.
pub async fn build(programs: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("creating {}", out.display()))?;
    for image in &IMAGES {
        let folder = out.join(image.name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        let root = folder.join("root");
        let ours = programs.join(image.program);
        if !ours.is_file() {
            bail!("{} is missing: run `make images`, which builds it", ours.display());
        }
        let beside = image.beside.iter().map(|name| tool_file(name)).collect::<Result<Vec<PathBuf>>>()?;
        let all: Vec<&Path> = std::iter::once(ours.as_path()).chain(beside.iter().map(PathBuf::as_path)).collect();
        assemble(&root, &all).await?;
        for file in image.files {
            let here = root.join(file.trim_start_matches('/'));
            fs::create_dir_all(here.parent().unwrap_or(&root)).context("creating a folder of an image")?;
            copy(Path::new(file), &here)?;
        }
        let bytes = size(&root)?;
        let archive = out.join(format!("{}.tar", image.name));
        let digest = packed(image.name, &folder, &archive).await?;
        println!("{} {:.1} MB unpacked, {} {}", image.name, bytes as f64 / 1e6, digest, archive.display());
    }
    Ok(())
}

/// Runs buildah on the folder; returns the digest of the image. Times are those of 1970, so the
/// same programs make the same image.
async fn packed(name: &str, folder: &Path, archive: &Path) -> Result<String> {
    let file = environment::repository().join(format!("deploy/images/{name}.Containerfile"));
    let buildah = || Ok::<_, anyhow::Error>(tool("buildah")?.args(["--storage-driver=vfs"]));
    let build = buildah()?.args(["build", "--isolation=chroot", "--timestamp=0", "--tag", name, "--file"]);
    run(build.arg(&file).arg(folder)).await?;
    let digest = folder.join("digest");
    let push = buildah()?.arg("push").arg(format!("--digestfile={}", digest.display())).arg(name);
    run(push.arg(format!("oci-archive:{}:{name}", archive.display()))).await?;
    Ok(fs::read_to_string(&digest).context("reading the digest")?.trim().to_owned())
}

/// The bytes of all files in a folder.
fn size(folder: &Path) -> Result<u64> {
    let mut all = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let (entry, kind) =
            entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))).context("reading a folder")?;
        all += match kind.is_dir() {
            true => size(&entry)?,
            false => fs::symlink_metadata(&entry).context("looking at a file")?.len(),
        };
    }
    Ok(all)
}
