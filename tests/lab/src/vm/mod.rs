//! The command `ossci-lab vm`: stories on virtual machines with systemd, containerd and a kubelet
//! that join the lab's control plane. Our exporter and agent run there as the pods of the
//! DaemonSets in `deploy/`, from an image of our own. The lab controls each machine over a serial
//! line.

mod bmc;
pub mod container_image;
mod debian_root;
pub mod dpkg_cuts;
mod guest;
pub mod image;
mod layer;
mod network;
mod node;
pub mod orders;
mod power;
pub mod reimage_cases;
mod repository;
mod speed;
mod stories;
mod sushy;
mod watched;
mod workload;

pub use self::stories::stories;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::sync::watch;

use self::debian_root::DebianRoot;
use self::image::Image;
use self::sushy::Sushy;
use crate::lab::Lab;
use crate::{enclosure, setup};

/// Prepares what needs the Internet: the tools, and the disk image of the machines.
pub async fn prepare() -> Result<()> {
    let room = Room::find().await?;
    println!("vm: machines boot from {}", room.image.disk.display());
    Ok(())
}

/// The tools and images of the machines.
struct Room {
    debian: DebianRoot,
    image: Image,
    sushy: Sushy,
}

impl Room {
    async fn find() -> Result<Self> {
        let debian = DebianRoot::get()?;
        let image = image::get(&debian, &setup::tool("kubelet")?).await?;
        Ok(Self { debian, image, sushy: Sushy::get().await? })
    }
}

/// Plays the stories on virtual machines, inside an enclosure with a network of its own.
pub async fn run(dir: &Path, wanted: &[String], mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, play(dir, wanted)).await
}

async fn play(dir: &Path, wanted: &[String]) -> Result<()> {
    network::up().await?;
    let room = Room::find().await?;
    let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
    let images = images(&room, dir).await?;
    stories::play(&mut lab, &room, &images, wanted).await
}

/// The container images that every machine gets.
async fn images(room: &Room, dir: &Path) -> Result<Vec<PathBuf>> {
    let folder = dir.join("images");
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    // The agent and the exporter run the host's tools with this program.
    let chroot = image::tool_file("chroot")?;
    let (ours, exporter) = (dir.join("bin/ossci-remediator"), dir.join("bin/ossci-exporter"));
    let mut made = Vec::new();
    for (name, programs, command) in [
        ("ossci-remediator:0.1.0", vec![ours.as_path(), &chroot], vec!["/usr/bin/ossci-remediator"]),
        ("ossci-exporter:0.1.0", vec![exporter.as_path(), &chroot], vec!["/usr/bin/ossci-exporter"]),
        ("pause:lab", vec![room.image.busybox.as_path()], vec!["/usr/bin/busybox", "sleep", "2147483647"]),
    ] {
        let out = folder.join(format!("{}.tar", name.split(':').next().unwrap_or(name)));
        container_image::write(&out, &format!("docker.io/library/{name}"), &programs, &command).await?;
        made.push(out);
    }
    Ok(made)
}
