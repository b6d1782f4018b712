//! The order loop, one order at a time: check every guard, carry it out, write the outcome. An
//! order that cannot be called back or takes long is read again first, and `Running` is written,
//! guarded by that reading. The agent stores no state of its own: the record and the boot ID show
//! where it is.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::core::DeserializeGuard;
use tokio::sync::watch;

use super::capture::{self, Captured};
use super::evidence::{Evidence, REIMAGE, Section};
use super::guards::{Moment, Next};
use super::host::{Host, ScriptKind, ScriptOutcome};
use super::process::{HostError, TRY_LATER};
use super::request::{WorkError, api};
use super::{Config, guards, keep, prove, report};
use crate::api::{request, scripts};
use crate::core::observation::NodeView;
use crate::core::record::{AgentState, Episode, Order, OrderKind, Releases, Script};
use crate::metrics::AgentMetrics;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};
use ossci_base::clock;

const AFTER_ERROR: Duration = Duration::from_secs(2);
/// Limit of storing a script's output: its outcome is more important.
const KEEPS_OUTPUT: Duration = Duration::from_secs(10);
/// How often a reboot is asked for that an inhibitor lock holds off.
const WHILE_INHIBITED: Duration = Duration::from_secs(20);
/// Longest reserve between a script's time limit and the order's deadline, to record the outcome.
const SCRIPT_ENDS: Duration = Duration::from_secs(60);

pub struct Worker<H> {
    pub client: kube::Client,
    pub config: Config,
    pub names: TaintNames,
    pub metrics: Arc<AgentMetrics>,
    pub host: Arc<H>,
}

/// The record as it was when its latest order came; `None` without an order.
pub type Latest = watch::Receiver<Option<Arc<NodeRepair>>>;

/// Returns the id of the order in a record.
pub fn order_id(record: Option<&NodeRepair>) -> Option<&str> {
    record?.spec.order.as_ref().map(|order| order.id.as_str())
}

/// Whether `Running` is written before the order begins: it cannot be called back, or takes long.
/// Such an order is read again, from the API server itself.
fn is_announced(order: &Order) -> bool {
    order.kind.is_disruptive() || order.script().is_some()
}

/// Returns the limit of an orderly shutdown: half of the time until the new boot has to be there.
/// The other half is for the boot.
fn shutdown_time(left: Duration) -> Duration {
    left / 2
}

/// Returns the limit of a script: its outcome, even after a kill, has to be recorded by the
/// deadline.
fn script_time(left: Duration) -> Duration {
    left - SCRIPT_ENDS.min(left / 4)
}

impl<H: Host> Worker<H> {
    pub async fn work(&self, mut latest: Latest) -> anyhow::Result<()> {
        // After an error the record may have our report.
        let mut reads = false;
        loop {
            let ordered = latest.borrow_and_update().is_some();
            match if ordered { self.take(&mut latest, std::mem::replace(&mut reads, true)).await } else { Ok(()) } {
                Ok(()) => reads = false,
                // The record was changed in between: check the guards again on the new reading.
                Err(WorkError::Api { source, .. }) if request::lost_race(&source) => continue,
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "order not completed, retrying");
                    let inhibited = matches!(error, WorkError::Host(HostError::Inhibited { .. }));
                    tokio::time::sleep(if inhibited { WHILE_INHIBITED } else { AFTER_ERROR }).await;
                    continue;
                }
            }
            if latest.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn take(&self, latest: &mut Latest, reads: bool) -> Result<(), WorkError> {
        let name = &self.config.node_name;
        let repairs: Api<NodeRepair> = Api::all(self.client.clone());
        let watched = latest.borrow().clone();
        let announces = |repair: &&NodeRepair| repair.spec.order.as_ref().is_some_and(is_announced);
        let repair = match watched.as_deref().filter(|repair| !reads && !announces(repair)) {
            Some(repair) => repair.clone(),
            None => match self.record().await? {
                Some(repair) => repair,
                None => return Ok(()),
            },
        };
        let record = repair.record();
        let Some(order) = record.order.clone() else { return Ok(()) };
        let boot_id = self.host.boot_id()?;
        let report = record.report_on(&order.id);
        let begins = report.is_none_or(|report| report.state == AgentState::Inhibited);
        // What a person marks on the Node matters before a disruptive order begins.
        let view = if begins && order.kind.is_disruptive() { Some(self.node().await?) } else { None };
        let asked = record.repair.episode.as_ref().and_then(Episode::order_id);
        let moment = Moment {
            order: &order,
            asked: asked.as_deref(),
            report,
            boot_id: &boot_id,
            hold: view.as_ref().and_then(|node| node.hold.as_deref()),
            repair_taint: view.as_ref().is_some_and(|node| node.taints.iter().any(|key| key.is_repair())),
            now: clock::now(),
        };
        let next = guards::next(&moment);
        let (node, metrics) = (name.clone(), self.metrics.clone());
        let (id, kind, crash_kernel) = (order.id.clone(), order.kind, self.host.crash_kernel());
        let reporter = report::Reporter { repairs, metrics, node, order: id, kind, boot_id, crash_kernel };
        match next {
            Next::Nothing => Ok(()),
            Next::Settle(state, message) => reporter.settle(state, message).await,
            Next::Refuse(message) => {
                tracing::warn!(order = order.id, message, "order refused");
                reporter.settle(AgentState::Refused, &message).await
            }
            Next::Start { announced } => {
                let script = match order.script() {
                    // A reimage that runs already is not started again.
                    Some(_) if order.kind == OrderKind::Reimage && announced => None,
                    Some(script) => Some(self.script(script).await?),
                    None => None,
                };
                if let (OrderKind::Reimage, Some(Err(message))) = (order.kind, &script) {
                    return reporter.settle(AgentState::Failed, message).await;
                }
                if !announced && is_announced(&order) {
                    reporter.running(&repair).await?;
                }
                tracing::info!(order = order.id, kind = %order.kind, "order running");
                self.carry_out(&order, script, &reporter, latest).await
            }
        }
    }

    /// Reads the record; `None`: there is none, or it cannot be parsed.
    async fn record(&self) -> Result<Option<NodeRepair>, WorkError> {
        let guarded: Api<DeserializeGuard<NodeRepair>> = Api::all(self.client.clone());
        let read = request::found(guarded.get(&self.config.node_name).await).map_err(api("reading the record"))?;
        let Some(DeserializeGuard(read)) = read else { return Ok(None) };
        let unreadable = |invalid: kube::core::error_boundary::InvalidObject| {
            tracing::error!(error = invalid.error, "cannot parse the record, its order is not carried out");
        };
        Ok(read.map_err(unreadable).ok())
    }

    async fn node(&self) -> Result<NodeView, WorkError> {
        let nodes: Api<SlimNode> = Api::all(self.client.clone());
        let node = nodes.get(&self.config.node_name).await.map_err(api("reading the node"))?;
        Ok(slim_node::view(&node, &self.names))
    }

    async fn carry_out(
        &self,
        order: &Order,
        script: Option<Result<String, String>>,
        reporter: &report::Reporter,
        latest: &mut Latest,
    ) -> Result<(), WorkError> {
        match order.kind {
            OrderKind::Reboot => match self.host.reboot(&order.id, shutdown_time(clock::until(order.deadline))).await {
                // The shutdown ends this process; the agent of the next boot reports the order as
                // done.
                Ok(()) => Ok(()),
                // It is unknown whether the host accepted it. The order keeps running, and is
                // repeated until its deadline.
                Err(error) if error.may_be_done() => Err(error.into()),
                Err(error @ HostError::Inhibited { .. }) => {
                    reporter.settle(AgentState::Inhibited, &error.to_string()).await?;
                    Err(error.into())
                }
                Err(error) => reporter.settle(AgentState::Failed, &error.whole()).await,
            },
            OrderKind::Capture => match unless_withdrawn(latest, &order.id, self.capture(order)).await {
                Some((captured, map)) => reporter.captured(captured, map).await,
                None => Ok(()),
            },
            OrderKind::Reimage => {
                let (state, message, output) = self.reimage(order, script.and_then(Result::ok)).await?;
                let evidence = self.keep_output(order, output).await;
                reporter.reimaged(state, &message, evidence).await
            }
            OrderKind::Prove => {
                let Some(terms) = &order.proof else {
                    return reporter.settle(AgentState::Refused, "the order has no terms of proof").await;
                };
                let boot_id = self.host.boot_id()?;
                let (socket, key) = (&self.config.exporter_socket, order.key());
                let load_test = script.unwrap_or_else(|| Err("the order names no script".to_owned()));
                let proving = prove::prove(socket, &*self.host, (terms, &load_test), order.deadline, (&key, &boot_id));
                match unless_withdrawn(latest, &order.id, proving).await {
                    Some(outcome) => reporter.proven(&outcome).await,
                    // The node may be in use again.
                    None if terms.load_test.is_some() => Ok(self.host.end_script(&key).await?),
                    None => Ok(()),
                }
            }
        }
    }

    /// Captures the evidence and stores it, with two thirds of the time for the capture. Also
    /// returns the name of the ConfigMap.
    async fn capture(&self, order: &Order) -> (Captured, Option<String>) {
        let left = clock::until(order.deadline);
        let mut captured = capture::capture(&self.config.exporter_socket, &*self.host, left * 2 / 3).await;
        let (config, key) = (&self.config, order.key());
        let on_node = keep::on_node(&config.state_dir, &key, captured.evidence.clone());
        let in_cluster = keep::in_cluster(&self.client, &config.namespace, &config.node_name, &key, &captured.evidence);
        // The evidence has to be recorded before the controller continues without it.
        let time = clock::until(order.deadline).saturating_sub(left / 10);
        let (file, made) = tokio::join!(tokio::time::timeout(time, on_node), tokio::time::timeout(time, in_cluster));
        capture::had("a file on the node", file, &mut captured.missing);
        let made = made.map(|made| made.map_err(|error| format!("{error:#}")));
        let map = capture::had("a ConfigMap", made, &mut captured.missing);
        (captured, map)
    }

    /// Returns the text of an order's script, or one sentence why it is not run.
    async fn script(&self, script: &Script) -> Result<Result<String, String>, WorkError> {
        Ok(match scripts::read(&self.client, &self.config.namespace, script).await {
            Ok(read) => scripts::as_ordered(read, script),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                Err(format!("the agent may not read ConfigMap {}: see deploy/rbac.yaml", script.config_map))
            }
            Err(error) => return Err(api("reading the script of the order")(error)),
        })
    }

    /// Starts the script, or waits for the end of one that was started before.
    /// Also returns its output.
    async fn reimage(&self, order: &Order, script: Option<String>) -> Result<(AgentState, String, String), WorkError> {
        let key = order.key();
        if let Some(text) = script {
            let seconds = script_time(clock::until(order.deadline)).as_secs().max(1);
            let settings = order.releases.as_ref().map(Releases::settings).unwrap_or_default();
            match self.host.start_script(ScriptKind::Reimage, &key, &text, &settings, seconds).await {
                Ok(()) => {}
                // It is unknown whether the script was started: the next look at the host shows it.
                Err(error) if error.may_be_done() => return Err(error.into()),
                Err(error) => return Ok((AgentState::Failed, error.whole(), String::new())),
            }
        }
        let Some(outcome) = self.host.script_ended(&key).await? else {
            return Ok((AgentState::Interrupted, "the reimage was interrupted".to_owned(), String::new()));
        };
        let ScriptOutcome { exit_status, too_long, tail, output } = outcome;
        let (state, message) = match exit_status {
            _ if too_long => (AgentState::Failed, format!("the script did not end by its deadline: {tail}")),
            Some(0) => (AgentState::Done, tail),
            Some(TRY_LATER) => {
                (AgentState::Postponed, format!("the script changed nothing and asks for another try: {tail}"))
            }
            // A shell's status for a killed process. Within the time limit only the kernel kills
            // it, for memory.
            Some(137) => (
                AgentState::Failed,
                format!("the script was killed, most likely because it used too much memory: {tail}"),
            ),
            status => {
                let status = status.map_or("an unknown status".to_owned(), |it| format!("status {it}"));
                (AgentState::Failed, format!("the script exited with {status}: {tail}"))
            }
        };
        Ok((state, message, output))
    }

    /// Stores the output of a script in the cluster, because the node may be lost. Returns the name
    /// of the ConfigMap.
    async fn keep_output(&self, order: &Order, output: String) -> Option<String> {
        if output.is_empty() {
            return None;
        }
        let (config, key) = (&self.config, order.key());
        let evidence = Evidence::of(vec![Section { name: REIMAGE, said: Ok(output) }]);
        let kept = keep::in_cluster(&self.client, &config.namespace, &config.node_name, &key, &evidence);
        match tokio::time::timeout(KEEPS_OUTPUT, kept).await {
            Ok(Ok(map)) => Some(map),
            Ok(Err(error)) => {
                tracing::warn!(order = order.id, error = format!("{error:#}"), "cannot store the output of the script");
                None
            }
            Err(_) => None,
        }
    }
}

/// Returns the result of `work`; `None` if the record's order was replaced or removed before.
async fn unless_withdrawn<T>(latest: &mut Latest, id: &str, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = withdrawn(latest, id) => {
            tracing::info!(order = id, "order withdrawn");
            None
        }
    }
}

/// Resolves when the record's order is another one, or none.
async fn withdrawn(latest: &mut Latest, id: &str) {
    // A closed channel means that the agent is stopping, which ends this wait as well.
    let _ = latest.wait_for(|record| order_id(record.as_deref()) != Some(id)).await;
    latest.mark_changed();
}
