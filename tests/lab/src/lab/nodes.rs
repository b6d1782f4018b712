//! The simulated nodes of a lab: each consists of a machine, a kubelet and its pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use rustix::process::Signal;

use super::{KILLED, Lab, UP};
use crate::kubeconfig::{self, Cluster};
use crate::kubelet::{Identity, Kubelet};
use crate::machine::Machine;
use crate::node_dir::NodeDir;
use crate::pki::Pair;
use crate::pods::{App, Pods};
use crate::programs::Programs;
use crate::{parts, ports, process, service, wait};

/// GPUs of a simulated node; the recorded outputs show the same number.
const GPUS: u32 = 8;

impl Lab {
    /// Adds simulated GPU nodes and waits until each is Ready and its checks pass.
    pub async fn add_nodes(&mut self, names: &[String]) -> Result<()> {
        self.policy.settle()?;
        self.await_policy().await?;
        for name in names {
            if !self.prepared.remove(name) {
                self.switch_on(name, GPUS).await?;
            }
        }
        for name in names {
            self.await_node(name).await?;
        }
        self.facts.write()
    }

    /// Starts the nodes of a later story, which then does not have to wait for them.
    pub async fn prepare(&mut self, story: &str, names: &[&str]) -> Result<()> {
        let current = std::mem::replace(&mut self.story, story.to_owned());
        for name in names {
            self.switch_on(name, GPUS).await?;
            self.prepared.insert((*name).to_owned());
        }
        self.story = current;
        Ok(())
    }

    pub fn machine(&self, node: &str) -> Result<&Machine> {
        self.machines.get(node).with_context(|| format!("there is no node {node} in this lab"))
    }

    pub fn node_dir(&self, node: &str) -> NodeDir {
        NodeDir::of(&self.facts.dir, node)
    }

    /// The consecutive failures of each check of a node as its exporter exposes them now, and the
    /// end time of its latest run.
    pub async fn strikes(&self, node: &str) -> Result<Vec<(u32, Timestamp)>> {
        let address = self.facts.exporters.get(node).with_context(|| format!("there is no node {node} in this lab"))?;
        // An exporter that is starting does not answer yet.
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

    /// Stops a node's agent with SIGSTOP, or lets it continue. The agent of a Node that was created
    /// again is starting.
    pub async fn freeze_agent(&self, name: &str, stop: bool) -> Result<()> {
        let (sign, signal) = (App::Agent.sign_on(&self.node_dir(name)), if stop { Signal::STOP } else { Signal::CONT });
        let sign = &sign;
        wait::until(format!("the agent on {name} runs"), KILLED, || async move {
            ensure!(process::signal_all(signal, |text| text.contains(sign)) > 0, "it does not run");
            Ok(())
        })
        .await
    }

    /// Registers a kubelet whose Node was deleted: a new object for the same machine.
    pub async fn register(&self, name: &str) -> Result<()> {
        let (identity, client) = self.identities.get(name).with_context(|| format!("there is no node {name}"))?;
        Kubelet::new(identity.clone(), client.clone(), self.machine(name)?.power()).register().await
    }

    /// The certificate of a kubelet that runs elsewhere.
    pub fn node_identity(&self, name: &str) -> Result<Pair> {
        self.pki.client(&format!("node-{name}"), &format!("system:node:{name}"), Some("system:nodes"))
    }

    /// A certificate for a server that the lab starts later.
    pub fn server_identity(&self, name: &str) -> Result<Pair> {
        self.pki.server(name)
    }

    /// The file with the password of the account on every BMC.
    pub fn bmc_password(&self) -> &Path {
        &self.bmcs.password_file
    }

    /// The CA of the lab's servers.
    pub fn ca_file(&self) -> PathBuf {
        self.pki.ca_file()
    }

    /// Serves the API at another address while the lab runs.
    pub fn serve_api(&mut self, address: &str) -> Result<()> {
        let (address, server) = (address.to_owned(), self.cluster.server.clone());
        let server = server.strip_prefix("https://").context("the API server's address")?.to_owned();
        self.tasks.spawn(async move {
            if let Err(error) = service::serve(address, vec![server]).await {
                tracing::error!("the API server's further address: {error:#}");
            }
        });
        Ok(())
    }

    /// Starts one node: machine, kubelet and pods.
    pub(super) async fn switch_on(&mut self, name: &str, gpus: u32) -> Result<()> {
        if self.machines.contains_key(name) {
            bail!("node {name} already exists: each story has nodes of its own");
        }
        let node = NodeDir::create(&self.facts.dir, name, &self.binaries.get("ossci-lab"))?;
        let machine = Machine::switch_on(node.clone(), self.pace.downtime)?;
        self.bmcs.plug(name, machine.clone());
        self.provisioning.rack(name, machine.clone());
        self.addresses += 1;
        let address = format!("10.26.{}.{}", self.addresses / 250, self.addresses % 250 + 1);
        let pair = self.node_identity(name)?;
        let config = self.facts.dir.join("pki").join(format!("node-{name}.kubeconfig"));
        kubeconfig::with_certificate(&config, &self.cluster, &pair)?;
        let client = kubeconfig::client(&config).await?;

        // The remediator runs on the nodes without GPUs.
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
        let identity =
            Identity { name: name.to_owned(), address: address.clone(), gpus, story, not_ready: self.pace.not_ready };
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

    /// Stops these nodes' processes, and deletes their Nodes, pods and records. It is no error if a
    /// failed story never added a node.
    pub async fn switch_off(&mut self, names: &[&str]) -> Result<()> {
        let mut off = Vec::new();
        for name in names {
            let Some(machine) = self.machines.remove(*name) else { continue };
            for task in self.lives.remove(*name).unwrap_or_default() {
                task.abort();
            }
            machine.end_processes();
            self.facts.exporters.remove(*name);
            self.alerting.prometheus.forget("ossci-exporter", name);
            off.push(*name);
        }
        if off.is_empty() {
            return Ok(());
        }
        let delete = |kind: &'static str| [&["delete", kind, "--ignore-not-found"], off.as_slice()].concat();
        self.kubectl.run(&delete("nodes")).await?;
        for name in &off {
            let here = format!("--field-selector=spec.nodeName={name}");
            self.kubectl.run(&["delete", "pods", "-A", "--force", "--grace-period=0", &here]).await?;
        }
        self.kubectl.run(&delete("noderepairs")).await?;
        self.facts.write()
    }

    async fn await_node(&self, name: &str) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.admin.clone());
        let nodes = &nodes;
        wait::until(format!("{name} is Ready and not tainted"), UP, || async move {
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
        let passing = wait::until(&fact, UP, || async move {
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
