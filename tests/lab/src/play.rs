//! Plays a story in a lab and judges the result.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use ossci_remediator::api::request;
use ossci_remediator::wire::node_repair::NodeRepair;
use serde_json::json;

use crate::audit::{Chronicle, NodeStory};
use crate::clock::{self, Stopwatch};
use crate::fault::Faults;
use crate::lab::Lab;
use crate::process::Program;
use crate::story::{Fact, Moment, Step, Story};
use crate::verdict::{self, POWER};
use crate::witness::Witness;
use crate::{environment, heard, letter, parts, wait};

/// Interval at which the player polls.
const LOOK_EVERY: Duration = Duration::from_millis(150);
/// Limit of a command of ours; `verify` waits for a proof.
const COMMAND: Duration = Duration::from_secs(120);

/// An observer of the story, such as the demo's table.
pub trait Audience {
    fn step(&mut self, line: &str, step: &Step);
    fn look(&mut self, chronicle: &Chronicle);
}

/// The result of a story.
#[derive(Debug)]
pub struct Outcome {
    /// The nodes' histories as text, for the golden file.
    pub told: String,
    /// Violated invariants.
    pub violations: Vec<String>,
    pub times: BTreeMap<String, Times>,
    /// The mails that the story asks for, by node, as `letter` tells them.
    pub letters: BTreeMap<String, String>,
}

/// The times of one node, as far as they have happened.
#[derive(Debug, Clone, Default)]
pub struct Times {
    pub broken: Option<Timestamp>,
    pub tainted: Option<Timestamp>,
    pub first_reboot: Option<Timestamp>,
    pub last_reboot: Option<Timestamp>,
    pub rest: Option<(Timestamp, String)>,
}

/// The point of a node's history that the story has reached.
#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    phases: usize,
    network: usize,
    taints: usize,
    /// The reason that the node had when the last awaited fact became true. A later one may pass
    /// between two looks.
    whys: usize,
}

struct Player<'a> {
    lab: &'a mut Lab,
    witness: Witness,
    audience: &'a mut dyn Audience,
    /// The story's nodes; those of earlier stories may still be busy.
    nodes: Vec<String>,
    cursors: BTreeMap<String, Cursor>,
    broken: BTreeMap<String, Timestamp>,
    /// The end of the third failed run of the first check with three strikes.
    struck: BTreeMap<String, Timestamp>,
    client: reqwest::Client,
}

pub async fn play(lab: &mut Lab, story: &Story, audience: &mut dyn Audience) -> Result<Outcome> {
    lab.begin(&story.name);
    let witness = Witness::new(&lab.facts)?;
    let mut player = Player {
        lab,
        witness,
        audience,
        nodes: story.nodes().into_iter().map(str::to_owned).collect(),
        cursors: BTreeMap::new(),
        broken: BTreeMap::new(),
        struck: BTreeMap::new(),
        client: parts::http()?,
    };
    for (line, step) in &story.steps {
        player.audience.step(line, step);
        player.step(step).await.with_context(|| format!("story {}: {line}", story.name))?;
    }
    if story.steps.iter().any(|(_, step)| matches!(step, Step::MailServer { .. })) {
        player.mail_server(None).await?;
    }
    player.judge(story).await
}

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            // Judged at the end of the story.
            Step::Say(_) | Step::Letter { .. } => {}
            Step::Nodes(names) => self.lab.add_nodes(names).await?,
            Step::Break { node, broken } => {
                let dir = self.lab.node_dir(node);
                dir.set_faults(&dir.faults()?.with(*broken))?;
                dir.show_bus()?;
                self.broken.insert(node.clone(), clock::now());
            }
            Step::Mend { node } => {
                let dir = self.lab.node_dir(node);
                dir.set_faults(&Faults::default())?;
                dir.show_bus()?;
            }
            Step::Install { node, tool } => {
                self.lab.node_dir(node).install(tool, &environment::our_program("ossci-lab")?)?;
            }
            Step::Await { node, fact, within } => self.awaited(node, fact, *within).await?,
            Step::Pod { name, node } => self.pod(name, node).await?,
            Step::Kill { app, node } => self.lab.kill(*app, node.as_deref()).await?,
            Step::Freeze { stop: true } => self.lab.freeze_leader().await?,
            Step::Freeze { stop: false } => self.lab.thaw()?,
            Step::FreezeAgent { node, stop } => self.lab.freeze_agent(node, *stop).await?,
            Step::Clock(seconds) => self.lab.set_clock(*seconds).await?,
            Step::Register { nodes } => {
                for node in nodes {
                    self.lab.register(node).await?;
                }
            }
            Step::Api { down } => self.lab.proxy.set_down(*down),
            Step::Power { nodes } => {
                let machines: Result<Vec<_>> = nodes.iter().map(|node| self.lab.machine(node)).collect();
                try_join_all(machines?.into_iter().map(|machine| machine.reboot(POWER))).await?;
            }
            Step::Kubectl(args) => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                self.lab.kubectl.run(&args).await?;
            }
            Step::Refused(args) => {
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                let said = self.lab.kubectl.run(&args).await;
                ensure!(said.is_err(), "the API server accepted it: {said:?}");
            }
            Step::Ossci { args, refused } => {
                let program = Program::new("ossci-remediator", environment::our_program("ossci-remediator")?);
                let program = program.args(args).env("KUBECONFIG", &self.lab.facts.kubeconfig);
                let ended = program.finish(COMMAND).await?.context("the command does not end")?;
                let said = format!("{}{}", ended.stdout, ended.stderr);
                ensure!(ended.status.success() != *refused, "{args:?}: {}: {said}", ended.status);
            }
            Step::MailServer { refuses } => self.mail_server(*refuses).await?,
            Step::Policy(yaml) => self.lab.change_policy(yaml).await?,
            Step::Quiet(time) => self.quiet(*time).await?,
            Step::AwaitRefusal(within) => self.another_refusal(*within).await?,
            Step::Routes(routes) => self.lab.alerting.route(*routes).await?,
            Step::KillReplica(name) => self.lab.alerting.kill(name).await?,
            Step::StartReplica(name) => self.lab.alerting.revive(name).await?,
            Step::Silence { node } => self.lab.alerting.silence(node).await?,
            Step::Unsilence { node } => self.lab.alerting.unsilence(node).await?,
            Step::Alert { node, labels } => self.lab.alerting.post(node, labels).await?,
            Step::Unheard { node } => {
                let heard = self.lab.alerting.tap.heard(node);
                ensure!(heard.is_empty(), "the webhook has received alerts of {node}: {heard:?}");
            }
            Step::Order { node, moments } => self.in_order(node, moments)?,
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<()> {
        self.witness.look().await?;
        self.audience.look(self.witness.so_far());
        Ok(())
    }

    async fn awaited(&mut self, node: &str, fact: &Fact, within: Duration) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            self.look().await?;
            if self.holds(node, fact).await? {
                return Ok(());
            }
            if watch.elapsed() > within {
                bail!("it did not happen within {} s; so far:\n{}", within.as_secs(), self.told(node)?);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the fact became true after the last fact that was awaited of this node.
    async fn holds(&mut self, node: &str, fact: &Fact) -> Result<bool> {
        if let Fact::PodGone(pod) = fact {
            let pods: Api<Pod> = Api::namespaced(self.lab.admin.clone(), "default");
            return Ok(request::found(pods.get(pod).await)?.is_none());
        }
        match fact {
            Fact::Mail => return Ok(!self.witness.mails_about(node).is_empty()),
            Fact::Reply => return Ok(!self.witness.replies_about(node).is_empty()),
            Fact::Says(words) => {
                let repair = request::found(Api::<NodeRepair>::all(self.lab.admin.clone()).get(node).await)?;
                let record = repair.map(|repair| repair.record());
                let episode = record.and_then(|record| record.repair.episode);
                return Ok(episode.is_some_and(|episode| episode.why.message.contains(words)));
            }
            Fact::Strikes(count) => return self.has_strikes(node, *count).await,
            Fact::Seen(count) => return self.lab.alerting.has_seen(node, *count).await,
            Fact::Alert(standing) => return self.lab.alerting.stands(node, *standing).await,
            Fact::Webhook { word, by_both } => {
                let needed = if *by_both { 2 } else { 1 };
                return Ok(heard::senders(&self.lab.alerting.tap.heard(node), *word) >= needed);
            }
            Fact::Ignored(reason) => {
                let counter = format!("ossci_remediator_webhook_alerts_total{{outcome=\"{reason}\"}} ");
                for replica in &self.lab.facts.remediator_metrics {
                    let page = parts::page(&self.client, &format!("http://{replica}/metrics")).await?;
                    if page.lines().any(|line| line.starts_with(&counter)) {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            _ => {}
        }
        let Some(story) = self.witness.so_far().node(node) else { return Ok(false) };
        let cursor = self.cursors.entry(node.to_owned()).or_default();
        let holds = match fact {
            Fact::Phase(phase) => {
                let seen = |changes: &[crate::audit::PhaseChange], from: &mut usize| {
                    let found = changes.iter().skip(*from).position(|change| change.phase == *phase);
                    found.map(|steps| *from += steps + 1).is_some()
                };
                seen(&story.phases, &mut cursor.phases) || seen(&story.network, &mut cursor.network)
            }
            Fact::Taint(key) => {
                let mut changes = story.taints.iter().skip(cursor.taints);
                let found = changes.position(|change| change.after.contains(key) && !change.before.contains(key));
                found.map(|steps| cursor.taints += steps + 1).is_some()
            }
            Fact::Why(why) => {
                let found = story.whys.iter().skip(cursor.whys).position(|seen| seen == why);
                found.map(|steps| cursor.whys += steps).is_some()
            }
            Fact::Order(kind) => story.orders.last().is_some_and(|order| order.kind == *kind),
            Fact::Agent(state) => story.agent == *state,
            Fact::NoTaint => story.taints_now().is_empty(),
            _ => false,
        };
        if holds && !matches!(fact, Fact::Why(_)) {
            cursor.whys = story.whys.len().saturating_sub(1);
        }
        Ok(holds)
    }

    /// Whether the highest number of strikes of any check is exactly `count`; stores the time of
    /// the third strike.
    async fn has_strikes(&mut self, node: &str, count: u32) -> Result<bool> {
        let strikes = self.lab.strikes(node).await?;
        let Some((most, last_run)) = strikes.into_iter().max_by_key(|(most, _)| *most) else { return Ok(false) };
        if most == 3 {
            self.struck.entry(node.to_owned()).or_insert(last_run);
        }
        Ok(most == count)
    }

    fn in_order(&self, node: &str, moments: &[Moment]) -> Result<()> {
        let heard = self.lab.alerting.tap.heard(node);
        let first = heard.first().context("the webhook has received nothing")?;
        let mut before: Option<(Moment, Timestamp)> = None;
        for moment in moments {
            let at = match moment {
                Moment::Strike => self.struck.get(node).copied(),
                Moment::Alert => Some(first.since),
                Moment::Webhook => Some(first.at),
                Moment::Taint => self.witness.so_far().node(node).and_then(|story| Some(story.taints.first()?.at)),
            };
            let at = at.with_context(|| format!("{moment:?} was not awaited before"))?;
            if let Some((earlier, time)) = before
                && at < time
            {
                bail!("{moment:?} happened at {at}, before {earlier:?} at {time}");
            }
            before = Some((*moment, at));
        }
        Ok(())
    }

    async fn another_refusal(&self, within: Duration) -> Result<()> {
        let refusals = async || -> Result<f64> {
            let page = self.lab.metrics_of_all().await?;
            let lines = page.lines().filter(|line| line.starts_with("ossci_remediator_mails_total{"));
            let refused = lines.filter(|line| line.contains("outcome=\"refused\""));
            Ok(refused.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
        };
        let before = refusals().await?;
        wait::until("another mail is refused", within, async || {
            ensure!(refusals().await? > before, "none was since");
            Ok(())
        })
        .await
    }

    async fn quiet(&mut self, time: Duration) -> Result<()> {
        self.look().await?;
        let names = self.nodes.clone();
        let count = |chronicle: &Chronicle| -> Vec<usize> {
            let changes =
                |story: &NodeStory| story.taints.len() + story.phases.len() + story.orders.len() + story.network.len();
            names.iter().map(|name| chronicle.node(name).map_or(0, changes)).collect()
        };
        let before = count(self.witness.so_far());
        let watch = Stopwatch::start();
        while watch.elapsed() < time {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look().await?;
            let after = count(self.witness.so_far());
            if let Some(at) = before.iter().zip(&after).position(|(before, after)| before != after) {
                bail!("something happened after {}; so far:\n{}", watch.read(), self.told(&names[at])?);
            }
        }
        Ok(())
    }

    /// Tells the mail server, by its own interface for such faults, what to answer to every sender.
    async fn mail_server(&self, refuses: Option<u16>) -> Result<()> {
        let url = format!("{}/api/v1/chaos", self.lab.facts.inbox);
        let sender =
            json!({ "ErrorCode": refuses.unwrap_or(451), "Probability": if refuses.is_some() { 100 } else { 0 } });
        let answer = self.client.put(url).json(&json!({ "Sender": sender })).send().await?;
        answer.error_for_status().context("telling the mail server what to refuse")?;
        Ok(())
    }

    /// Creates a foreign pod that runs on the node.
    async fn pod(&mut self, name: &str, node: &str) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.lab.admin.clone(), "default");
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1,
                     "containers": [{"name": "main", "image": "somebody/training:1"}]},
        }))?;
        pods.create(&PostParams::default(), &pod).await.context("creating the pod")?;
        Ok(())
    }

    fn told(&self, node: &str) -> Result<String> {
        let chronicle = self.witness.whole();
        let story = chronicle.node(node).cloned().unwrap_or_default();
        let mails: Vec<String> = self.witness.mails_about(node).iter().map(|mail| mail.subject.clone()).collect();
        Ok(verdict::told(node, &story, &self.lab.node_dir(node).boot_ends()?, &mails))
    }

    async fn judge(mut self, story: &Story) -> Result<Outcome> {
        self.look().await?;
        let chronicle = self.witness.whole();
        let mut outcome =
            Outcome { told: String::new(), violations: Vec::new(), times: BTreeMap::new(), letters: BTreeMap::new() };
        for (_, step) in &story.steps {
            if let Step::Letter { node } = step {
                let mails = self.witness.mails_about(node);
                let mail = mails.first().with_context(|| format!("no mail names {node}"))?;
                outcome.letters.insert(node.clone(), letter::told(&mail.raw)?);
            }
        }
        outcome.violations.extend(verdict::crowds(&chronicle, &story.nodes(), story.budget_percent()));
        let nothing = NodeStory::default();
        for name in story.nodes() {
            let node = chronicle.node(name).unwrap_or(&nothing);
            let boots = self.lab.node_dir(name).boot_ends()?;
            outcome.violations.extend(verdict::violations(name, node, &boots));
            outcome.told.push_str(&self.told(name)?);
            if story.tells_the_way() {
                let heard = heard::told(&self.lab.alerting.tap.heard(name));
                let heard = if heard.is_empty() { "nothing".to_owned() } else { heard };
                outcome.told.push_str(&format!("  webhook: {heard}\n  complaints: {}\n", node.complaints.len()));
            }
            let times = Times {
                broken: self.broken.get(name).copied(),
                tainted: node.taints.iter().find(|change| change.before.is_empty()).map(|change| change.at),
                first_reboot: boots.iter().find(|boot| boot.by != POWER).map(|boot| boot.at),
                last_reboot: boots.iter().rfind(|boot| boot.by != POWER).map(|boot| boot.at),
                rest: [&node.phases, &node.network]
                    .into_iter()
                    .find_map(|changes| changes.last())
                    .map(|last| (last.at, last.phase.clone())),
            };
            outcome.times.insert(name.to_owned(), times);
        }
        Ok(outcome)
    }
}
