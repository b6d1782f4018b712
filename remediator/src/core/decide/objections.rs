//! The reasons that keep a repair from starting or continuing: marks on the node, silences, the
//! pool's mode, the site's gates.

use super::moment::Moment;
use super::transitions::named;
use crate::core::observation::{NodeView, PodView};
use crate::core::policy::{DrainMode, Mode, Pool};
use crate::core::record::{Episode, Phase, Rung};
use crate::core::taint::TaintState;
use crate::core::why::{Reason, Why};

/// Returns the reason why nothing disruptive may start: a mark on the node, a silence, or a gate.
pub(super) fn hands_off(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    if let Some(why) = marked(moment, node) {
        return Some(why);
    }
    if silenced(moment, episode) {
        return Some(Reason::new(Why::Silenced, "every alert behind this repair is silenced"));
    }
    moment.seen.halt.clone()
}

/// Returns the mark by which a person keeps the node from being drained, rebooted or reimaged.
pub(super) fn marked(moment: Moment, node: &NodeView) -> Option<Reason> {
    if let Some(text) = &node.hold {
        return Some(Reason::new(Why::OnHold, format!("a person put the node on hold: {text}")));
    }
    let repairs_cordoned = moment.pool(node).is_some_and(|pool| pool.repair_cordoned);
    if node.cordoned && !repairs_cordoned {
        return Some(Reason::new(Why::Cordoned, "the node is cordoned"));
    }
    let mark = moment.policy.maintenance.on(node)?;
    Some(Reason::new(Why::UnderMaintenance, format!("the node carries {mark}, a mark of maintenance")))
}

/// Whether all complaints of this episode are silenced. A repair that a person began does not
/// depend on alerts.
fn silenced(moment: Moment, episode: &Episode) -> bool {
    let mut behind = moment.record.behind(episode).peekable();
    !episode.by_person()
        && behind.peek().is_some()
        && behind.all(|complaint| moment.seen.silenced.contains(&complaint.fingerprint))
}

/// Returns the reason to call off a rung that has begun, while nothing of it is irreversible.
pub(super) fn called_off(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    hands_off(moment, episode, node).or_else(|| disallowed(moment, episode, node)).or_else(|| pods_kept(moment, node))
}

/// Returns the reason to wait for pods that an eviction would lose, if the pool keeps them. On a
/// node that is not Ready they are lost already.
fn pods_kept(moment: Moment, node: &NodeView) -> Option<Reason> {
    let keeps = node.ready && moment.pool(node).is_some_and(|pool| pool.keep_bare_pods);
    let lost = |pod: &&PodView| pod.bare || pod.local_data;
    let pods: Vec<_> = moment.seen.pods.iter().filter(lost).filter(|_| keeps).cloned().collect();
    (!pods.is_empty())
        .then(|| Reason::new(Why::PodsKept, format!("the pool keeps pods that a drain would lose: {}", named(&pods))))
}

/// Returns what the pool's mode forbids although the rung has begun: the policy was changed
/// meanwhile.
fn disallowed(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    let pool = moment.pool(node);
    untouched(pool, episode).or_else(|| match (pool?.mode, episode.rung) {
        (Mode::Observe | Mode::Taint, _) => pool.map(only_tainted),
        (Mode::Reboot, Rung::Reimage) => pool.map(not_reimaged),
        (Mode::Reboot | Mode::Reimage, _) => None,
    })
}

/// Returns the reason to leave the node alone: its pool is in mode observe, or no pool selects it.
pub(super) fn untouched(pool: Option<&Pool>, episode: &Episode) -> Option<Reason> {
    let Some(pool) = pool else {
        return Some(Reason::new(Why::NotManaged, "no pool of the policy selects this node"));
    };
    let text = || {
        let taint = episode.rung.taint();
        format!("pool {} is in mode observe; otherwise the node would get the taint {taint}", pool.name)
    };
    (pool.mode == Mode::Observe).then(|| Reason::new(Why::ObserveOnly, text()))
}

pub(super) fn only_tainted(pool: &Pool) -> Reason {
    Reason::new(Why::ModeTaintOnly, format!("pool {} is in mode taint", pool.name))
}

pub(super) fn not_reimaged(pool: &Pool) -> Reason {
    Reason::new(Why::ModeStopsHere, format!("the mode of pool {} allows no reimage", pool.name))
}

/// Whether the episode needs a budget slot: it is disruptive, or about to be.
pub(super) fn needs_place(moment: Moment, episode: &Episode, node: &NodeView) -> bool {
    match episode.phase {
        _ if episode.is_disruptive() => true,
        Phase::Waiting => {
            let mode = moment.pool(node).map(|pool| pool.mode);
            let allowed = match episode.rung {
                Rung::Reboot => mode >= Some(Mode::Reboot),
                Rung::Reimage => mode >= Some(Mode::Reimage),
                Rung::Manual => false,
            };
            let tainted = episode.taint.is_some_and(|taint| taint.state == TaintState::Confirmed);
            // Between two rungs the episode keeps its budget slot.
            let moving = episode.taint.is_some_and(|taint| taint.replaces.is_some());
            allowed
                && (tainted || moving)
                && hands_off(moment, episode, node).is_none()
                && pods_first(moment, episode, node).is_none()
        }
        _ => false,
    }
}

/// Returns the reason to wait for pods of the node before anything is done to it.
pub(super) fn pods_first(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    jobs(moment, episode, node).or_else(|| pods_kept(moment, node))
}

/// Returns the reason to wait for pods that end by themselves, if the pool allows it.
/// Meanwhile no budget slot is taken.
fn jobs(moment: Moment, episode: &Episode, node: &NodeView) -> Option<Reason> {
    let waits = moment.pool(node).is_some_and(|pool| pool.drain == DrainMode::WaitForJobs);
    let ends = episode.started_at.saturating_add(moment.policy.times.jobs).unwrap_or(episode.started_at);
    let pods: Vec<_> = moment.seen.pods.iter().filter(|pod| pod.ends).cloned().collect();
    (waits && moment.now < ends && !pods.is_empty())
        .then(|| Reason::new(Why::WaitingForJobs, format!("{} may finish by itself before {ends:.0}", named(&pods))))
}
