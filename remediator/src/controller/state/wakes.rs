//! The queue of nodes to reconcile. A wake-up carries a name and never data.

use tokio::sync::mpsc;

/// The end at which names are put in.
#[derive(Debug, Clone)]
pub struct Wakes(mpsc::UnboundedSender<String>);

impl Wakes {
    pub fn wake(&self, node: &str) {
        // The other end is gone only when the process ends.
        let _ = self.0.send(node.to_owned());
    }
}

/// The end at which names come out.
#[derive(Debug)]
pub struct Queue(pub mpsc::UnboundedReceiver<String>);

pub fn queue() -> (Wakes, Queue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Wakes(sender), Queue(receiver))
}
