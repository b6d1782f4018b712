//! `ossci-remediator hold`, `unhold`, `release`, `verify`, `repair`, `pause`, `resume`: what a
//! person changes by hand. Each says who and why, on the object, in the record and as an Event.

use std::process::ExitCode;

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

use super::hand::{Change, Hand, LOOK_EVERY, RECORDED};
use crate::core::record::{Phase, Rung};
use crate::core::said::Said;
use crate::core::taint::TaintKey;
use crate::core::words::when;
use crate::wire::budget::{PAUSE, PAUSE_UNTIL, RESUMED_AT};
use crate::wire::slim_node::{self, HOLD, HOLD_UNTIL, SlimNode, VERIFY};
use ossci_base::clock;

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
        hand.recorded(node).await?;
    }
    hand.said = Said { at: hand.cluster.now(), deed: "repair".to_owned(), ..hand.said };
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

/// Has a node proven that a person repaired; exit code 0: it is healthy and ours no longer, 1: the
/// proof failed, and it stays with the person.
pub async fn verify(arguments: &Verify, say: impl Fn(&str)) -> anyhow::Result<ExitCode> {
    let OfNode { node: name, change } = &arguments.of;
    let mut hand = Hand::of(change, "verify").await?;
    let before = hand.episode(name).await?.filter(|before| before.phase == Phase::Escalated && before.taint.is_some());
    let Some(before) = before else {
        anyhow::bail!(
            "no person is asked for {name}: only a node in the phase Escalated is verified; ossci-remediator explain {name}"
        )
    };
    // Two clocks never agree to the millisecond: the request has to be younger than the phase.
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
        let now = hand.episode(name).await?.filter(|now| now.number == before.number);
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
