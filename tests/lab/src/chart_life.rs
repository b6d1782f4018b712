//! The command `ossci-lab chart-life`: the life of an installation, with the real helm. A node
//! breaks while the chart is upgraded and rolled back; `helm test` finds what is wrong; `helm
//! uninstall` leaves what docs/install.md says.

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
use crate::setup::Tools;
use crate::site_policy::STORY;
use crate::{enclosure, parts, wait};

const NODE: &str = "life1";
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
    let pool = json!({ "name": "life", "nodeSelector": { STORY: "life" }, "mode": "reimage" });
    lab.change_policy(&json!({ "pools": [pool] }).to_string()).await?;
    lab.add_nodes(&[NODE.to_owned(), "life2".to_owned()]).await?;
    let doctor = healthy(&lab).await?;
    println!("helm test: green\n{doctor}");
    mistakes(&lab, dir).await?;
    repair(&lab).await?;
    credentials(&lab, dir).await?;
    uninstall(&lab).await
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

/// Mistakes that a site makes, each found with a sentence.
async fn mistakes(lab: &Lab, dir: &Path) -> Result<()> {
    let policy = std::fs::read_to_string(lab.policy_file()).context("reading the policy")?;
    let wrong = |from: &str, to: &str| -> Result<String> {
        ensure!(policy.contains(from), "the policy has no {from}");
        Ok(policy.replacen(from, to, 1))
    };
    let nowhere = lab.facts.alertmanager.clone();
    let kubeconfig = lab.facts.kubeconfig.clone();
    let agent = dir.join(format!("nodes/{NODE}/secrets/agent.kubeconfig"));
    let own = lab.facts.prometheus.as_str();
    for (policy, prometheus, kubeconfig, code, told) in [
        (wrong("\"pools\"", "\"pool\"")?, own, &kubeconfig, 1, "fail     policy"),
        (wrong(&nowhere, "http://127.0.0.1:9")?, own, &kubeconfig, 1, "http://127.0.0.1:9 does not answer"),
        (policy.clone(), "http://127.0.0.1:9", &kubeconfig, 3, "unknown  prometheus"),
        (policy.clone(), own, &agent, 3, "unknown  pods"),
    ] {
        let file = dir.join("mistaken-policy.yaml");
        std::fs::write(&file, policy).context("writing a policy")?;
        let (found, said) = lab.doctor(&file, prometheus, kubeconfig).await?;
        ensure!(found == code && said.contains(told), "exit code {found}, expected {code} and {told:?}:\n{said}");
    }
    // What only the cluster can get wrong: pods without tolerations, an older CRD.
    let never = r#"{"spec":{"template":{"spec":{"tolerations":[]}}}}"#;
    lab.kubectl.run(&["-n", "ossci", "patch", "daemonset", "ossci-agent", "--type=merge", "-p", never]).await?;
    let intolerant = wait::until("the doctor misses the tolerations", PATIENCE, || async {
        let (_, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
        if said.contains("do not tolerate every taint") { Ok(()) } else { bail!("it says:\n{said}") }
    });
    intolerant.await?;
    let crd = "noderepairs.ossci.amd.com";
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/network";
    let older = format!(r#"[{{"op":"remove","path":"{path}"}}]"#);
    lab.kubectl.run(&["patch", "crd", crd, "--type=json", "-p", &older]).await?;
    let (found, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
    ensure!(found == 1 && said.contains("the CRD is older than this program, it lacks .status.network"), "{said}");
    // An upgrade mends both.
    lab.helm.upgrade(&["agent.priorityClass=system-node-critical"]).await?;
    let (_, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
    ensure!(said.contains("the CRD of NodeRepair is this program's"), "an upgrade brings the CRD back:\n{said}");
    // No agent on a node.
    let select = async |value: Value| {
        let patch = json!({"spec": {"template": {"spec": {"nodeSelector": {"no.such/label": value}}}}}).to_string();
        lab.kubectl.run(&["-n", "ossci", "patch", "daemonset", "ossci-agent", "--type=merge", "-p", &patch]).await
    };
    select(json!("x")).await?;
    let missing = wait::until("the doctor misses the agents", PATIENCE, || async {
        let (_, said) = lab.doctor(lab.policy_file(), own, &kubeconfig).await?;
        ensure!(said.lines().any(|line| line.contains("agents") && line.contains(NODE)), "it says:\n{said}");
        Ok(())
    });
    missing.await?;
    select(Value::Null).await?;
    // A Prometheus of the site that does not scrape, evaluate or label what it should.
    for (name, edit, expected) in [
        ("unscraped", json!({ "scrape_configs": [] }), "no exporter is scraped on"),
        ("ruleless", json!({ "rule_files": [] }), "are not loaded"),
        ("nameless", json!({ "relabels": "node" }), "have no label node"),
    ] {
        let (prometheus, _running) = mistaken(dir, name, &edit).await?;
        let found = wait::until(format!("the doctor sees that Prometheus is {name}"), PATIENCE, || async {
            let (_, said) = lab.doctor(lab.policy_file(), &prometheus, &kubeconfig).await?;
            ensure!(said.contains(expected), "it says:\n{said}");
            Ok(())
        });
        found.await?;
    }
    second(lab).await?;
    println!("ten mistakes and a second release: each found with a sentence");
    Ok(())
}

/// One more real Prometheus, with the configuration of the lab's but for `edit`: keys to replace,
/// or a target label that every job drops. Returns its address.
async fn mistaken(dir: &Path, name: &str, edit: &Value) -> Result<(String, crate::process::Process)> {
    let text = std::fs::read_to_string(dir.join("prometheus/prometheus-1.yml")).context("reading the configuration")?;
    let mut config: Value = serde_json::from_str(&text).context("parsing the configuration")?;
    config["alerting"] = json!({});
    for (key, value) in edit.as_object().context("an edit is an object")? {
        match key.as_str() {
            "relabels" => {
                for job in config["scrape_configs"].as_array_mut().context("the configuration has no jobs")? {
                    job["relabel_configs"] = json!([{ "action": "labeldrop", "regex": value }]);
                }
            }
            key => config[key] = value.clone(),
        }
    }
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config.to_string()).with_context(|| format!("writing {}", file.display()))?;
    let address = format!("127.0.0.1:{}", crate::ports::free()?);
    let process = Program::new(name, Tools::find()?.get("prometheus")?)
        .args([parts::flag("config.file", &file), parts::flag("storage.tsdb.path", &folder.join("data"))])
        .arg(format!("--web.listen-address={address}"))
        .start(&folder.join("log"))?;
    Ok((format!("http://{address}"), process))
}

/// A second release in the same cluster is refused, and the first stays as it is.
async fn second(lab: &Lab) -> Result<()> {
    let chart = crate::chart::folder().display().to_string();
    // The lab's cluster has no Prometheus operator.
    let args = ["--namespace", "second", "--create-namespace", "--set", "monitoring.operator=false"];
    let tried = lab.helm.run(&[&["install", "second", &chart][..], &args].concat()).await;
    let Err(refusal) = tried else { bail!("a second release was installed") };
    let refusal = format!("{refusal:#}");
    let expected = ["invalid ownership metadata", "current value is \"ossci\""];
    ensure!(expected.iter().all(|words| refusal.contains(words)), "{refusal}");
    let left = lab.helm.run(&["list", "--all-namespaces", "--short", "--deployed"]).await?;
    ensure!(left.trim() == "ossci", "releases: {left}");
    Ok(())
}

/// A node breaks; the chart is upgraded in the middle of its repair, and rolled back.
async fn repair(lab: &Lab) -> Result<()> {
    let dir = lab.node_dir(NODE);
    dir.set_faults(&dir.faults()?.with(Broken { fault: Fault::GpuMissing, until: Until::Reboot }))?;
    dir.show_bus()?;
    let phase = |wanted: &'static str| {
        wait::until("the repair goes on", PATIENCE, move || async move {
            let path = "jsonpath={.status.episode.phase}";
            let phase = lab.kubectl.run(&["get", "nrep", NODE, "-o", path]).await?;
            if wanted.split('|').any(|one| one == phase.trim()) { Ok(()) } else { bail!("{phase}") }
        })
    };
    phase("Rebooting|Stabilising|Proving").await?;
    lab.helm.upgrade(&["controller.resources.limits.memory=300Mi", "agent.resources.limits.memory=600Mi"]).await?;
    phase("Healed").await?;
    let boots = dir.boot_ends()?.len();
    ensure!(boots == 1, "{boots} boots of {NODE} were ended");
    lab.helm.run(&["rollback", "ossci", "--namespace", "ossci"]).await?;
    phase("Healed").await?;
    println!("an upgrade in the middle of a repair: healed, one reboot; rolled back");
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
    lab.kubectl.run(&["taint", "node", "life2", "repair-manual=:NoSchedule"]).await?;
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

/// The address of a controller with credentials of its own.
pub struct SelfSigned {
    pub webhook: std::net::SocketAddr,
}

impl Lab {
    /// Runs the doctor by hand; returns its exit code and what it printed.
    async fn doctor(&self, policy: &Path, prometheus: &str, kubeconfig: &Path) -> Result<(i32, String)> {
        let program = Program::new("doctor", self.program("ossci-remediator"))
            .args(["doctor", "--prometheus", prometheus])
            .args(self.facts.remediator_metrics.iter().map(|address| format!("--controller=http://{address}")))
            .env("OSSCI_POLICY", policy)
            .env("KUBECONFIG", kubeconfig);
        let ended = program.finish(PATIENCE).await?.context("the doctor does not end")?;
        Ok((ended.status.code().unwrap_or(-1), ended.stdout))
    }

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
