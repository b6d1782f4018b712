//! A change that a person makes by hand, with who and why: on the Node or the budget, and as an
//! Event.

use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Taint};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use serde_json::{Value, json};

use super::cluster::{Cluster, Connected};
use crate::api::request;
use crate::core::record::Episode;
use crate::core::said::Said;
use crate::core::taint::TaintKey;
use crate::wire::budget;
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{CHANGED_BY, SlimNode, TaintNames};
use ossci_base::clock;

/// How often a change is tried that loses a race.
const TRIES: usize = 5;
/// How long the controller may take to record what a person did.
pub const RECORDED: Duration = Duration::from_secs(60);
/// How long the API server may be away while a command waits.
const AWAY: Duration = Duration::from_secs(60);
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who changes what, and why.
#[derive(Debug, Clone, clap::Args)]
pub struct Change {
    #[command(flatten)]
    cluster: Cluster,
    /// Why; it stands in the record, in Events and in `explain`.
    #[arg(short, long, value_parser = reason)]
    reason: String,
    /// Who. Absent: the user that the API server knows.
    #[arg(long)]
    by: Option<String>,
    /// The DNS prefix of the taints, as `taintPrefix` of the policy says.
    #[arg(long, env = "OSSCI_TAINT_PREFIX")]
    taint_prefix: Option<String>,
}

fn reason(text: &str) -> Result<String, String> {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.is_empty() { Err("say why, for the person who reads it at night".to_owned()) } else { Ok(one_line) }
}

/// A change with its client and its author.
pub struct Hand {
    pub cluster: Connected,
    pub said: Said,
    pub names: TaintNames,
    namespace: String,
}

impl Hand {
    /// `deed`: the command.
    pub async fn of(change: &Change, deed: &str) -> anyhow::Result<Self> {
        let cluster = change.cluster.connect().await?;
        let who = match &change.by {
            Some(who) => who.clone(),
            None => user(&cluster.client).await?,
        };
        let said = Said { at: cluster.now(), deed: deed.to_owned(), text: format!("{who}: {}", change.reason) };
        let names = TaintNames { prefix: change.taint_prefix.clone() };
        Ok(Self { cluster, said, names, namespace: change.cluster.namespace.clone() })
    }

    /// Reads a Node and writes what `edit` makes of it, until no other write comes between. `edit`
    /// returns a merge patch, or `None`: there is nothing to change.
    pub async fn change_node(
        &self,
        name: &str,
        edit: impl Fn(&SlimNode) -> anyhow::Result<Option<Value>>,
    ) -> anyhow::Result<Option<SlimNode>> {
        let nodes: Api<SlimNode> = Api::all(self.cluster.client.clone());
        for _ in 0..TRIES {
            let node = request::found(nodes.get(name).await).context("it needs the verb get on nodes")?;
            let node = node.with_context(|| format!("there is no Node {name}; kubectl get nodes lists them"))?;
            let Some(mut patch) = edit(&node)? else { return Ok(None) };
            patch["metadata"]["resourceVersion"] = json!(node.metadata.resource_version);
            patch["metadata"]["annotations"][CHANGED_BY] = json!(self.said.written());
            match nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(node) => return Ok(Some(node)),
                Err(error) if request::lost_race(&error) => {}
                Err(error) => return Err(error).context("it needs the verb patch on nodes"),
            }
        }
        anyhow::bail!("the Node {name} changes all the time; run it again")
    }

    /// Writes an Event. Without the permission a sentence says so, and the change stands.
    pub async fn tell(&self, event: &str, of: &impl Resource<DynamicType = ()>) {
        let reporter = Reporter { controller: "ossci-remediator".to_owned(), instance: None };
        let event = Event {
            type_: EventType::Normal,
            reason: event.to_owned(),
            note: Some(self.said.text.clone()),
            action: event.to_owned(),
            secondary: None,
        };
        if let Err(error) =
            Recorder::new(self.cluster.client.clone(), reporter).publish(&event, &of.object_ref(&())).await
        {
            eprintln!("ossci-remediator: it is done, but its Event could not be written: {error}");
        }
    }

    pub async fn change_budget(&self, event: &str, annotations: Value) -> anyhow::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        let patch = json!({ "metadata": { "annotations": annotations } });
        let written = maps.patch(budget::NAME, &PatchParams::default(), &Patch::Merge(patch)).await;
        let map = written.with_context(|| {
            format!("it needs the verb patch on the ConfigMap {} in the namespace {}", budget::NAME, self.namespace)
        })?;
        self.tell(event, &map).await;
        Ok(())
    }

    pub fn until(&self, span: Option<SignedDuration>) -> anyhow::Result<Option<Timestamp>> {
        span.map(|span| self.said.at.checked_add(span).context("that time is too far away")).transpose()
    }

    /// Removes those of our taints for which `ends` holds; `None`: there is none.
    pub async fn release(&self, name: &str, ends: fn(TaintKey) -> bool) -> anyhow::Result<Option<SlimNode>> {
        self.change_node(name, |node| {
            let others = without(node.taints(), &self.names, ends);
            Ok(others.map(|others| json!({"metadata": {}, "spec": {"taints": others}})))
        })
        .await
    }

    /// Returns the open or last repair of a node. An API server that is away for a moment is asked
    /// again.
    pub async fn episode(&self, node: &str) -> anyhow::Result<Option<Episode>> {
        let repairs: Api<NodeRepair> = Api::all(self.cluster.client.clone());
        let begun = clock::monotonic();
        loop {
            match request::found(repairs.get(node).await) {
                Ok(repair) => return Ok(repair.and_then(|repair| repair.record().repair.episode)),
                Err(error) if refused(&error) || begun.elapsed() > AWAY => {
                    return Err(error).context("it needs the verb get on noderepairs.ossci.amd.com");
                }
                Err(error) => eprintln!("ossci-remediator: {error}; still waiting"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until no repair of the node is open.
    pub async fn recorded(&self, node: &str) -> anyhow::Result<()> {
        let begun = clock::monotonic();
        while self.episode(node).await?.is_some_and(|episode| !episode.phase.is_over()) {
            anyhow::ensure!(
                begun.elapsed() < RECORDED,
                "the controller has not recorded the release within {} s: ossci-remediator doctor says whether it \
                 works; then run this again",
                RECORDED.as_secs()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// Whether the API server said no, rather than nothing.
fn refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429)
}

/// Returns the taints without those of ours for which `ends` holds; `None`: there is none of them.
fn without<'a>(taints: &'a [Taint], names: &TaintNames, ends: fn(TaintKey) -> bool) -> Option<Vec<&'a Taint>> {
    let stays = |taint: &&Taint| !names.read(taint).is_some_and(ends);
    let others: Vec<_> = taints.iter().filter(stays).collect();
    (others.len() < taints.len()).then_some(others)
}

async fn user(client: &Client) -> anyhow::Result<String> {
    let review: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = review.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let answer = answer.context("asking the API server who you are; name yourself with --by")?;
    let user = answer.status.and_then(|status| status.user_info).and_then(|user| user.username);
    user.context("the API server does not know your name; use --by")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::record::Rung;

    #[test]
    fn a_repair_by_hand_leaves_a_slow_network_and_the_taints_of_others() {
        let names = TaintNames { prefix: None };
        let other = Taint { key: "site.example/gpu".to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        let slow = names.to_wire(TaintKey::SlowNetwork);
        let taints = [other.clone(), slow.clone(), names.to_wire(Rung::Manual.taint())];
        assert_eq!(without(&taints, &names, TaintKey::is_repair), Some(vec![&other, &slow]));
        assert_eq!(without(&taints, &names, |_| true), Some(vec![&other]));
        assert_eq!(without(&taints[..2], &names, TaintKey::is_repair), None);
        assert_eq!(without(&taints[..1], &names, |_| true), None);
    }
}
