//! A virtual machine that is a node of the lab's cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams};

use super::guest::Guest;
use super::image::copy;
use super::{Room, container_image, network};
use crate::kubeconfig::{self, Cluster};
use crate::lab::Lab;
use crate::pki::Pair;
use crate::site_policy::STORY;
use crate::wait;

/// Timeout from power-on to a node with our pods: the CPU is emulated, and the images are imported
/// first.
const JOINS: Duration = Duration::from_secs(900);
/// The folder of the kubelet's identity and settings.
const HERE: &str = "/etc/kubernetes";
/// An NVMe disk has whole blocks.
const BLOCK: u64 = 1 << 20;

/// Switches on machine `number`, and waits until it is a Ready node on which our pods run. It
/// belongs to the pool of `story`.
pub async fn join(lab: &Lab, room: &Room, images: &[PathBuf], story: &str, name: &str, number: u8) -> Result<Guest> {
    let dir = lab.facts.dir.join("vm").join(name);
    fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
    let seed = seed(lab, images, &dir, name, number).await?;
    let guest = Guest::start(&room.debian, &room.image, &dir, name, number, &seed).await?;
    guest.up(JOINS).await?;
    ready(lab, name).await?;
    let story = format!("{STORY}={story}");
    let labels = ["feature.node.kubernetes.io/amd-gpu=true", "ossci.amd.com/gpus=8", &story];
    lab.kubectl.run(&[&["label", "node", name], &labels[..]].concat()).await?;
    pods(lab, name).await?;
    Ok(guest)
}

/// Waits until the node is Ready.
pub async fn ready(lab: &Lab, name: &str) -> Result<()> {
    says(lab, name, "True").await
}

/// Waits until the control plane has set the node's condition Ready to Unknown.
pub async fn silent(lab: &Lab, name: &str) -> Result<()> {
    says(lab, name, "Unknown").await
}

async fn says(lab: &Lab, name: &str, wanted: &str) -> Result<()> {
    let nodes: &Api<Node> = &Api::all(lab.admin.clone());
    wait::until(format!("the condition Ready of {name} is {wanted}"), JOINS, || async move {
        let node = nodes.get(name).await?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("no condition Ready yet")?;
        ensure!(ready.status == wanted, "{}: {}", ready.status, ready.message.clone().unwrap_or_default());
        Ok(())
    })
    .await
}

/// The boot ID in the Node's status.
pub async fn boot_id(lab: &Lab, name: &str) -> Result<String> {
    let nodes: Api<Node> = Api::all(lab.admin.clone());
    let info = nodes.get(name).await?.status.and_then(|status| status.node_info);
    Ok(info.context("the Node has no boot ID")?.boot_id)
}

/// Waits until both of our pods on it are ready.
pub async fn pods(lab: &Lab, name: &str) -> Result<()> {
    let pods: &Api<Pod> = &Api::namespaced(lab.admin.clone(), "ossci");
    let here = &ListParams::default().fields(&format!("spec.nodeName={name}"));
    wait::until(format!("our pods run on {name}"), JOINS, || async move {
        let all = pods.list(here).await?.items;
        let count = all.iter().filter(|pod| is_ready(pod)).count();
        let states: Vec<_> =
            all.iter().map(|pod| pod.status.as_ref().and_then(|status| status.phase.clone())).collect();
        ensure!(count == 2, "{count} of {states:?}");
        Ok(())
    })
    .await
}

/// Whether the pod has the condition Ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

/// A disk that holds a tar of this node's own files.
async fn seed(lab: &Lab, images: &[PathBuf], dir: &Path, name: &str, number: u8) -> Result<PathBuf> {
    let (root, api) = (dir.join("seed"), network::api());
    let (kubernetes, imported) = (root.join(HERE.trim_start_matches('/')), root.join("var/lib/lab-images"));
    for folder in [&kubernetes, &imported] {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let own = lab.node_identity(name)?;
    copy(&lab.ca_file(), &kubernetes.join("ca.crt"))?;
    copy(&own.cert, &kubernetes.join("client.crt"))?;
    copy(&own.key, &kubernetes.join("client.key"))?;
    let here = Path::new(HERE);
    let cluster = Cluster { server: format!("https://{api}"), ca_file: here.join("ca.crt") };
    let pair = Pair { cert: here.join("client.crt"), key: here.join("client.key") };
    kubeconfig::with_certificate(&kubernetes.join("kubelet.kubeconfig"), &cluster, &pair)?;
    let env = format!("NODE={name}\nNODE_IP={}\nAPISERVER={api}\n", network::address(number));
    fs::write(kubernetes.join("node.env"), env).context("writing the node's environment")?;
    let pods = root.join("etc/cni/net.d");
    fs::create_dir_all(&pods).with_context(|| format!("creating {}", pods.display()))?;
    fs::write(pods.join("10-lab.conflist"), network::pods(number)).context("writing the network of its pods")?;
    for image in images {
        copy(image, &imported.join(image.file_name().unwrap_or_default()))?;
    }
    let seed = dir.join("seed.raw");
    container_image::pack(&root, &seed).await?;
    fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    let file = fs::OpenOptions::new().write(true).open(&seed).context("opening the seed")?;
    let size = file.metadata().context("looking at the seed")?.len();
    file.set_len(size.next_multiple_of(BLOCK)).context("rounding the seed up")?;
    Ok(seed)
}
