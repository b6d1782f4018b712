//! The pod half of the stand-in kubelet, with the node's own identity. Our pods are real processes
//! with tokens of their ServiceAccounts. All other pods exist as far as an eviction needs them:
//! Ready, and finished deletions.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Container, Pod, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock::{self, Stopwatch};
use crate::fault::Fault;
use crate::kubeconfig::{self, Cluster};
use crate::machine::Power;
use crate::node_dir::NodeDir;
use crate::parts;
use crate::pki::write_secret;
use crate::process::{Process, Program};

/// Interval at which processes are checked.
const TICK: Duration = Duration::from_millis(250);
/// Delay before an exited container is restarted; a real kubelet does not delay the first restart.
const BACKOFF: Duration = Duration::from_millis(200);
/// Grace period of a deleted container.
const GRACE: Duration = Duration::from_secs(2);
/// Interval of the readiness probe; a real kubelet's default is 10 s.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The shortest lifetime that the API server grants; a kubelet asks for it too.
const TOKEN_SECONDS: i64 = 3607;
const TOKEN_RENEWED_AFTER: Duration = Duration::from_secs(1800);

/// Our program in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    Exporter,
    Agent,
    Controller,
}

impl App {
    pub fn of(pod: &Pod) -> Option<Self> {
        if pod.namespace().as_deref() != Some("ossci") {
            return None;
        }
        let name = pod.name_any();
        [("ossci-exporter-", Self::Exporter), ("ossci-agent-", Self::Agent), ("ossci-remediator-", Self::Controller)]
            .into_iter()
            .find_map(|(prefix, app)| name.starts_with(prefix).then_some(app))
    }

    /// The part of its command line that identifies a process of this program: the flag with its
    /// node.
    pub fn sign(self) -> &'static str {
        match self {
            Self::Exporter => "\0--web.probe-socket=",
            Self::Agent => "\0agent\0--node-dir=",
            Self::Controller => "\0--leader-elect-identity=",
        }
    }

    /// The part of its command line that identifies the process on one node.
    pub fn sign_on(self, node: &NodeDir) -> String {
        let whose = match self {
            Self::Exporter => node.socket().display().to_string(),
            Self::Agent => node.path().display().to_string(),
            Self::Controller => node.name(),
        };
        format!("{}{whose}\0", self.sign())
    }

    /// The sub-command or program name in its command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exporter => "exporter",
            Self::Agent => "agent",
            Self::Controller => "controller",
        }
    }
}

/// Whether a pod of ours runs once and ends: a hook of the chart.
fn is_task(pod: &Pod) -> bool {
    let name = pod.name_any();
    pod.namespace().as_deref() == Some("ossci") && (name == "ossci-doctor" || name.starts_with("ossci-uninstall-"))
}

/// Turns one of our pods into a command line. `kubeconfig` has the identity of the pod's
/// ServiceAccount.
pub trait Launch: Send + Sync {
    fn program(&self, app: App, image: &str, node: &NodeDir, node_name: &str, kubeconfig: &Path) -> Program;

    /// A command of the remediator that ends.
    fn task(&self, args: &[String], kubeconfig: &Path) -> Program;

    /// The port at which the pod answers its readiness probe, if the kubelet shall ask.
    fn probed_port(&self, app: App) -> Option<u16>;
}

/// One pod on this node.
struct Running {
    pod: Pod,
    process: Option<Process>,
    /// The time since the process exited; it is restarted after the delay.
    ended: Option<Stopwatch>,
    token_age: Option<Stopwatch>,
    restarts: i32,
    ready: bool,
    /// The time since the last readiness probe.
    probed: Option<Stopwatch>,
    /// The boot, the restart count and the readiness of the last status.
    reported: Option<(String, i32, bool)>,
}

impl Running {
    fn container(&self) -> Option<&Container> {
        self.pod.spec.as_ref()?.containers.first()
    }

    fn image(&self) -> &str {
        self.container().and_then(|container| container.image.as_deref()).unwrap_or_default()
    }

    fn probe_path(&self) -> Option<&str> {
        self.container()?.readiness_probe.as_ref()?.http_get.as_ref()?.path.as_deref()
    }
}

pub struct Pods<L> {
    pub node_name: String,
    pub address: String,
    pub node: NodeDir,
    pub cluster: Cluster,
    pub client: Client,
    pub power: watch::Receiver<Power>,
    pub launch: L,
}

impl<L: Launch> Pods<L> {
    /// Runs this node's pods while the lab runs.
    pub async fn run(mut self) {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mine = watcher::Config::default().fields(&format!("spec.nodeName={}", self.node_name));
        let mut events = watcher(api, mine).default_backoff().boxed();
        let mut pods: HashMap<String, Running> = HashMap::new();
        let http = match parts::http() {
            Ok(http) => http,
            Err(error) => return tracing::error!("the kubelet of {}: {error:#}", self.node_name),
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.learn(&mut pods, event).await,
                    Some(Err(error)) => tracing::debug!("pods of {}: {error}", self.node_name),
                    None => return,
                },
                _ = tick.tick() => {}
                _ = self.power.changed() => {}
            }
            let power = self.power.borrow().clone();
            for running in pods.values_mut() {
                if !power.on {
                    // A dark machine runs nothing and reports nothing.
                    if let Some(mut process) = running.process.take() {
                        process.kill().await;
                        running.ended = None;
                        running.restarts += 1;
                    }
                } else if let Err(error) = self.sync(running, &power, &http).await {
                    tracing::warn!("pod {} on {}: {error:#}", running.pod.name_any(), self.node_name);
                    running.ended = Some(Stopwatch::start());
                }
            }
        }
    }

    async fn learn(&self, pods: &mut HashMap<String, Running>, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Apply(pod) | watcher::Event::InitApply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                pods.entry(uid).and_modify(|running| running.pod = pod.clone()).or_insert_with(|| Running {
                    pod,
                    process: None,
                    ended: None,
                    token_age: None,
                    restarts: 0,
                    ready: false,
                    probed: None,
                    reported: None,
                });
            }
            watcher::Event::Delete(pod) => {
                if let Some(mut running) = pods.remove(&pod.uid().unwrap_or_default())
                    && let Some(process) = &mut running.process
                {
                    process.stop(GRACE).await;
                }
            }
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }

    /// Reconciles one pod.
    async fn sync(&self, running: &mut Running, power: &Power, http: &reqwest::Client) -> Result<()> {
        if running.pod.metadata.deletion_timestamp.is_some() {
            return self.finish(running).await;
        }
        if is_task(&running.pod) {
            return self.task(running).await;
        }
        if let Some(app) = App::of(&running.pod) {
            if running.process.as_mut().is_some_and(|process| process.ended().is_some()) {
                running.process = None;
                running.ended = Some(Stopwatch::start());
                running.restarts += 1;
            }
            let kept_off = app == App::Exporter && self.node.faults()?.has(Fault::NoExporter);
            if running.ended.is_some_and(|since| since.elapsed() < BACKOFF) || (running.process.is_none() && kept_off) {
                return Ok(());
            }
            let kubeconfig = self.identity(running, app.word()).await?;
            if running.process.is_none() {
                let program = self.launch.program(app, running.image(), &self.node, &self.node_name, &kubeconfig);
                running.process = Some(program.start(&self.node.log(app.word()))?);
                running.ended = None;
            }
        }
        self.probe(running, http).await;
        let report = (power.boot_id.clone(), running.restarts, running.ready);
        if running.reported.as_ref() != Some(&report) {
            self.report(running).await?;
            running.reported = Some(report);
        }
        Ok(())
    }

    /// Runs a pod that ends, once, and reports how it ended.
    async fn task(&self, running: &mut Running) -> Result<()> {
        if running.reported.is_some() {
            return Ok(());
        }
        let Some(process) = &mut running.process else {
            let kubeconfig = self.identity(running, "task").await?;
            let args = running.container().and_then(|container| container.args.clone()).unwrap_or_default();
            let program = self.launch.task(&args, &kubeconfig);
            running.process = Some(program.start(&self.node.log(&running.pod.name_any()))?);
            return Ok(());
        };
        let Some(ended) = process.ended() else { return Ok(()) };
        let (code, now) = (ended.code().unwrap_or(255), format!("{:.0}", clock::now()));
        let name = running.container().map(|container| container.name.clone());
        let ended = json!({ "exitCode": code, "startedAt": now, "finishedAt": now, "reason": "Completed" });
        let status = json!({ "status": {
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            "containerStatuses": [{ "name": name, "image": running.image(), "imageID": "lab", "ready": false,
                                    "restartCount": 0, "state": { "terminated": ended } }],
        }});
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &running.pod.namespace().unwrap_or_default());
        let (name, status) = (running.pod.name_any(), Patch::Strategic(status));
        pods.patch_status(&name, &PatchParams::default(), &status).await.context("posting the end of a pod")?;
        running.reported = Some((String::new(), 0, false));
        Ok(())
    }

    /// Asks the container whether it is ready. A container without a probe is ready when it runs.
    async fn probe(&self, running: &mut Running, http: &reqwest::Client) {
        let port = App::of(&running.pod).and_then(|app| self.launch.probed_port(app));
        let Some((port, path)) = port.zip(running.probe_path()) else {
            running.ready = true;
            return;
        };
        if running.probed.is_none_or(|since| since.elapsed() >= PROBE_EVERY) {
            let url = format!("http://127.0.0.1:{port}{path}");
            running.ready = parts::page(http, &url).await.is_ok();
            running.probed = Some(Stopwatch::start());
        }
    }

    async fn finish(&self, running: &mut Running) -> Result<()> {
        if let Some(mut process) = running.process.take() {
            process.stop(GRACE).await;
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &running.pod.namespace().unwrap_or_default());
        let uid = running.pod.uid();
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(kube::api::Preconditions { uid, ..Default::default() }),
            ..DeleteParams::default()
        };
        match pods.delete(&running.pod.name_any(), &now).await {
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => other.map(drop).context("finishing the deletion"),
        }
    }

    /// A kubeconfig with a fresh token of the pod's ServiceAccount, bound to the pod.
    async fn identity(&self, running: &mut Running, word: &str) -> Result<std::path::PathBuf> {
        let config = self.node.secrets().join(format!("{word}.kubeconfig"));
        if word == App::Exporter.word() || running.token_age.is_some_and(|age| age.elapsed() < TOKEN_RENEWED_AFTER) {
            return Ok(config);
        }
        let account = running.pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone()).unwrap_or_default();
        let namespace = running.pod.namespace().unwrap_or_default();
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &namespace);
        let request: TokenRequest = serde_json::from_value(json!({"spec": {
            "audiences": [], "expirationSeconds": TOKEN_SECONDS,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": running.pod.name_any(), "uid": running.pod.uid()},
        }}))?;
        let granted = accounts.create_token_request(&account, &PostParams::default(), &request).await;
        let granted = granted.with_context(|| format!("asking for a token of {namespace}/{account}"))?;
        let token = granted.status.and_then(|status| status.token).context("the token request returned no token")?;
        let file = self.node.secrets().join(format!("{word}.token"));
        write_secret(&file, &token)?;
        kubeconfig::with_token(&config, &self.cluster, &file)?;
        running.token_age = Some(Stopwatch::start());
        Ok(config)
    }

    async fn report(&self, running: &Running) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &running.pod.namespace().unwrap_or_default());
        let status = Patch::Strategic(json!({"status": self.status(running, clock::now())}));
        match pods.patch_status(&running.pod.name_any(), &PatchParams::default(), &status).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop).context("posting the pod's status"),
        }
    }

    fn status(&self, running: &Running, now: Timestamp) -> Value {
        let now = format!("{now:.0}");
        let ready = if running.ready { "True" } else { "False" };
        let conditions: Vec<Value> = [("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready)]
            .iter()
            .map(|(kind, status)| json!({"type": kind, "status": status, "lastTransitionTime": now}))
            .collect();
        let spec = running.pod.spec.as_ref();
        let containers: Vec<Value> = spec
            .map(|spec| spec.containers.as_slice())
            .unwrap_or_default()
            .iter()
            .map(|container| {
                json!({
                    "name": container.name, "image": container.image, "imageID": "lab", "ready": running.ready, "started": true,
                    "restartCount": running.restarts, "state": {"running": {"startedAt": now}},
                })
            })
            .collect();
        json!({
            "phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers,
            "hostIP": self.address, "podIP": self.address, "podIPs": [{"ip": self.address}], "hostIPs": [{"ip": self.address}],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}})).unwrap()
    }

    #[test]
    fn only_pods_of_our_namespace_are_programs_of_ours() {
        assert_eq!(App::of(&pod("ossci", "ossci-agent-x7k2p")), Some(App::Agent));
        assert_eq!(App::of(&pod("ossci", "ossci-remediator-6d9f-x7k2p")), Some(App::Controller));
        assert_eq!(App::of(&pod("default", "ossci-agent-x7k2p")), None);
        assert_eq!(App::of(&pod("ossci", "training-1")), None);
    }
}
