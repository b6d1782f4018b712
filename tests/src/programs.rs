//! The command lines of our own programs in a lab: ordinary flags only, shortened times among them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::environment;
use crate::node_dir::NodeDir;
use crate::pki::Pair;
use crate::pods::{App, Launch};
use crate::process::Program;

/// Ports and files that a lab has chosen for our programs on one node.
#[derive(Debug, Clone)]
pub struct Programs {
    pub exporter: u16,
    pub controller: Arc<Controller>,
}

/// What the controller is started with; the same on whichever node its pod lands.
#[derive(Debug)]
pub struct Controller {
    pub policy: PathBuf,
    pub webhook: String,
    pub metrics: String,
    pub tls: Pair,
    pub token_file: PathBuf,
}

impl Launch for Programs {
    fn program(&self, app: App, node: &NodeDir, node_name: &str, kubeconfig: &Path) -> Result<Program> {
        Ok(match app {
            App::Exporter => self.exporter(node, node_name)?,
            App::Agent => self.agent(node, node_name)?.env("KUBECONFIG", kubeconfig),
            App::Controller => self.controller()?.env("KUBECONFIG", kubeconfig),
        })
    }
}

impl Programs {
    fn exporter(&self, node: &NodeDir, node_name: &str) -> Result<Program> {
        let flag = |name: &str, path: PathBuf| format!("--{name}={}", path.display());
        Ok(Program::new("ossci-exporter", environment::our_program("ossci-exporter")?)
            .args([format!("--web.listen-address=127.0.0.1:{}", self.exporter), format!("--node-name={node_name}")])
            .args([flag("web.probe-socket", node.socket()), flag("path.procfs", node.proc())])
            .args([flag("path.run-dir", node.run()), flag("path.state-dir", node.state())])
            .args(["rocm-smi", "rocminfo", "iperf3"].map(|tool| flag(&format!("tool.{tool}"), node.tool(tool))))
            .args(["--check.interval=2s", "--check.timeout=1800ms", "--probe.min-gap=200ms"])
            .args(["--network.target=127.0.0.1", "--network.min-download=100000000"]))
    }

    fn agent(&self, node: &NodeDir, node_name: &str) -> Result<Program> {
        Ok(Program::new("agent", environment::this_program()?)
            .args(["agent".into(), format!("--node-dir={}", node.path().display()), format!("--node-name={node_name}")])
            .arg(format!("--exporter-socket={}", node.socket().display()))
            .arg(format!("--run-dir={}", node.run().display())))
    }

    fn controller(&self) -> Result<Program> {
        let Controller { policy, webhook, metrics, tls, token_file } = &*self.controller;
        Ok(Program::new("controller", environment::our_program("ossci-remediator")?)
            .arg("controller")
            .args([format!("--policy={}", policy.display()), format!("--webhook.listen-address={webhook}")])
            .args([format!("--metrics.listen-address={metrics}"), format!("--webhook.tls-cert={}", tls.cert.display())])
            .arg(format!("--webhook.tls-key={}", tls.key.display()))
            .arg(format!("--webhook.token-file={}", token_file.display())))
    }
}
