//! The command lines of our own programs in a lab: ordinary flags only, with shortened times.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::environment;
use crate::node_dir::{INSTALLABLE, NodeDir, TOOLS};
use crate::parts::flag;
use crate::pki::Pair;
use crate::pods::{App, Launch};
use crate::process::Program;

/// A copy of our programs from the start of the lab: a build beside a running lab does not change
/// them.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// Copies them into the lab's own folder, as hard links where possible.
    pub fn take(folder: &Path) -> Result<Self> {
        for name in ["ossci-exporter", "ossci-remediator", "ossci-lab"] {
            let program = environment::our_program(name)?;
            let own = folder.join(name);
            if fs::hard_link(&program, &own).is_err() {
                fs::copy(&program, &own).with_context(|| format!("copying {}", program.display()))?;
            }
        }
        Ok(Self(folder.to_owned()))
    }

    pub fn get(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// How the name of an image ends that was built without the tools of the checks.
const WITHOUT_TOOLS: &str = ":without-tools";

/// Ports and files that a lab has chosen for our programs on one node.
#[derive(Debug, Clone)]
pub struct Programs {
    pub binaries: Binaries,
    pub exporter: u16,
    pub controller: Arc<Controller>,
}

/// The controller's arguments, the same on every node.
#[derive(Debug)]
pub struct Controller {
    pub policy: PathBuf,
    /// The addresses of the replica on each node.
    pub replicas: BTreeMap<String, Addresses>,
    pub tls: Pair,
    pub token_file: PathBuf,
    /// A file with the offset of its clock in seconds. Without the file it has the machine's clock.
    pub clock: PathBuf,
    pub faketime: PathBuf,
    /// Duration of the leader's Lease.
    pub lease_seconds: u32,
}

/// The addresses of one replica, host:port.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub webhook: String,
    pub metrics: String,
}

impl Launch for Programs {
    fn program(&self, app: App, image: &str, node: &NodeDir, node_name: &str, kubeconfig: &Path) -> Program {
        match app {
            App::Exporter => self.exporter(image, node, node_name),
            App::Agent => self.agent(node, node_name).env("KUBECONFIG", kubeconfig),
            App::Controller => self.controller(node_name).env("KUBECONFIG", kubeconfig),
        }
    }

    fn task(&self, args: &[String], kubeconfig: &Path) -> Program {
        let program =
            Program::new("task", self.binaries.get("ossci-remediator")).args(args).env("KUBECONFIG", kubeconfig);
        if args.first().is_none_or(|command| command != "doctor") {
            return program;
        }
        // In a pod it reads the mounted policy, and finds the controllers at their own addresses.
        let controllers =
            self.controller.replicas.values().map(|replica| format!("--controller=http://{}", replica.metrics));
        program.args(controllers).env("OSSCI_POLICY", &self.controller.policy)
    }

    fn probed_port(&self, app: App) -> Option<u16> {
        (app == App::Exporter).then_some(self.exporter)
    }
}

impl Programs {
    fn exporter(&self, image: &str, node: &NodeDir, node_name: &str) -> Program {
        let tool = |name| if image.ends_with(WITHOUT_TOOLS) { "/none".into() } else { node.tool(name) };
        Program::new("exporter", self.binaries.get("ossci-exporter"))
            .args([format!("--web.listen-address=127.0.0.1:{}", self.exporter), format!("--node-name={node_name}")])
            .args([flag("web.probe-socket", &node.socket()), flag("path.procfs", &node.proc())])
            .args([flag("path.run-dir", &node.run()), flag("path.state-dir", &node.state())])
            .args(TOOLS.map(|name| flag(&format!("tool.{name}"), &tool(name))))
            .args([flag("path.sysfs", &node.sys()), flag("tool.amd-smi", &tool(INSTALLABLE))])
            .args([
                "--check.amd-smi.interval=2s",
                "--check.interval=2s",
                "--check.timeout=1800ms",
                "--probe.min-gap=200ms",
            ])
            .args(["--network.target=127.0.0.1", "--network.min-download=100000000"])
    }

    fn agent(&self, node: &NodeDir, node_name: &str) -> Program {
        Program::new("agent", self.binaries.get("ossci-lab"))
            .args(["agent".into(), flag("node-dir", node.path()), format!("--node-name={node_name}")])
            .args([flag("exporter-socket", &node.socket()), flag("run-dir", &node.run())])
            .arg(flag("state-dir", &node.state()))
            // All nodes share one host here.
            .arg("--metrics.listen-address=127.0.0.1:0")
    }

    fn controller(&self, node_name: &str) -> Program {
        let Controller { policy, replicas, tls, token_file, clock, faketime, lease_seconds } = &*self.controller;
        let lease = |part: &str, milliseconds: u32| format!("--leader-elect-{part}={milliseconds}ms");
        let listens = replicas.get(node_name).into_iter().flat_map(|Addresses { webhook, metrics }| {
            [format!("--webhook.listen-address={webhook}"), format!("--metrics.listen-address={metrics}")]
        });
        let program = Program::new("controller", self.binaries.get("ossci-remediator"));
        let program = if clock.exists() {
            // As in a real jump, the monotonic clock continues.
            let program = program.env("LD_PRELOAD", faketime).env("FAKETIME_TIMESTAMP_FILE", clock);
            program.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_CACHE_DURATION", "1")
        } else {
            program
        };
        program
            .args(["controller".into(), flag("policy", policy)])
            .args(listens)
            .args([lease("lease-duration", lease_seconds * 1000), lease("renew-deadline", lease_seconds * 700)])
            .args([lease("retry-period", lease_seconds * 150), format!("--leader-elect-identity={node_name}")])
            .args([flag("webhook.tls-cert", &tls.cert), flag("webhook.tls-key", &tls.key)])
            .arg(flag("webhook.token-file", token_file))
    }
}
