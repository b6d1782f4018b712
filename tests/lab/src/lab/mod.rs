//! A lab: a real, small cluster with simulated GPU nodes, in one state directory.

mod nodes;
mod remediator;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::task::{AbortHandle, JoinSet};

use crate::alerting::Alerting;
use crate::bmc::Bmcs;
use crate::chart::Helm;
use crate::deploy::{self, Kubectl};
use crate::facts::Facts;
use crate::kubeconfig::{self, Cluster};
use crate::kubelet::Identity;
use crate::machine::Machine;
use crate::pace::Pace;
use crate::parts::{Site, apiserver, controller_manager, etcd, mailpit, scheduler};
use crate::pki::{Pair, Pki};
use crate::pods::App;
use crate::process::{self, Process};
use crate::programs::{Binaries, Controller};
use crate::provisioning::Provisioning;
use crate::proxy::Proxy;
use crate::setup::Tools;
use crate::site_policy::SitePolicy;
use crate::{ports, service, wait};

/// The nodes without GPUs, on which the remediator's replicas run.
pub const INFRA: [&str; 2] = ["infra1", "infra2"];
/// Timeout for a node or the remediator to come up.
const UP: Duration = Duration::from_secs(60);
/// Timeout for a program to run before it gets a signal: it may be starting.
const KILLED: Duration = Duration::from_secs(10);
/// The longest state directory: the limit of a unix socket's path, less the part that a node's
/// socket adds.
const LONGEST_DIR: usize = 108 - "/nodes//run/exporter.sock".len() - 24;

pub struct Lab {
    pub facts: Facts,
    pub kubectl: Kubectl,
    pub helm: Helm,
    pub admin: Client,
    pub alerting: Alerting,
    pace: Pace,
    binaries: Binaries,
    controller: Arc<Controller>,
    policy: SitePolicy,
    /// The current story.
    story: String,
    cluster: Cluster,
    /// The proxy between the remediator and the API server.
    pub proxy: Proxy,
    bmcs: Bmcs,
    provisioning: Provisioning,
    pki: Pki,
    machines: BTreeMap<String, Machine>,
    /// Number of addresses that were given to nodes so far.
    addresses: u32,
    /// Running nodes that no story has added yet.
    prepared: BTreeSet<String>,
    /// The identity of each kubelet.
    identities: BTreeMap<String, (Identity, Client)>,
    /// The node of the frozen remediator.
    frozen: Option<String>,
    /// The tasks of each node.
    lives: BTreeMap<String, Vec<AbortHandle>>,
    tasks: JoinSet<()>,
    /// Held so that the parts run as long as the lab.
    _parts: Vec<Process>,
}

impl Lab {
    /// Starts everything; `told` receives one line for each step.
    pub async fn start(dir: &Path, told: impl Fn(&str)) -> Result<Self> {
        Self::start_at(Pace::ORDINARY, dir, told).await
    }

    pub async fn start_at(pace: Pace, dir: &Path, told: impl Fn(&str)) -> Result<Self> {
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

        let bmcs = Bmcs::start(&site.folder("remediator")?, &pki).await?;
        let provisioning = Provisioning::start(&site.folder("remediator")?, &pki).await?;
        let proxy = Proxy::start(&pki, &api.cluster.server).await?;
        let alertmanagers: Vec<String> =
            alerting.alertmanager.replicas.iter().map(|replica| replica.url.clone()).collect();
        let policy = remediator::policy(&site, &pki, &mail.smtp, &alertmanagers, &bmcs)?;
        let controller = Arc::new(remediator::controller(&site, &pki, policy.file(), &token, pace)?);
        let kubectl = Kubectl::new(&site.tools, &api.admin, &site.folder("kubectl-cache")?)?;
        let helm = Helm::new(&site.tools, &site.folder("helm-home")?, Some(&api.admin))?;
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
            helm,
            admin,
            alerting,
            pace,
            binaries,
            controller,
            policy,
            story: String::new(),
            cluster: api.cluster,
            proxy,
            bmcs,
            provisioning,
            pki,
            machines: BTreeMap::new(),
            addresses: 0,
            prepared: BTreeSet::new(),
            identities: BTreeMap::new(),
            frozen: None,
            lives: BTreeMap::new(),
            tasks: JoinSet::new(),
            _parts: parts,
        };
        told("installing the chart, starting the remediator");
        for node in INFRA {
            lab.switch_on(node, 0).await?;
        }
        // With one node per replica that takes pods, the scheduler spreads the replicas.
        for node in INFRA {
            lab.await_schedulable(node).await?;
        }
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

    /// Returns a certificate of the lab's CA for a server on this machine.
    pub fn server_pair(&self, name: &str) -> Result<Pair> {
        self.pki.server(name)
    }

    /// A program of ours, as it was when the lab started.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.get(name)
    }

    /// The file with the lab's policy.
    pub fn policy_file(&self) -> &Path {
        self.policy.file()
    }

    /// Assigns the nodes that are added from now on to this story and its own pool.
    pub fn begin(&mut self, story: &str) {
        story.clone_into(&mut self.story);
        self.policy.begin(story);
    }

    /// Changes the policy until the next story begins.
    pub async fn change_policy(&mut self, yaml: &str) -> Result<()> {
        self.policy.change(&yaml.replace("PROVISIONING", &self.provisioning.policy().to_string()))?;
        self.await_policy().await
    }

    /// Undoes what a story did to the parts that all stories share.
    pub async fn restore(&mut self) -> Result<()> {
        self.proxy.set_down(false);
        self.restore_clock().await?;
        self.alerting.restore().await
    }

    /// Sends SIGKILL to one of our programs: every controller, or one node's exporter or agent. The
    /// stand-in kubelet restarts it, as a real one does.
    pub async fn kill(&self, app: App, node: Option<&str>) -> Result<()> {
        let sign = node.map_or(app.sign().to_owned(), |node| app.sign_on(&self.node_dir(node)));
        let sign = &sign;
        wait::until("the program to kill runs", KILLED, || async move {
            match process::kill_all(|text| text.contains(sign)) {
                0 => bail!("no {} is running", app.word()),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Waits until a Node carries no taint: a new one is not Ready for a moment.
    async fn await_schedulable(&self, node: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.admin.clone());
        wait::until(format!("{node} takes pods"), UP, || async {
            let taints = nodes.get(node).await?.spec.and_then(|spec| spec.taints).unwrap_or_default();
            ensure!(taints.is_empty(), "it has the taint {}", taints[0].key);
            Ok(())
        })
        .await
    }

    async fn apply(&self) -> Result<()> {
        deploy::install(&self.kubectl, &self.helm).await?;
        let scripts = self.facts.dir.join("scripts.yaml");
        fs::write(&scripts, include_str!("../scripts.yaml"))
            .with_context(|| format!("writing {}", scripts.display()))?;
        let path = scripts.display().to_string();
        self.kubectl.run(&["apply", "--server-side", "--force-conflicts", "-f", &path]).await.map(drop)
    }
}
