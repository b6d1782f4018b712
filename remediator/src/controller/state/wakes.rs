//! The queue of nodes to reconcile. A wake-up carries a name and never data.

use tokio::sync::mpsc;

/// The sending end of the queue.
#[derive(Debug, Clone)]
pub struct Wakes(mpsc::UnboundedSender<String>);

impl Wakes {
    /// Queues a reconcile of the node.
    pub fn wake(&self, node: &str) {
        // Sending fails only when the process exits.
        let _ = self.0.send(node.to_owned());
    }
}

/// The receiving end of the queue.
#[derive(Debug)]
pub struct Queue(pub mpsc::UnboundedReceiver<String>);

pub fn queue() -> (Wakes, Queue) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Wakes(sender), Queue(receiver))
}
