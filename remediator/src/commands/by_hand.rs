//! `ossci-remediator hold`, `unhold`, `release`, `verify`, `repair`, `pause`, `resume`: what a
//! person changes by hand. Each says who and why, on the object, in the record and as an Event.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, Taint};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::api::request;
use crate::core::record::{Episode, Phase, Rung};
use crate::core::said::Said;
use crate::core::taint::TaintKey;
use crate::core::words::when;
use crate::wire::budget::{self, PAUSE, PAUSE_UNTIL, RESUMED_AT};
use crate::wire::node_repair::NodeRepair;
use crate::wire::slim_node::{self, CHANGED_BY, HOLD, HOLD_UNTIL, SlimNode, TaintNames, VERIFY};
use ossci_base::clock;

/// How often a change is tried that loses a race.
const TRIES: usize = 5;
/// How long `repair` waits for the controller to record a release.
const RECORDED: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(1);

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

#[derive(Debug, Clone, clap::Args)]
pub struct OfNode {
    node: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Hold {
    #[command(flatten)]
    of: OfNode,
    /// The controller ends the hold after this time: `90m`, `8h`, `3d`. Absent: it stays until
    /// `unhold`.
    #[arg(long = "for", value_parser = super::span)]
    span: Option<SignedDuration>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Repair {
    #[command(flatten)]
    of: OfNode,
    /// The rung that begins.
    #[arg(long, value_parser = ["reboot", "reimage"], default_value = "reboot")]
    from: String,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Verify {
    #[command(flatten)]
    of: OfNode,
    /// Returns at once, without the result.
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Pause {
    #[command(flatten)]
    change: Change,
    /// The controller ends the pause after this time: `90m`, `8h`, `3d`. Absent: it stays until
    /// `resume`.
    #[arg(long = "for", value_parser = super::span)]
    span: Option<SignedDuration>,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    change: Change,
    /// The brakes forget what was before now, too: a storm, and rungs that failed each time.
    #[arg(long)]
    brakes: bool,
}

fn reason(text: &str) -> Result<String, String> {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.is_empty() { Err("say why, for the person who reads it at night".to_owned()) } else { Ok(one_line) }
}

/// A change with its client and its author.
struct Hand {
    client: Client,
    said: Said,
    names: TaintNames,
    namespace: String,
}

impl Hand {
    /// `deed`: the command.
    async fn of(change: &Change, deed: &str) -> anyhow::Result<Self> {
        let client = change.cluster.client().await?;
        let who = match &change.by {
            Some(who) => who.clone(),
            None => user(&client).await?,
        };
        let said = Said { at: clock::now(), deed: deed.to_owned(), text: format!("{who}: {}", change.reason) };
        let names = TaintNames { prefix: change.taint_prefix.clone() };
        Ok(Self { client, said, names, namespace: change.cluster.namespace.clone() })
    }

    /// Reads a Node and writes what `edit` makes of it, until no other write comes between. `edit`
    /// returns a merge patch, or `None`: there is nothing to change.
    async fn change_node(
        &self,
        name: &str,
        edit: impl Fn(&SlimNode) -> anyhow::Result<Option<Value>>,
    ) -> anyhow::Result<Option<SlimNode>> {
        let nodes: Api<SlimNode> = Api::all(self.client.clone());
        for _ in 0..TRIES {
            let node = nodes.get_opt(name).await.context("it needs the verb get on nodes")?;
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
    async fn tell(&self, event: &str, of: &impl Resource<DynamicType = ()>) {
        let reporter = Reporter { controller: "ossci-remediator".to_owned(), instance: None };
        let event = Event {
            type_: EventType::Normal,
            reason: event.to_owned(),
            note: Some(self.said.text.clone()),
            action: event.to_owned(),
            secondary: None,
        };
        if let Err(error) = Recorder::new(self.client.clone(), reporter).publish(&event, &of.object_ref(&())).await {
            eprintln!("ossci-remediator: it is done, but its Event could not be written: {error}");
        }
    }

    async fn change_budget(&self, event: &str, annotations: Value) -> anyhow::Result<()> {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let patch = json!({ "metadata": { "annotations": annotations } });
        let written = maps.patch(budget::NAME, &PatchParams::default(), &Patch::Merge(patch)).await;
        let map = written.with_context(|| {
            format!("it needs the verb patch on the ConfigMap {} in the namespace {}", budget::NAME, self.namespace)
        })?;
        self.tell(event, &map).await;
        Ok(())
    }

    fn until(&self, span: Option<SignedDuration>) -> anyhow::Result<Option<Timestamp>> {
        span.map(|span| self.said.at.checked_add(span).context("that time is too far away")).transpose()
    }

    /// Removes those of our taints for which `ends` holds; `None`: there is none.
    async fn release(&self, name: &str, ends: fn(TaintKey) -> bool) -> anyhow::Result<Option<SlimNode>> {
        self.change_node(name, |node| {
            let others = without(node.taints(), &self.names, ends);
            Ok(others.map(|others| json!({"metadata": {}, "spec": {"taints": others}})))
        })
        .await
    }
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

fn lasts(until: Option<Timestamp>, end: &str) -> String {
    until.map_or(format!("until `{end}`"), |until| format!("until {}", when(until)))
}

/// Keeps us away from a node.
///
/// # Errors
/// The Node cannot be changed; so below.
pub async fn hold(arguments: &Hold, say: impl Fn(&str)) -> anyhow::Result<()> {
    let OfNode { node, change } = &arguments.of;
    let hand = Hand::of(change, "hold").await?;
    let until = hand.until(arguments.span)?;
    let annotations = json!({ HOLD: hand.said.text, HOLD_UNTIL: until.map(|until| format!("{until:.0}")) });
    let edit = |_: &SlimNode| Ok(Some(json!({ "metadata": { "annotations": annotations } })));
    if let Some(changed) = hand.change_node(node, edit).await? {
        hand.tell("Held", &changed).await;
    }
    say(&format!("{node} is on hold {}\n", lasts(until, &format!("ossci-remediator unhold {node}"))));
    Ok(())
}

/// Ends a hold.
pub async fn unhold(arguments: &OfNode, say: impl Fn(&str)) -> anyhow::Result<()> {
    let OfNode { node, change } = arguments;
    let hand = Hand::of(change, "unhold").await?;
    let edit = |node: &SlimNode| {
        let held = node.annotations().contains_key(HOLD);
        Ok(held.then(|| json!({ "metadata": { "annotations": { HOLD: null, HOLD_UNTIL: null } } })))
    };
    match hand.change_node(node, edit).await? {
        Some(changed) => {
            hand.tell("HoldEnded", &changed).await;
            say(&format!("{node} is no longer on hold\n"));
        }
        None => say(&format!("{node} was not on hold\n")),
    }
    Ok(())
}

/// Ends a repair, as removing its taint does.
pub async fn release(arguments: &OfNode, say: impl Fn(&str)) -> anyhow::Result<()> {
    let OfNode { node, change } = arguments;
    let hand = Hand::of(change, "release").await?;
    match hand.release(node, |_| true).await? {
        Some(changed) => {
            hand.tell("Released", &changed).await;
            say(&format!("{node} is released: alerts start nothing on it for the quiet time of the policy\n"));
        }
        None => say(&format!("{node} carries no taint of ours; ossci-remediator explain {node} says why\n")),
    }
    Ok(())
}

/// Begins a rung, as a person's taint does; releases the node first.
pub async fn repair(arguments: &Repair, say: impl Fn(&str)) -> anyhow::Result<()> {
    let OfNode { node, change } = &arguments.of;
    let mut hand = Hand::of(change, "release").await?;
    // A network that is slow stays so through a reboot.
    if hand.release(node, TaintKey::is_repair).await?.is_some() {
        say(&format!("{node} is released; waiting until the controller has recorded it\n"));
        recorded(&hand.client, node).await?;
    }
    hand.said = Said { at: clock::now(), deed: "repair".to_owned(), ..hand.said };
    let key = if arguments.from == Rung::Reimage.to_string() { Rung::Reimage.taint() } else { Rung::Reboot.taint() };
    let edit = |node: &SlimNode| {
        if slim_node::view(node, &hand.names).taints.iter().any(|key| key.is_repair()) {
            anyhow::bail!("another repair has just begun; ossci-remediator explain {} says why", node.name_any());
        }
        let mut taints = node.taints().to_vec();
        taints.push(hand.names.to_wire(key));
        Ok(Some(json!({"metadata": {}, "spec": {"taints": taints}})))
    };
    if let Some(changed) = hand.change_node(node, edit).await? {
        hand.tell("RepairRequested", &changed).await;
    }
    say(&format!("{node} carries {}: ossci-remediator explain {node} says what comes next\n", hand.names.spell(key)));
    Ok(())
}

/// Returns the open or last repair of a node.
async fn episode(client: &Client, node: &str) -> anyhow::Result<Option<Episode>> {
    let repair = Api::<NodeRepair>::all(client.clone()).get_opt(node).await;
    let repair = repair.context("it needs the verb get on noderepairs.ossci.amd.com")?;
    Ok(repair.and_then(|repair| repair.record().repair.episode))
}

/// Waits until no repair of the node is open.
async fn recorded(client: &Client, node: &str) -> anyhow::Result<()> {
    let begun = clock::monotonic();
    loop {
        if episode(client, node).await?.is_none_or(|episode| episode.phase.is_over()) {
            return Ok(());
        }
        anyhow::ensure!(
            clock::monotonic() - begun < RECORDED,
            "the controller has not recorded the release within {} s: ossci-remediator doctor says whether it works; \
             then run this again",
            RECORDED.as_secs()
        );
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Has a node proven that a person repaired; exit code 0: it is healthy and ours no longer, 1: the
/// proof failed, and it stays with the person.
pub async fn verify(arguments: &Verify, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let OfNode { node: name, change } = &arguments.of;
    let mut hand = Hand::of(change, "verify").await?;
    let before =
        episode(&hand.client, name).await?.filter(|before| before.phase == Phase::Escalated && before.taint.is_some());
    let Some(before) = before else {
        anyhow::bail!(
            "no person is asked for {name}: only a node in the phase Escalated is verified; ossci-remediator explain {name}"
        )
    };
    // Our clock may be behind the controller's: the request has to be younger than the phase.
    hand.said.at = hand.said.at.max(before.since.saturating_add(SignedDuration::from_millis(1))?);
    let edit = |node: &SlimNode| {
        let view = slim_node::view(node, &hand.names);
        anyhow::ensure!(view.ready, "{name} is not Ready: its checks would not mean that it can be used");
        Ok(Some(json!({ "metadata": { "annotations": { VERIFY: hand.said.written() } } })))
    };
    if let Some(changed) = hand.change_node(name, edit).await? {
        hand.tell("VerifyRequested", &changed).await;
    }
    if arguments.no_wait {
        say(&format!("{name} is being proven; ossci-remediator explain {name} says how it goes\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let begun = clock::monotonic();
    let mut printed = String::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = episode(&hand.client, name).await?.filter(|now| now.number == before.number);
        let now =
            now.with_context(|| format!("another repair of {name} has begun; ossci-remediator explain {name}"))?;
        let message = &now.why.message;
        if now.phase.is_over() {
            say(&format!("{name}: {}: {message}\n", now.phase));
            return Ok(if now.phase == Phase::Healed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if now.phase == Phase::Escalated && now.attempt > before.attempt {
            say(&format!("{name} stays with you: {}: {message}\n", now.why.why));
            return Ok(ExitCode::FAILURE);
        }
        let progress = format!("{name}: {}: {message}", now.phase);
        if progress != printed {
            eprintln!("{progress}");
            printed = progress;
        }
        anyhow::ensure!(
            now.phase != Phase::Escalated || clock::monotonic() - begun < RECORDED,
            "the controller has not begun the proof within {} s: ossci-remediator doctor says whether it works",
            RECORDED.as_secs()
        );
    }
}

/// Stops everything disruptive in the cluster.
pub async fn pause(arguments: &Pause, say: impl Fn(&str)) -> anyhow::Result<()> {
    let hand = Hand::of(&arguments.change, "pause").await?;
    let until = hand.until(arguments.span)?;
    let annotations = json!({ PAUSE: hand.said.text, PAUSE_UNTIL: until.map(|until| format!("{until:.0}")) });
    hand.change_budget("Paused", annotations).await?;
    say(&format!("nothing disruptive starts {}\n", lasts(until, "ossci-remediator resume")));
    Ok(())
}

/// Ends the pause.
pub async fn resume(arguments: &Resume, say: impl Fn(&str)) -> anyhow::Result<()> {
    let hand = Hand::of(&arguments.change, "resume").await?;
    let mut annotations = json!({ PAUSE: null, PAUSE_UNTIL: null });
    if arguments.brakes {
        annotations[RESUMED_AT] = json!(format!("{:.0}", hand.said.at));
    }
    hand.change_budget("Resumed", annotations).await?;
    say(if arguments.brakes { "the pause and the brakes are ended\n" } else { "the pause is ended\n" });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
