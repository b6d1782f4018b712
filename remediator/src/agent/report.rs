//! The agent's report, `status.agent`: the only thing that the agent writes.

use std::sync::Arc;

use kube::Api;
use serde_json::json;

use super::capture::Captured;
use super::prove::Proven;
use super::redact::redact;
use super::request::{WorkError, api};
use super::script_files;
use crate::api::records;
use crate::api::request;
use crate::core::record::{AgentReport, AgentState, OrderKind, Verdict};
use crate::metrics::{AgentMetrics, ByOrder};
use crate::wire::node_repair::NodeRepair;
use ossci_base::clock;
use ossci_base::words::ClosedWord;

/// Limit of a report's message in characters: the end of a script's output, and the text before it.
const MESSAGE: usize = script_files::TAIL + 200;

pub struct Reporter {
    pub repairs: Api<NodeRepair>,
    pub node: String,
    pub order: String,
    pub kind: OrderKind,
    /// The boot that the agent is on.
    pub boot_id: String,
    pub crash_kernel: bool,
    pub metrics: Arc<AgentMetrics>,
}

impl Reporter {
    /// Reports `Running`, the point of no return. The write fails if the record changed after the
    /// guards were checked on `read`, so a withdrawal in between wins.
    pub async fn running(&self, read: &NodeRepair) -> Result<(), WorkError> {
        let report = self.report(AgentState::Running, "");
        self.write(Some(read), &report).await
    }

    pub async fn settle(&self, state: AgentState, message: &str) -> Result<(), WorkError> {
        self.write(None, &self.report(state, message)).await
    }

    /// `evidence`: the ConfigMap with the output of the script.
    pub async fn reimaged(&self, state: AgentState, message: &str, evidence: Option<String>) -> Result<(), WorkError> {
        self.write(None, &AgentReport { evidence, ..self.report(state, message) }).await
    }

    pub async fn proven(&self, outcome: &Proven) -> Result<(), WorkError> {
        let report = AgentReport {
            proof: Some(outcome.proof),
            verdicts: without_secrets(&outcome.verdicts),
            ..self.report(AgentState::Done, &outcome.message)
        };
        self.write(None, &report).await
    }

    /// `evidence`: the ConfigMap with the rest of the evidence.
    pub async fn captured(&self, captured: Captured, evidence: Option<String>) -> Result<(), WorkError> {
        let Captured { verdicts, kernel_log, expected, cards, software, missing, .. } = captured;
        let nothing = verdicts.is_empty() && kernel_log.is_none() && evidence.is_none();
        let state = if nothing { AgentState::Failed } else { AgentState::Done };
        let message = if missing.is_empty() {
            "the verdicts of the checks and the end of the kernel log were recorded".to_owned()
        } else {
            format!("missing from the evidence: {}", missing.join("; "))
        };
        let verdicts = without_secrets(&verdicts);
        let software = Some(software);
        let report =
            AgentReport { verdicts, kernel_log, evidence, expected, cards, software, ..self.report(state, &message) };
        self.write(None, &report).await
    }

    fn report(&self, state: AgentState, message: &str) -> AgentReport {
        let message = redact(message).chars().take(MESSAGE).collect();
        let plain = AgentReport::plain(self.order.clone(), self.boot_id.clone(), state, clock::now(), message);
        AgentReport { crash_kernel: self.crash_kernel, ..plain }
    }

    async fn write(&self, guard: Option<&NodeRepair>, report: &AgentReport) -> Result<(), WorkError> {
        let mut agent = json!(report);
        // A merge patch has to remove the fields that only the previous order's report had.
        for field in ["proof", "verdicts", "kernelLog", "evidence", "expected", "cards", "software", "crashKernel"] {
            if agent.get(field).is_none() {
                agent[field] = serde_json::Value::Null;
            }
        }
        let mut patch = json!({ "status": { "agent": agent } });
        if let Some(read) = guard {
            patch["metadata"] = request::guard(&read.metadata);
        }
        let written = records::status(&self.repairs, &self.node, patch).await;
        written.map_err(api("writing the report"))?;
        let order = ByOrder { kind: self.kind.as_str(), state: report.state.as_str() };
        self.metrics.orders.get_or_create_owned(&order).inc();
        Ok(())
    }
}

/// Removes secrets from the details, which are output of tools.
fn without_secrets(verdicts: &[Verdict]) -> Vec<Verdict> {
    verdicts.iter().map(|verdict| Verdict { detail: redact(&verdict.detail), ..verdict.clone() }).collect()
}
