//! The command `ossci-lab chart-life`: the life of an installation, with the real helm. A node
//! breaks while the chart is upgraded and rolled back; `helm test` finds what is wrong; `helm
//! uninstall` leaves what docs/install.md says, and another installation takes it over.

mod mistakes;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::Stopwatch;
use crate::fault::{Broken, Fault, Until};
use crate::lab::{INFRA, Lab};
use crate::process::Program;
use crate::site_policy::STORY;
use crate::{deploy, enclosure, parts, wait};

const NODE: &str = "life1";
const OTHER: &str = "life2";
/// A repair in the lab, and the start of our pods on a node.
const PATIENCE: Duration = Duration::from_secs(120);
/// Prometheus has to scrape, evaluate and send, and Alertmanager to send on.
const HEARTBEAT: Duration = Duration::from_secs(90);

/// Runs inside an enclosure; prints one line for each step.
pub async fn run(dir: &Path, mut end: watch::Receiver<bool>) -> Result<()> {
    enclosure::unless_ended(&mut end, life(dir)).await
}

async fn life(dir: &Path) -> Result<()> {
    let mut lab = Lab::start(dir, |line| println!("lab: {line}")).await?;
    lab.begin("life");
    lab.change_policy(&policy().to_string()).await?;
    lab.add_nodes(&[NODE.to_owned(), OTHER.to_owned()]).await?;
    let doctor = healthy(&lab).await?;
    println!("helm test: green\n{doctor}");
    mistakes::make(&mut lab, dir).await?;
    repair(&lab).await?;
    credentials(&lab, dir).await?;
    uninstall(&lab).await?;
    again(&lab).await
}

/// What this life adds to the lab's policy.
fn policy() -> Value {
    json!({ "pools": [{ "name": "life", "nodeSelector": { STORY: "life" }, "mode": "reimage" }] })
}

/// `helm test` is green once everything has come up. Returns what the doctor printed.
async fn healthy(lab: &Lab) -> Result<String> {
    let watch = Stopwatch::start();
    let prometheus = format!("monitoring.prometheus={}", lab.facts.prometheus);
    lab.helm.upgrade(&[&prometheus]).await.context("naming Prometheus")?;
    let tried = wait::until("`helm test` is green", HEARTBEAT, || async {
        lab.helm.run(&["test", "ossci", "--namespace", "ossci", "--timeout", "30s"]).await
    });
    let tried = tried.await;
    let said = lab.doctor_said();
    tried.map_err(|error| error.context(format!("the doctor said:\n{said}")))?;
    println!("{}: the doctor is content", watch.read());
    Ok(said)
}

/// Two nodes break; the chart is upgraded in the middle of the reboot of one and of the reimage of
/// the other, and rolled back.
async fn repair(lab: &Lab) -> Result<()> {
    for (node, until, middle, boots) in
        [(NODE, Until::Reboot, "Rebooting|Stabilising|Proving", 1), (OTHER, Until::Reimage, "Reimaging", 2)]
    {
        let dir = lab.node_dir(node);
        dir.set_faults(&dir.faults()?.with(Broken { fault: Fault::GpuMissing, until }))?;
        dir.show_bus()?;
        let phase = |wanted: &'static str| {
            wait::until("the repair goes on", PATIENCE, move || async move {
                let path = "jsonpath={.status.episode.phase}";
                let phase = lab.kubectl.run(&["get", "nrep", node, "-o", path]).await?;
                if wanted.split('|').any(|one| one == phase.trim()) { Ok(()) } else { bail!("{node}: {phase}") }
            })
        };
        phase(middle).await?;
        let limits = ["controller.resources.limits.memory", "agent.resources.limits.memory"];
        let limits = limits.map(|limit| format!("{limit}={}Mi", 600 + boots));
        lab.helm.upgrade(&limits.each_ref().map(String::as_str)).await?;
        phase("Healed").await?;
        let ended = dir.boot_ends()?.len();
        ensure!(ended == boots, "{ended} boots of {node} were ended, {boots} expected");
        lab.helm.run(&["rollback", "ossci", "--namespace", "ossci"]).await?;
        phase("Healed").await?;
        println!("an upgrade in the middle of the phase {middle}: healed, {boots} boots ended; rolled back");
    }
    Ok(())
}

/// A controller makes its certificate and token by itself, and a second one uses the same.
async fn credentials(lab: &Lab, dir: &Path) -> Result<()> {
    let secrets: Api<Secret> = Api::namespaced(lab.admin.clone(), "ossci");
    let (mut first, files) = lab.self_signed(&dir.join("self-1"))?;
    let there = |name: &'static str| {
        let secrets = &secrets;
        wait::until("the controller makes a Secret", PATIENCE, move || async move {
            secrets.get(name).await.map_err(anyhow::Error::from)
        })
    };
    let tls = there("ossci-webhook-tls").await?;
    let token = there("ossci-webhook-token").await?;
    let text = |secret: &Secret, key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
        String::from_utf8(bytes.unwrap_or_default()).context("a Secret is not text")
    };
    let ca = reqwest::Certificate::from_pem(text(&tls, "ca.crt")?.as_bytes()).context("ca.crt")?;
    let address = files.webhook;
    let name = "ossci-remediator.ossci.svc";
    let http = reqwest::Client::builder().tls_certs_only([ca]).resolve(name, address).build()?;
    let url = format!("https://{name}:{}/webhook", address.port());
    let post = async |token: &str| -> Result<u16> {
        let answer = http.post(&url).bearer_auth(token).body("{}").send().await;
        Ok(answer.context("posting to the webhook")?.status().as_u16())
    };
    let token = text(&token, "token")?;
    wait::until("the webhook answers with its own certificate", PATIENCE, || post(&token)).await?;
    ensure!(post(&token).await? == 400, "an empty delivery with the token");
    ensure!(post("another").await? == 401, "another token");
    let (mut second, _) = lab.self_signed(&dir.join("self-2"))?;
    let other = dir.join("self-2/tls.crt");
    wait::until("the second controller has the certificate", PATIENCE, || async {
        std::fs::read_to_string(&other).context("reading its certificate")
    })
    .await?;
    ensure!(std::fs::read_to_string(&other)? == text(&tls, "tls.crt")?, "both replicas serve one certificate");
    first.kill().await;
    second.kill().await;
    println!("webhook.credentials=self: both replicas serve one certificate, and take one token");
    Ok(())
}

/// Nothing is left on the Nodes, and what stays is what the page names.
async fn uninstall(lab: &Lab) -> Result<()> {
    lab.kubectl.run(&["taint", "node", OTHER, "repair-manual=:NoSchedule"]).await?;
    lab.helm.run(&["uninstall", "ossci", "--namespace", "ossci", "--timeout", "90s"]).await?;
    let nodes: Api<Node> = Api::all(lab.admin.clone());
    for node in nodes.list(&ListParams::default()).await? {
        let name = node.name_any();
        ensure!(!node.labels().contains_key("ossci.amd.com/pool"), "{name} has its pool label");
        ensure!(!node.annotations().contains_key("ossci.amd.com/adopted"), "{name} has its annotation");
        let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).map(|taint| taint.key.as_str());
        let ours: Vec<&str> = taints.filter(|key| key.starts_with("repair-") || *key == "slow-network").collect();
        ensure!(ours.is_empty(), "{name} has {ours:?}");
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        ensure!(conditions.clone().all(|one| one.type_ != "OssciHealthy"), "{name} has its condition");
        ensure!(conditions.count() > 0, "{name} lost the conditions of its kubelet");
    }
    let kinds = "all,configmap,secret,role,rolebinding,clusterrole,clusterrolebinding,serviceaccount,networkpolicy,\
                 poddisruptionbudget,validatingadmissionpolicy,validatingadmissionpolicybinding,crd";
    let left = lab.kubectl.run(&["get", kinds, "--all-namespaces", "--output=name"]).await?;
    let ours: Vec<&str> = left.lines().filter(|name| name.contains("ossci") || name.contains("noderepair")).collect();
    let known = |name: &&&str| {
        [
            "/noderepairs.ossci.amd.com",
            "/ossci-webhook-",
            "/ossci-evidence-",
            "/ossci-reimage",
            "/ossci-load-test",
            "/ossci-doctor",
        ]
        .iter()
        .any(|known| name.contains(known))
    };
    let unknown: Vec<_> = ours.iter().filter(|name| !known(name)).collect();
    ensure!(unknown.is_empty(), "left, and not in docs/install.md: {unknown:?}");
    println!("helm uninstall: every Node is clean; left: {}", ours.join(" "));
    Ok(())
}

/// Installs over what the uninstallation left, and waits until everything is ready.
async fn again(lab: &Lab) -> Result<()> {
    let watch = Stopwatch::start();
    deploy::install(&lab.kubectl, &lab.helm).await?;
    // The controller labels the nodes of the pool first, which makes them the DaemonSets'.
    for (workload, field) in [
        ("deployment/ossci-remediator", "readyReplicas"),
        ("daemonset/ossci-exporter", "numberReady"),
        ("daemonset/ossci-agent", "numberReady"),
    ] {
        let path = format!("jsonpath={{.status.{field}}}");
        let ready = wait::until(format!("{workload} is ready"), PATIENCE, || async {
            let ready = lab.kubectl.run(&["-n", "ossci", "get", workload, "-o", &path]).await?;
            ensure!(ready.trim() == "2", "{ready:?} of 2 pods are ready");
            Ok(())
        });
        ready.await?;
    }
    println!("installed again: everything is ready after {}", watch.read());
    let path = "jsonpath={.status.episode.phase} {.status.network.phase}";
    let over = wait::until("the old record of a node is closed", PATIENCE, || async {
        let phase = lab.kubectl.run(&["get", "nrep", OTHER, "-o", path]).await?;
        ensure!(["Released", "Healed"].contains(&phase.trim()), "{phase}");
        Ok(())
    });
    over.await?;
    let taints = lab.kubectl.run(&["get", "node", OTHER, "-o", "jsonpath={.spec.taints[*].key}"]).await?;
    ensure!(!taints.contains("repair-"), "{OTHER} has {taints}");
    Ok(())
}

/// The address of a controller with credentials of its own.
pub struct SelfSigned {
    pub webhook: std::net::SocketAddr,
}

impl Lab {
    /// What the doctor of `helm test` has printed.
    fn doctor_said(&self) -> String {
        let logs = INFRA.map(|node| self.node_dir(node).log("ossci-doctor"));
        let said = logs.iter().filter_map(|log| std::fs::read_to_string(log).ok()).collect::<Vec<_>>();
        said.join("\n")
    }

    /// Starts one more controller, which keeps its own certificate and token in this folder.
    fn self_signed(&self, folder: &Path) -> Result<(crate::process::Process, SelfSigned)> {
        std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let webhook = format!("127.0.0.1:{}", crate::ports::free()?);
        let file = |name: &str| folder.join(name);
        let program = Program::new("self-signed", self.program("ossci-remediator"))
            .args(["controller", "--webhook.self-signed", "--metrics.listen-address=127.0.0.1:0"])
            .args([parts::flag("policy", self.policy_file()), format!("--webhook.listen-address={webhook}")])
            .args([parts::flag("webhook.tls-cert", &file("tls.crt")), parts::flag("webhook.tls-key", &file("tls.key"))])
            .arg(parts::flag("webhook.token-file", &file("token")))
            .env("KUBECONFIG", self.node_dir(INFRA[0]).secrets().join("controller.kubeconfig"));
        let process = program.start(&file("controller.log"))?;
        Ok((process, SelfSigned { webhook: webhook.parse().context("an address")? }))
    }
}
