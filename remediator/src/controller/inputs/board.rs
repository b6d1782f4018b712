//! Writer of the complaint boards in the NodeRepairs, for the webhook and for the poll of
//! Alertmanager. It must not report success before the complaint is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, ListParams, ObjectMeta};
use serde_json::json;
use tokio::sync::watch;

use crate::api::records;
use crate::api::request;
use crate::controller::context::Context;
use crate::controller::state::fleet::{Board, Fleet};
use crate::controller::state::wakes::Wakes;
use crate::core::complaints;
use crate::core::record::Complaint;
use crate::metrics::{Metrics, Outcome};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::SlimNode;

/// Number of nodes whose complaints are written concurrently.
const CONCURRENT: usize = 8;
/// Up to this number, unknown node names are looked up one by one. Above it, one list of all node
/// names is cheaper: a delivery of thousands of alerts about nodes that do not exist would
/// otherwise time out, and so would each retry.
const ASKED_SINGLY: usize = 16;

/// Writes complaints into the records of their nodes.
pub struct Boards<'a> {
    client: &'a kube::Client,
    fleet: &'a Fleet,
    wakes: &'a Wakes,
    metrics: &'a Metrics,
    receiving: &'a watch::Sender<usize>,
}

impl<'a> Boards<'a> {
    pub fn of(context: &'a Context) -> Self {
        let Context { client, fleet, wakes, metrics, receiving, .. } = context;
        Self { client, fleet, wakes, metrics, receiving }
    }
}

impl Boards<'_> {
    /// Makes complaints durable, node by node; returns for how many nodes that failed.
    ///
    /// Complaints that are already recorded are skipped, so a retry continues where the last
    /// delivery timed out. An alert whose `seen` on record is older than `repeat` is written again,
    /// after the others and within `refreshing`; the next poll repeats the ones that are left.
    pub async fn record_all(
        &self,
        complaints: BTreeMap<String, Vec<Complaint>>,
        repeat: Duration,
        refreshing: Duration,
    ) -> usize {
        let is_news = |node: &str, complaints: &[Complaint], again| {
            complaints.iter().any(|complaint| self.fleet.is_news(node, complaint, again))
        };
        let (mut complaints, mut again): (BTreeMap<_, _>, BTreeMap<_, _>) =
            complaints.into_iter().partition(|(node, complaints)| is_news(node, complaints, Duration::MAX));
        again.retain(|node, complaints| is_news(node, complaints, repeat));
        let _receiving = Receiving::begin(self.receiving);
        let unseen: BTreeSet<String> = complaints.keys().filter(|node| !self.fleet.knows(node)).cloned().collect();
        let mut lost = 0;
        if unseen.len() > ASKED_SINGLY {
            match self.names().await {
                Ok(names) => self.ignore_unknown(&unseen, &names, &mut complaints),
                Err(error) => {
                    tracing::error!(%error, "cannot list the nodes, alerts about nodes that the watch has not shown are not recorded yet");
                    lost += unseen.len();
                    complaints.retain(|node, _| !unseen.contains(node));
                }
            }
        }
        lost += self.write_all(complaints).await;
        lost + tokio::time::timeout(refreshing, self.write_all(again)).await.unwrap_or_default()
    }

    /// Makes complaints durable; returns for how many nodes that failed.
    async fn write_all(&self, complaints: BTreeMap<String, Vec<Complaint>>) -> usize {
        let writes = futures::stream::iter(complaints)
            .map(|(node, complaints)| self.complain(node, complaints))
            .buffer_unordered(CONCURRENT)
            .filter(|durable| std::future::ready(!durable));
        writes.count().await
    }

    /// Lists the names of all nodes.
    async fn names(&self) -> Result<BTreeSet<String>, kube::Error> {
        let nodes: Api<SlimNode> = Api::all(self.client.clone());
        let list = nodes.list_metadata(&ListParams::default()).await?;
        Ok(list.items.into_iter().filter_map(|node| node.metadata.name).collect())
    }

    /// Removes the complaints about nodes that do not exist; logs and counts them.
    fn ignore_unknown(
        &self,
        unseen: &BTreeSet<String>,
        names: &BTreeSet<String>,
        complaints: &mut BTreeMap<String, Vec<Complaint>>,
    ) {
        let unknown: Vec<&String> = unseen.difference(names).collect();
        let Some(first) = unknown.first() else { return };
        tracing::warn!(nodes = unknown.len(), first_node = first, "alerts ignored, the nodes do not exist");
        for node in unknown {
            complaints.remove(node);
            self.count_unknown();
        }
    }

    fn count_unknown(&self) {
        let outcome = Outcome { outcome: "no such node".to_owned() };
        self.metrics.webhook_alerts.get_or_create_owned(&outcome).inc();
    }

    /// Makes the complaints of one node durable; returns `false` if that failed. Complaints about a
    /// node that does not exist are ignored, which is no failure.
    pub async fn complain(&self, node: String, complaints: Vec<Complaint>) -> bool {
        match self.write(&node, &complaints).await {
            Ok(true) => {
                self.wakes.wake(&node);
                true
            }
            Ok(false) => {
                tracing::warn!(node, "alerts ignored, the node does not exist");
                self.count_unknown();
                true
            }
            Err(error) => {
                tracing::error!(node, %error, "alerts not recorded, Alertmanager sends them again");
                false
            }
        }
    }

    /// Retries the guarded write until it succeeds; the caller limits the time. Returns `Ok(false)`
    /// if there is no such node.
    async fn write(&self, name: &str, complaints: &[Complaint]) -> Result<bool, kube::Error> {
        let repairs: Api<NodeRepair> = Api::all(self.client.clone());
        // Try the cached board first: if it is stale, the API server rejects the write.
        let mut known = self.fleet.board(name);
        if known.is_none() && self.fleet.is_first_complaint(name) {
            known = Some(board(&records::create(&repairs, name).await?));
        }
        let mut fresh = false;
        loop {
            let before = match known.take() {
                Some(known) => known,
                None => match self.read(&repairs, name).await? {
                    Some(repair) => {
                        fresh = true;
                        board(&repair)
                    }
                    None => return Ok(false),
                },
            };
            let after = complaints::receive(&before.complaints, complaints.iter().cloned());
            if after == before.complaints {
                if fresh {
                    return Ok(true);
                }
                continue;
            }
            let read = ObjectMeta { resource_version: before.version, uid: before.uid, ..ObjectMeta::default() };
            let patch = json!({ "metadata": request::guard(&read), "status": { "complaints": after } });
            match records::status(&repairs, name, patch).await {
                Ok(repair) => {
                    self.fleet.saw_record(&repair);
                    return Ok(true);
                }
                Err(error) if request::lost_race(&error) || (request::not_found(&error) && !fresh) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the record; creates it if the Node exists without one.
    async fn read(&self, repairs: &Api<NodeRepair>, name: &str) -> Result<Option<NodeRepair>, kube::Error> {
        if let Some(repair) = request::found(repairs.get(name).await)? {
            return Ok(Some(repair));
        }
        let nodes: Api<SlimNode> = Api::all(self.client.clone());
        match request::found(nodes.get_metadata(name).await)? {
            Some(_) => records::create(repairs, name).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Counts as one delivery in progress until it is dropped.
struct Receiving<'a>(&'a watch::Sender<usize>);

impl<'a> Receiving<'a> {
    fn begin(deliveries: &'a watch::Sender<usize>) -> Self {
        deliveries.send_modify(|count| *count += 1);
        Self(deliveries)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

fn board(repair: &NodeRepair) -> Board {
    Board { uid: repair.uid(), version: repair.resource_version(), complaints: repair.record().complaints }
}

#[cfg(test)]
mod tests {
    use ossci_base::clock;
    use serde_json::Value;

    use super::*;
    use crate::controller::testing::{ApiServer, controller, deliver, put_complaint, put_node};
    use crate::core::record::Ask;

    const POLICY: &str = "pools: [{name: gpu, nodeSelector: {gpu: \"true\"}}]";

    fn complaint(fingerprint: &str) -> Complaint {
        let now = clock::now();
        Complaint {
            fingerprint: fingerprint.into(),
            ask: Ask::Reboot,
            check: "rocm-smi".into(),
            since: now,
            seen: now,
            firing: true,
            summary: "three strikes".into(),
            labels: BTreeMap::new(),
            labels_cut: false,
            generator_url: None,
            external_url: None,
            runbook_url: None,
        }
    }

    async fn record(context: &Context, node: &str, fingerprint: &str) -> usize {
        let complaints = BTreeMap::from([(node.to_owned(), vec![complaint(fingerprint)])]);
        Boards::of(context).record_all(complaints, Duration::from_secs(300), Duration::from_secs(5)).await
    }

    fn fingerprints(record: &Value) -> Vec<&str> {
        let board = record["status"]["complaints"].as_array();
        board.into_iter().flatten().filter_map(|complaint| complaint["fingerprint"].as_str()).collect()
    }

    #[tokio::test]
    async fn the_first_complaint_creates_the_record_and_a_second_is_added() {
        let api = ApiServer::default();
        let context = controller(&api, POLICY);
        put_node(&api, "n1", &[]);
        deliver(&api, &context);
        assert_eq!(record(&context, "n1", "a").await, 0);
        assert_eq!(record(&context, "n1", "b").await, 0);
        assert_eq!(fingerprints(&api.record("n1")), ["a", "b"]);
    }

    #[tokio::test]
    async fn a_complaint_about_an_unknown_node_is_ignored_and_counted() {
        let api = ApiServer::default();
        let context = controller(&api, POLICY);
        deliver(&api, &context);
        assert_eq!(record(&context, "nowhere", "a").await, 0);
        assert_eq!(api.record("nowhere"), Value::Null);
        let counted = context.metrics.webhook_alerts.get_or_create_owned(&Outcome { outcome: "no such node".into() });
        assert_eq!(counted.get(), 1);
    }

    #[tokio::test]
    async fn a_write_over_a_stale_board_is_repeated_and_loses_nothing() {
        let api = ApiServer::default();
        let context = controller(&api, POLICY);
        put_node(&api, "n1", &[]);
        put_complaint(&api, "n1", "reboot");
        deliver(&api, &context);
        // The other replica recorded an alert that this replica's watch has not delivered yet.
        let mut other = api.record("n1");
        let mut second = other["status"]["complaints"][0].clone();
        second["fingerprint"] = json!("f2");
        other["status"]["complaints"].as_array_mut().unwrap().push(second);
        api.put("/apis/ossci.amd.com/v1alpha1/noderepairs/n1", other);
        assert_eq!(record(&context, "n1", "f3").await, 0);
        assert_eq!(fingerprints(&api.record("n1")), ["f1", "f2", "f3"]);
    }
}
