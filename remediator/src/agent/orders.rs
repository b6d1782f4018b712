//! One order at a time: read it afresh, check every guard, write `Running` over exactly that reading, carry it out, write
//! what came of it. The agent keeps no state of its own: the record and the boot id say where it is.

use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::core::DeserializeGuard;
use tokio::sync::watch;

use super::capture::{self, Captured};
use super::host::{Host, HostError};
use super::{Config, keep, prove, report};
use crate::clock;
use crate::core::record::{AgentReport, AgentState, Episode, Order, OrderKind, Proof, Verdict};
use crate::kube_client;
use crate::metrics::AgentMetrics;
use crate::reimage_script;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, SlimNode, TaintNames};

const AFTER_ERROR: Duration = Duration::from_secs(2);
/// From the end of a script's time until that is on record, at the most.
const SCRIPT_ENDS: Duration = Duration::from_secs(60);

pub struct Worker<H> {
    pub client: kube::Client,
    pub config: Config,
    pub names: TaintNames,
    pub metrics: Arc<AgentMetrics>,
    pub host: Arc<H>,
}

/// Why an order was not carried on with just now; it is looked at again.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("{what}")]
    Api { what: &'static str, source: kube::Error },
    #[error(transparent)]
    Host(#[from] HostError),
}

pub fn api(what: &'static str) -> impl FnOnce(kube::Error) -> WorkError {
    move |source| WorkError::Api { what, source }
}

/// What is to be done with an order as it was just read. Pure: the guards, in one place.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It is over, or there is none.
    Nothing,
    /// It was running; now say what came of it.
    Settle(AgentState, &'static str),
    Refuse(String),
    /// Start it. `announced`: `Running` is on record already.
    Start {
        announced: bool,
    },
}

/// What the agent knows when it takes up an order.
pub struct Moment<'a> {
    pub order: &'a Order,
    /// The report on this very order, if any.
    pub report: Option<&'a AgentReport>,
    pub boot_id: &'a str,
    /// The Node, read live.
    pub hold: Option<&'a str>,
    pub repair_taint: bool,
    /// The order that the same reading of the record has its repair stand for. A disruptive order that it stands for no longer was
    /// called back, and is withdrawn by the controller's next write.
    pub asked: Option<&'a str>,
    pub now: jiff::Timestamp,
}

pub fn next(moment: &Moment) -> Next {
    let Moment { order, report, boot_id, .. } = moment;
    let same_boot = order.boot_id == *boot_id;
    let running = match report.map(|report| report.state) {
        Some(AgentState::Running) => true,
        Some(_) => return Next::Nothing,
        None => false,
    };
    match (order.kind, running) {
        (OrderKind::Reboot, true) if !same_boot => return Next::Settle(AgentState::Done, "the boot ended"),
        // What was asked for in time and did not come is another's to decide about: nothing starts after the deadline.
        (OrderKind::Reboot, true) if moment.now > order.deadline => {
            return Next::Settle(AgentState::Failed, "this boot did not end by the order's deadline");
        }
        // Asking for the end of a boot that still runs is the same request again: it ends once.
        (OrderKind::Reboot, true) => return Next::Start { announced: true },
        // Another process of this agent began it, on this boot or another: the host knows what became of it.
        (OrderKind::Reimage | OrderKind::Prove | OrderKind::Capture, true) => return Next::Start { announced: true },
        (_, false) => {}
    }
    if moment.now > order.deadline {
        return Next::Refuse("the order is past its deadline".to_owned());
    }
    if !order.kind.is_disruptive() {
        return Next::Start { announced: false };
    }
    if !same_boot {
        return Next::Refuse(format!("the order is for boot {}, this is {boot_id}", order.boot_id));
    }
    if moment.asked != Some(order.id.as_str()) {
        return Next::Refuse("the record's repair does not ask for it, or no longer".to_owned());
    }
    if let Some(text) = moment.hold {
        return Next::Refuse(format!("a person said hands off: {text}"));
    }
    if !moment.repair_taint {
        return Next::Refuse("the node carries no repair taint".to_owned());
    }
    Next::Start { announced: false }
}

/// How long an orderly shutdown may take: half of the time until the new boot has to be there. The other half is the boot's.
fn shutdown_time(left: Duration) -> Duration {
    left / 2
}

/// How long a script may take: what came of it, its end by force too, has to be on record by the deadline.
fn script_time(left: Duration) -> Duration {
    left - SCRIPT_ENDS.min(left / 4)
}

impl<H: Host> Worker<H> {
    pub async fn work(&self, mut latest: watch::Receiver<Option<String>>) -> anyhow::Result<()> {
        loop {
            let ordered = latest.borrow_and_update().is_some();
            match if ordered { self.take(&mut latest).await } else { Ok(()) } {
                Ok(()) => {}
                // Somebody wrote the record in between: the guards are checked again on the new reading.
                Err(WorkError::Api { source, .. }) if kube_client::lost_race(&source) => continue,
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, source, "the order is taken up again");
                    tokio::time::sleep(AFTER_ERROR).await;
                    continue;
                }
            }
            if latest.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    async fn take(&self, latest: &mut watch::Receiver<Option<String>>) -> Result<(), WorkError> {
        let name = &self.config.node_name;
        let repairs: Api<NodeRepair> = Api::all(self.client.clone());
        let guarded: Api<DeserializeGuard<NodeRepair>> = Api::all(self.client.clone());
        let read = guarded.get_opt(name).await.map_err(api("reading the record"))?;
        let Some(DeserializeGuard(read)) = read else { return Ok(()) };
        let repair = match read {
            Ok(repair) => repair,
            Err(invalid) => {
                tracing::error!(error = invalid.error, "the record cannot be read; nothing in it is carried out");
                return Ok(());
            }
        };
        let record = repair.record();
        let Some(order) = record.order.clone() else { return Ok(()) };
        let boot_id = self.host.boot_id()?;
        let node: SlimNode = Api::all(self.client.clone()).get(name).await.map_err(api("reading the node"))?;
        let view = slim_node::view(&node, &self.names);
        let asked = record.repair.episode.as_ref().and_then(Episode::order_id);
        let moment = Moment {
            order: &order,
            asked: asked.as_deref(),
            report: record.report_on(&order.id),
            boot_id: &boot_id,
            hold: view.hold.as_deref(),
            repair_taint: view.taints.iter().any(|key| key.is_repair()),
            now: clock::now(),
        };
        let next = next(&moment);
        let (node, metrics) = (name.clone(), self.metrics.clone());
        let reporter = report::Reporter { repairs, metrics, node, order: order.id.clone(), kind: order.kind, boot_id };
        match next {
            Next::Nothing => Ok(()),
            Next::Settle(state, message) => reporter.settle(state, message).await,
            Next::Refuse(message) => {
                tracing::warn!(order = order.id, message, "order refused");
                reporter.settle(AgentState::Refused, &message).await
            }
            Next::Start { announced } => {
                let script = match order.kind {
                    OrderKind::Reimage if !announced => match self.script(&order).await? {
                        Ok(text) => Some(text),
                        Err(message) => return reporter.settle(AgentState::Failed, &message).await,
                    },
                    _ => None,
                };
                if !announced {
                    reporter.running(&repair).await?;
                }
                tracing::info!(order = order.id, kind = %order.kind, "order running");
                self.carry_out(&order, script, &reporter, latest).await
            }
        }
    }

    async fn carry_out(
        &self,
        order: &Order,
        script: Option<String>,
        reporter: &report::Reporter,
        latest: &mut watch::Receiver<Option<String>>,
    ) -> Result<(), WorkError> {
        match order.kind {
            OrderKind::Reboot => match self.host.reboot(&order.id, shutdown_time(clock::until(order.deadline))).await {
                // The shutdown ends this process; the next boot's agent says that it is done.
                Ok(()) => Ok(()),
                // Nobody knows whether it was taken. It runs until its deadline, and is asked for again until then.
                Err(error @ HostError::TooLong { .. }) => Err(error.into()),
                Err(error) => reporter.settle(AgentState::Failed, &error.whole()).await,
            },
            OrderKind::Capture => match unless_withdrawn(latest, &order.id, self.capture(order)).await {
                Some((captured, map)) => reporter.captured(captured, map).await,
                None => Ok(()),
            },
            OrderKind::Reimage => {
                let (state, message) = self.reimage(order, script).await?;
                reporter.settle(state, &message).await
            }
            OrderKind::Prove => {
                let Some(terms) = &order.proof else {
                    return reporter.settle(AgentState::Refused, "the order does not say what to prove").await;
                };
                let boot_id = self.host.boot_id()?;
                let (socket, key) = (&self.config.exporter_socket, order.key());
                let proving = prove::prove(socket, &*self.host, terms, order.deadline, (&key, &boot_id));
                match unless_withdrawn(latest, &order.id, proving).await {
                    Some(outcome) => reporter.proven(&outcome).await,
                    // The node may be somebody's again.
                    None if terms.load_test.is_some() => Ok(self.host.end_load_test(&key).await?),
                    None => Ok(()),
                }
            }
        }
    }

    /// Two thirds of the time for what there is to say, the rest for keeping it; and the ConfigMap that holds the rest.
    async fn capture(&self, order: &Order) -> (Captured, Option<String>) {
        let left = clock::until(order.deadline);
        let mut captured = capture::capture(&self.config.exporter_socket, &*self.host, left * 2 / 3).await;
        let (config, key) = (&self.config, order.key());
        let on_node = keep::on_node(&config.state_dir, &key, captured.evidence.clone());
        let in_cluster = keep::in_cluster(&self.client, &config.namespace, &config.node_name, &key, &captured.evidence);
        // What was gathered has to be on record when the controller goes on without it.
        let time = clock::until(order.deadline).saturating_sub(left / 10);
        let (file, made) = tokio::join!(tokio::time::timeout(time, on_node), tokio::time::timeout(time, in_cluster));
        capture::had("a file on the node", file, &mut captured.missing);
        let made = made.map(|made| made.map_err(|error| format!("{error:#}")));
        let map = capture::had("a ConfigMap", made, &mut captured.missing);
        (captured, map)
    }

    /// The script that an order means, or in one sentence why it is not run.
    async fn script(&self, order: &Order) -> Result<Result<String, String>, WorkError> {
        let Some(script) = &order.script else {
            return Ok(Err("the order names no script".to_owned()));
        };
        let read = reimage_script::read(&self.client, &self.config.namespace, &script.config_map, &script.key).await;
        Ok(match read {
            Ok(read) => reimage_script::as_ordered(read, script),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                Err(format!("the agent may not read ConfigMap {}: see deploy/rbac.yaml", script.config_map))
            }
            Err(error) => return Err(api("reading the reimage script")(error)),
        })
    }

    /// Begins the script, or waits for the end of one that was begun before.
    async fn reimage(&self, order: &Order, script: Option<String>) -> Result<(AgentState, String), WorkError> {
        let key = order.key();
        if let Some(text) = script {
            let seconds = script_time(clock::until(order.deadline)).as_secs().max(1);
            match self.host.start_script(&key, &text, seconds).await {
                Ok(()) => {}
                // Nobody knows whether it was begun: the next look at the host tells.
                Err(error @ HostError::TooLong { .. }) => return Err(error.into()),
                Err(error) => return Ok((AgentState::Failed, error.whole())),
            }
        }
        Ok(match self.host.script_ended(&key).await? {
            None => (AgentState::Interrupted, "the reimage was interrupted".to_owned()),
            Some(outcome) if outcome.too_long => {
                (AgentState::Failed, format!("the script did not end by its deadline: {}", outcome.tail))
            }
            Some(outcome) if outcome.exit_status == Some(0) => (AgentState::Done, outcome.tail),
            // What a shell says of a process that was killed; within its time only the kernel does that, for memory.
            Some(outcome) if outcome.exit_status == Some(137) => (
                AgentState::Failed,
                format!("the script was killed, most likely for the memory that it took: {}", outcome.tail),
            ),
            Some(outcome) => {
                let status = outcome.exit_status.map_or("an unknown status".to_owned(), |it| format!("status {it}"));
                (AgentState::Failed, format!("the script ended with {status}: {}", outcome.tail))
            }
        })
    }
}

/// What came of it; `None`: before that the record's order became another one, or none.
async fn unless_withdrawn<T>(
    latest: &mut watch::Receiver<Option<String>>,
    id: &str,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = withdrawn(latest, id) => {
            tracing::info!(order = id, "the order was withdrawn");
            None
        }
    }
}

/// Resolves when the record's order is another one, or none.
async fn withdrawn(latest: &mut watch::Receiver<Option<String>>, id: &str) {
    // A sender that is gone means that the agent is stopping; that ends this wait as well.
    let _ = latest.wait_for(|order| order.as_deref() != Some(id)).await;
    latest.mark_changed();
}

/// What a proof came to.
pub struct Proven {
    pub proof: Proof,
    pub message: String,
    pub verdicts: Vec<Verdict>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::word::ClosedWord;
    use jiff::Timestamp;

    const BOOT: &str = "boot-1";

    fn order(kind: OrderKind, boot_id: &str) -> Order {
        Order {
            id: "1".into(),
            kind,
            boot_id: boot_id.into(),
            issued_at: Timestamp::UNIX_EPOCH,
            deadline: Timestamp::from_second(100).unwrap(),
            proof: None,
            script: None,
        }
    }

    fn report(state: AgentState) -> AgentReport {
        AgentReport::plain("1".into(), BOOT.into(), state, Timestamp::UNIX_EPOCH, String::new())
    }

    fn check(order: &Order, report: Option<AgentState>, change: impl FnOnce(&mut Moment)) -> Next {
        let report = report.map(self::report);
        let now = Timestamp::from_second(10).unwrap();
        let (report, asked) = (report.as_ref(), Some("1"));
        let mut moment = Moment { order, report, boot_id: BOOT, hold: None, repair_taint: true, asked, now };
        change(&mut moment);
        next(&moment)
    }

    fn refused(next: Next) -> bool {
        matches!(next, Next::Refuse(_))
    }

    #[test]
    fn an_order_that_is_over_is_never_begun_again() {
        for &kind in OrderKind::ALL {
            for &state in AgentState::ALL.iter().filter(|state| state.is_over()) {
                assert_eq!(check(&order(kind, BOOT), Some(state), |_| {}), Next::Nothing, "{kind} {state}");
                assert_eq!(check(&order(kind, "boot-0"), Some(state), |_| {}), Next::Nothing, "{kind} {state}");
            }
        }
    }

    #[test]
    fn a_reboot_ends_the_boot_it_names_and_no_other() {
        let other = order(OrderKind::Reboot, "boot-0");
        assert!(refused(check(&other, None, |_| {})));
        assert_eq!(check(&other, Some(AgentState::Running), |_| {}), Next::Settle(AgentState::Done, "the boot ended"));
        assert_eq!(check(&order(OrderKind::Reboot, BOOT), None, |_| {}), Next::Start { announced: false });
    }

    #[test]
    fn a_reboot_that_was_begun_is_asked_for_again_until_its_deadline_and_not_after_it() {
        let order = order(OrderKind::Reboot, BOOT);
        let running = Some(AgentState::Running);
        assert_eq!(check(&order, running, |_| {}), Next::Start { announced: true });
        let late = check(&order, running, |moment| moment.now = Timestamp::from_second(101).unwrap());
        assert!(matches!(late, Next::Settle(AgentState::Failed, _)), "{late:?}");
    }

    #[test]
    fn a_disruptive_order_is_refused_on_a_hold_without_the_taint_and_past_its_deadline() {
        for kind in [OrderKind::Reboot, OrderKind::Reimage] {
            let order = order(kind, BOOT);
            assert!(refused(check(&order, None, |moment| moment.hold = Some("a person works here"))));
            assert!(refused(check(&order, None, |moment| moment.repair_taint = false)));
            assert!(refused(check(&order, None, |moment| moment.asked = None)));
            assert!(refused(check(&order, None, |moment| moment.asked = Some("2"))));
            assert!(refused(check(&order, None, |moment| moment.now = Timestamp::from_second(101).unwrap())));
        }
    }

    #[test]
    fn a_reimage_that_was_under_way_is_waited_for_and_not_begun_again() {
        for boot in [BOOT, "boot-0"] {
            let next = check(&order(OrderKind::Reimage, boot), Some(AgentState::Running), |_| {});
            assert_eq!(next, Next::Start { announced: true });
        }
    }
}
