//! A lab: a real cluster in miniature with simulated GPU nodes, in one state directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use rustix::process::Signal;
use tokio::task::{AbortHandle, JoinSet};

use crate::alerting::Alerting;
use crate::deploy::{self, Kubectl};
use crate::facts::Facts;
use crate::kubeconfig::{self, Cluster};
use crate::kubelet::{Identity, Kubelet};
use crate::machine::Machine;
use crate::node_dir::NodeDir;
use crate::parts::{self, Site, apiserver, controller_manager, etcd, mailpit, scheduler};
use crate::pki::{Pki, write_secret};
use crate::pods::{App, Pods};
use crate::process::{self, Process};
use crate::programs::{Addresses, Binaries, Controller, Programs};
use crate::proxy::Proxy;
use crate::setup::Tools;
use crate::site_policy::SitePolicy;
use crate::{environment, ports, service, wait};

/// GPUs that a simulated node is sold with; the recorded outputs show as many.
const GPUS: u32 = 8;
/// The nodes without GPUs, on which the remediator's replicas run.
pub const INFRA: [&str; 2] = ["infra1", "infra2"];
/// How long a simulated reboot keeps a machine dark.
const DOWNTIME: Duration = Duration::from_millis(2500);
const POLICY_READ_AT: &str = "ossci_remediator_policy_last_reload_success_timestamp_seconds ";
const NODE_UP: Duration = Duration::from_secs(60);
/// How long a program that is to be killed may take to be there: it may just have been killed.
const KILLED: Duration = Duration::from_secs(10);
/// The longest path that a unix socket may have, less what a node's socket adds to the state directory.
const LONGEST_DIR: usize = 108 - "/nodes//run/exporter.sock".len() - 24;

pub struct Lab {
    pub facts: Facts,
    pub kubectl: Kubectl,
    pub admin: Client,
    pub alerting: Alerting,
    binaries: Binaries,
    controller: Arc<Controller>,
    policy: SitePolicy,
    /// The story that is played.
    story: String,
    cluster: Cluster,
    /// Between the remediator and the API server.
    pub proxy: Proxy,
    pki: Pki,
    machines: BTreeMap<String, Machine>,
    /// What each kubelet is.
    identities: BTreeMap<String, (Identity, Client)>,
    /// The node of the remediator that was stopped.
    frozen: Option<String>,
    /// What keeps each node alive.
    lives: BTreeMap<String, Vec<AbortHandle>>,
    tasks: JoinSet<()>,
    /// Held so that the parts live as long as the lab.
    _parts: Vec<Process>,
}

impl Lab {
    /// Brings everything up; `told` is called with one line for each step.
    pub async fn start(dir: &Path, told: impl Fn(&str)) -> Result<Self> {
        if dir.as_os_str().len() > LONGEST_DIR {
            bail!("{} is too long a path for the unix sockets in it: choose a shorter --state-dir", dir.display());
        }
        let site = Site { dir: dir.to_owned(), tools: Tools::find()? };
        let binaries = Binaries::take(&site.folder("bin")?)?;
        let pki = Pki::create(&dir.join("pki"))?;
        told("starting etcd, mailpit, Prometheus and Alertmanager, two each");
        let webhook = format!("127.0.0.1:{}", ports::free()?);
        let token = uuid::Uuid::new_v4().simple().to_string();
        let (etcd, mail, alerting) = tokio::try_join!(
            etcd::start(&site),
            mailpit::start(&site, &pki),
            Alerting::start(&site, &pki, &webhook, &token),
        )?;
        told("starting the API server");
        let api = apiserver::start(&site, &pki, &etcd.url).await?;
        told("starting the controller manager and the scheduler");
        let controller_manager = controller_manager::start(&site, &pki, &api).await?;
        let scheduler = scheduler::start(&site, &pki, &api).await?;

        let proxy = Proxy::start(&pki, &api.cluster.server).await?;
        let alertmanagers: Vec<String> =
            alerting.alertmanager.replicas.iter().map(|replica| replica.url.clone()).collect();
        let policy = policy(&site, &pki, &mail.smtp, &alertmanagers)?;
        let controller = Arc::new(controller(&site, &pki, policy.file(), &token)?);
        let kubectl = Kubectl::new(&site.tools, &api.admin, &site.folder("kubectl-cache")?)?;
        let facts = Facts {
            dir: dir.to_owned(),
            api: api.cluster.server.clone(),
            kubeconfig: api.admin.clone(),
            kubectl: site.tools.get("kubectl")?,
            audit_log: api.audit_log.clone(),
            prometheus: alerting.prometheus.replicas[0].url.clone(),
            alertmanager: alerting.alertmanager.replicas[0].url.clone(),
            smtp: mail.smtp.clone(),
            inbox: mail.url.clone(),
            mail_dir: dir.join("mail"),
            webhook: webhook.clone(),
            webhook_token: controller.token_file.clone(),
            remediator_webhooks: controller.replicas.values().map(|replica| replica.webhook.clone()).collect(),
            remediator_metrics: controller.replicas.values().map(|replica| replica.metrics.clone()).collect(),
            exporters: BTreeMap::new(),
        };
        let admin = kubeconfig::client(&api.admin).await?;
        let parts = vec![etcd.process, api.process, mail.process, controller_manager, scheduler];
        let mut lab = Self {
            facts,
            kubectl,
            admin,
            alerting,
            binaries,
            controller,
            policy,
            story: String::new(),
            cluster: api.cluster,
            proxy,
            pki,
            machines: BTreeMap::new(),
            identities: BTreeMap::new(),
            frozen: None,
            lives: BTreeMap::new(),
            tasks: JoinSet::new(),
            _parts: parts,
        };
        told("applying deploy/, starting the remediator");
        for node in INFRA {
            lab.switch_on(node, 0).await?;
        }
        // When there is a node for each of the replicas already, the scheduler spreads them.
        lab.apply().await?;
        let replicas = lab.controller.replicas.clone();
        for (node, replica) in &replicas {
            lab.alerting.prometheus.scrape("ossci-remediator", node, &replica.metrics, None)?;
        }
        let pods = replicas.values().map(|replica| replica.webhook.clone()).collect();
        lab.tasks.spawn(async move {
            if let Err(error) = service::serve(webhook, pods).await {
                tracing::error!("the remediator's Service: {error:#}");
            }
        });
        lab.await_remediator().await?;
        lab.facts.write()?;
        Ok(lab)
    }

    /// The nodes that come now are of this story, and a pool of its own.
    pub fn begin(&mut self, story: &str) -> Result<()> {
        story.clone_into(&mut self.story);
        self.policy.begin(story)
    }

    /// Changes the policy, until the next story begins.
    pub async fn change_policy(&self, yaml: &str) -> Result<()> {
        self.policy.change(yaml)?;
        self.await_policy().await
    }

    /// Until every replica of the remediator has read what the policy file says now.
    async fn await_policy(&self) -> Result<()> {
        let written = fs::metadata(self.policy.file()).and_then(|file| file.modified()).context("the policy file")?;
        let written =
            jiff::Timestamp::try_from(written).context("the policy file's time")?.as_microsecond() as f64 / 1e6;
        let http = &parts::http()?;
        for replica in self.controller.replicas.values() {
            let url = &format!("http://{}/metrics", replica.metrics);
            wait::until("the remediator reads the policy", NODE_UP, || async move {
                let page = parts::page(http, url).await?;
                let line = page.lines().find_map(|line| line.strip_prefix(POLICY_READ_AT)).context("no such metric")?;
                let read: f64 = line.trim().parse().context("a time")?;
                if read >= written { Ok(()) } else { bail!("it has not") }
            })
            .await?;
        }
        Ok(())
    }

    /// Adds simulated GPU nodes and waits until each is Ready and its checks pass.
    pub async fn add_nodes(&mut self, names: &[String]) -> Result<()> {
        self.await_policy().await?;
        for name in names {
            self.switch_on(name, GPUS).await?;
        }
        for name in names {
            self.await_node(name).await?;
        }
        self.facts.write()
    }

    pub fn machine(&self, node: &str) -> Result<&Machine> {
        self.machines.get(node).with_context(|| format!("there is no node {node} in this lab"))
    }

    pub fn node_dir(&self, node: &str) -> NodeDir {
        NodeDir::of(&self.facts.dir, node)
    }

    /// The consecutive failures of each check of a node as its exporter tells them now, and when its latest run ended.
    pub async fn strikes(&self, node: &str) -> Result<Vec<(u32, Timestamp)>> {
        let address = self.facts.exporters.get(node).with_context(|| format!("there is no node {node} in this lab"))?;
        // An exporter that is just starting says nothing.
        let Ok(page) = parts::page(&parts::http()?, &format!("http://{address}/metrics")).await else {
            return Ok(Vec::new());
        };
        let values = |name: &str| -> BTreeMap<String, f64> {
            let series = page.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
            series.filter_map(|(labels, value)| Some((labels.to_owned(), value.parse().ok()?))).collect()
        };
        let ends = values("ossci_check_last_run_timestamp_seconds");
        let counts = values("ossci_check_consecutive_failures");
        let both = counts.iter().filter_map(|(check, count)| {
            let end = Timestamp::from_microsecond((ends.get(check)? * 1e6) as i64).ok()?;
            Some((*count as u32, end))
        });
        Ok(both.collect())
    }

    /// kill -9 of one of our programs: the controller, or one node's exporter or agent. The stand-in kubelet starts it
    /// again, as a real one would.
    pub async fn kill(&self, app: App, node: Option<&str>) -> Result<()> {
        let sign = match (app, node) {
            (App::Controller, _) => app.sign().to_owned(),
            (App::Agent, Some(node)) => format!("\0agent\0--node-dir={}\0", self.node_dir(node).path().display()),
            (App::Exporter, Some(node)) => format!("--node-name={node}\0--web.probe-socket="),
            _ => bail!("say on which node"),
        };
        let sign = &sign;
        wait::until("it runs, so that it can be killed", KILLED, || async move {
            match process::kill_all(|text| text.contains(sign)) {
                0 => bail!("no {} is running", app.word()),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn apply(&self) -> Result<()> {
        deploy::apply_all(&self.kubectl, &environment::repository().join("deploy")).await?;
        let reimage = self.facts.dir.join("reimage.yaml");
        fs::write(&reimage, include_str!("reimage.yaml")).with_context(|| format!("writing {}", reimage.display()))?;
        let path = reimage.display().to_string();
        self.kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &path]).await.map(drop)
    }

    /// Where the leading remediator receives alerts, host:port.
    pub async fn leading_webhook(&self) -> Result<&str> {
        let leader = self.leader().await?;
        let replica = self.controller.replicas.get(&leader).with_context(|| format!("nobody is on {leader}"))?;
        Ok(&replica.webhook)
    }

    /// The node of the remediator that leads.
    async fn leader(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.admin.clone(), "ossci");
        let lease = leases.get("ossci-remediator").await.context("reading the remediator's Lease")?;
        let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
        Ok(holder.split('_').next().unwrap_or_default().to_owned())
    }

    /// Stops the leading remediator as a debugger or a paused machine would: it goes on later, and believes to lead.
    pub async fn freeze_leader(&mut self) -> Result<()> {
        self.frozen = Some(self.leader().await?);
        self.signal_frozen(Signal::STOP)
    }

    pub fn thaw(&mut self) -> Result<()> {
        self.signal_frozen(Signal::CONT)?;
        self.frozen = None;
        Ok(())
    }

    fn signal_frozen(&self, signal: Signal) -> Result<()> {
        let node = self.frozen.as_deref().context("no remediator is frozen")?;
        let (sign, identity) = (App::Controller.sign(), format!("--leader-elect-identity={node}\0"));
        match process::signal_all(signal, |text| text.contains(sign) && text.contains(&identity)) {
            0 => bail!("the remediator on {node} does not run"),
            _ => Ok(()),
        }
    }

    /// A kubelet whose Node was deleted registers again: a new object for the same machine.
    pub async fn register(&self, name: &str) -> Result<()> {
        let (identity, client) = self.identities.get(name).with_context(|| format!("there is no node {name}"))?;
        Kubelet::new(identity.clone(), client.clone(), self.machine(name)?.power()).register().await
    }

    /// Begins one node's life: machine, kubelet, pods.
    async fn switch_on(&mut self, name: &str, gpus: u32) -> Result<()> {
        if self.machines.contains_key(name) {
            bail!("node {name} is there already: each story has nodes of its own");
        }
        let node = NodeDir::create(&self.facts.dir, name, &self.binaries.get("ossci-lab"))?;
        let machine = Machine::switch_on(node.clone(), DOWNTIME)?;
        let address = format!("10.26.0.{}", self.machines.len() + 1);
        let user = format!("system:node:{name}");
        let pair = self.pki.client(&format!("node-{name}"), &user, Some("system:nodes"))?;
        let config = self.facts.dir.join("pki").join(format!("node-{name}.kubeconfig"));
        kubeconfig::with_certificate(&config, &self.cluster, &pair)?;
        let client = kubeconfig::client(&config).await?;

        // The remediator is on the nodes without GPUs.
        let server = if gpus > 0 { &self.cluster.server } else { &self.proxy.url };
        let cluster = Cluster { server: server.clone(), ..self.cluster.clone() };
        let programs = Programs {
            binaries: self.binaries.clone(),
            exporter: ports::free()?,
            controller: Arc::clone(&self.controller),
        };
        if gpus > 0 {
            let exporter = format!("127.0.0.1:{}", programs.exporter);
            self.alerting.prometheus.scrape("ossci-exporter", name, &exporter, Some(name))?;
            self.facts.exporters.insert(name.to_owned(), exporter);
        }
        let story = self.story.clone();
        let identity = Identity { name: name.to_owned(), address: address.clone(), gpus, story };
        self.identities.insert(name.to_owned(), (identity.clone(), client.clone()));
        let kubelet = Kubelet::new(identity, client.clone(), machine.power());
        kubelet.register().await?;
        let pods = Pods {
            node_name: name.to_owned(),
            address,
            node,
            cluster,
            client,
            power: machine.power(),
            launch: programs,
        };
        let life = vec![
            self.tasks.spawn(kubelet.run()),
            self.tasks.spawn(pods.run()),
            self.tasks.spawn(machine.clone().run()),
        ];
        self.lives.insert(name.to_owned(), life);
        self.machines.insert(name.to_owned(), machine);
        Ok(())
    }

    /// Ends one node's life, and takes every trace of it out of the cluster.
    pub async fn switch_off(&mut self, name: &str) -> Result<()> {
        let machine = self.machines.remove(name).with_context(|| format!("there is no node {name}"))?;
        for task in self.lives.remove(name).unwrap_or_default() {
            task.abort();
        }
        machine.end_processes();
        self.facts.exporters.remove(name);
        self.alerting.prometheus.forget("ossci-exporter", name);
        let here = format!("--field-selector=spec.nodeName={name}");
        self.kubectl.run(&["delete", "node", name]).await?;
        self.kubectl.run(&["delete", "pods", "-A", "--force", "--grace-period=0", &here]).await?;
        self.kubectl.run(&["delete", "noderepair", name, "--ignore-not-found"]).await.map(drop)
    }

    async fn await_remediator(&self) -> Result<()> {
        for (node, replica) in &self.controller.replicas {
            let log = self.node_dir(node).log(App::Controller.word());
            let webhook = &replica.webhook;
            let listens = wait::until("the remediator's webhook listens", NODE_UP, || async move {
                tokio::net::TcpStream::connect(webhook).await.map(drop).context("connecting")
            });
            listens.await.with_context(|| format!("its log {} ends:\n{}", log.display(), process::tail(&log, 15)))?;
        }
        Ok(())
    }

    async fn await_node(&self, name: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.admin.clone());
        let nodes = &nodes;
        wait::until(format!("{name} is Ready and not tainted"), NODE_UP, || async move {
            let node = nodes.get(name).await?;
            let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
            let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            let tainted = node.spec.and_then(|spec| spec.taints).is_some_and(|taints| !taints.is_empty());
            if ready && !tainted { Ok(()) } else { bail!("ready: {ready}, tainted: {tainted}") }
        })
        .await?;
        let http = parts::http()?;
        let http = &http;
        let url = format!("http://{}/metrics", self.facts.exporters.get(name).context("a node without an exporter")?);
        let url = &url;
        let log = self.node_dir(name).log(App::Exporter.word());
        let fact = format!("the checks of {name} pass");
        let passing = wait::until(&fact, NODE_UP, || async move {
            let page = parts::page(http, url).await?;
            for check in ["rocm-smi", "rocminfo", "network"] {
                let passes = page.lines().any(|line| {
                    let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
                    line.starts_with("ossci_check_success{")
                        && line.contains(&format!("\"{check}\""))
                        && value == Some(1.0)
                });
                if !passes {
                    bail!("{check} has not passed");
                }
            }
            Ok(())
        });
        passing.await.with_context(|| format!("its log {} ends:\n{}", log.display(), process::tail(&log, 15)))
    }
}

fn policy(site: &Site, pki: &Pki, smtp: &str, alertmanagers: &[String]) -> Result<SitePolicy> {
    let smtp_port = smtp.rsplit(':').next().unwrap_or_default();
    let base = include_str!("policy.yaml")
        .replace("ALERTMANAGERS", &alertmanagers.join(", "))
        .replace("SMTP_PORT", smtp_port)
        .replace("CA_FILE", &pki.ca_file().display().to_string());
    SitePolicy::write(site.folder("remediator")?.join("policy.yaml"), &base)
}

fn controller(site: &Site, pki: &Pki, policy: &Path, token: &str) -> Result<Controller> {
    let folder: PathBuf = site.folder("remediator")?;
    let token_file = folder.join("token");
    write_secret(&token_file, token)?;
    Ok(Controller {
        policy: policy.to_owned(),
        replicas: INFRA
            .iter()
            .map(|node| {
                let address = || ports::free().map(|port| format!("127.0.0.1:{port}"));
                Ok(((*node).to_owned(), Addresses { webhook: address()?, metrics: address()? }))
            })
            .collect::<Result<_>>()?,
        tls: pki.server("webhook")?,
        token_file,
    })
}
