//! Work queue: which node is reconciled next, and when. A wake-up carries a name and never data;
//! webhook, watch, timer and start all lead to the same reconcile. Two reconciles of one node never
//! overlap, and no node waits for another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::controller::context::Context;
use crate::controller::reconcile::node;
use crate::controller::state::wakes::Queue;
use ossci_base::clock;

/// Number of concurrent reconciles. Each has a few requests to the API server in flight at most.
const CONCURRENT: usize = 16;
/// Number of concurrent reconciles while complaints are being recorded: Alertmanager waits only
/// seconds for the answer to a delivery, and then repeats all of it.
const WHILE_RECEIVING: usize = 1;
/// A node is reconciled again after this time, even without a wake-up.
const AT_LATEST: Duration = Duration::from_secs(60);

/// What is due, what runs, and what was woken while it ran.
#[derive(Default)]
struct Agenda {
    due: BTreeMap<String, Instant>,
    running: BTreeSet<String>,
    again: BTreeSet<String>,
}

impl Agenda {
    fn wake(&mut self, node: String, now: Instant) {
        if self.running.contains(&node) {
            self.again.insert(node);
        } else {
            self.due.insert(node, now);
        }
    }

    /// `at_once`: the number of reconciles that may run.
    fn start(&mut self, now: Instant, at_once: usize) -> Option<String> {
        if self.running.len() >= at_once {
            return None;
        }
        let (node, _) = self.due.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at)?;
        let node = node.clone();
        self.due.remove(&node);
        self.running.insert(node.clone());
        Some(node)
    }

    /// `wait`: when to reconcile again; `None`: nothing is known of the node, so it leaves the
    /// queue.
    fn finish(&mut self, node: String, wait: Option<Duration>, now: Instant) {
        self.running.remove(&node);
        if self.again.remove(&node) {
            self.due.insert(node, now);
        } else if let Some(wait) = wait {
            self.due.insert(node, now + wait.min(AT_LATEST));
        }
    }

    fn next(&self, at_once: usize) -> Option<Instant> {
        if self.running.len() >= at_once { None } else { self.due.values().min().copied() }
    }
}

/// Reconciles the nodes of the queue until it is closed.
pub async fn dispatch(mut queue: Queue, context: Arc<Context>) -> anyhow::Result<()> {
    let mut agenda = Agenda::default();
    let mut turns = JoinSet::new();
    let mut receiving = context.receiving.subscribe();
    loop {
        let at_once = if *receiving.borrow_and_update() > 0 { WHILE_RECEIVING } else { CONCURRENT };
        while let Some(node) = agenda.start(clock::monotonic(), at_once) {
            let context = context.clone();
            turns.spawn(async move {
                let wait = node::reconcile(&context, &node).await;
                (node, wait)
            });
        }
        let timer = agenda.next(at_once).map(tokio::time::Instant::from_std);
        tokio::select! {
            woken = queue.0.recv() => match woken {
                Some(node) => agenda.wake(node, clock::monotonic()),
                None => return Ok(()),
            },
            Ok(()) = receiving.changed() => {}
            Some(done) = turns.join_next() => {
                let (node, wait) = done?;
                agenda.finish(node, wait, clock::monotonic());
            }
            () = async { match timer { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_woken_during_its_reconcile_is_reconciled_again() {
        let (mut agenda, now) = (Agenda::default(), clock::monotonic());
        agenda.wake("a".into(), now);
        assert_eq!(agenda.start(now, CONCURRENT), Some("a".into()));
        agenda.wake("a".into(), now);
        assert_eq!(agenda.start(now, CONCURRENT), None, "two reconciles of one node overlap");
        agenda.finish("a".into(), None, now);
        assert_eq!(agenda.start(now, CONCURRENT), Some("a".into()));
    }

    #[test]
    fn a_waiting_node_does_not_block_another() {
        let (mut agenda, now) = (Agenda::default(), clock::monotonic());
        agenda.wake("a".into(), now);
        agenda.start(now, CONCURRENT);
        agenda.finish("a".into(), Some(Duration::from_secs(30)), now);
        agenda.wake("b".into(), now);
        assert_eq!(agenda.start(now, CONCURRENT), Some("b".into()));
        assert_eq!(agenda.start(now, CONCURRENT), None);
        assert_eq!(agenda.start(now + Duration::from_secs(30), CONCURRENT), Some("a".into()));
    }
}
