//! The queue of Kubernetes Events: a reconcile appends, and never waits for the API server.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::Event;
use tokio::sync::mpsc;

/// Capacity of the queue. When it is full, an Event is dropped: the record contains the same
/// information.
const QUEUED: usize = 4096;

/// An Event, and the objects that it is published on.
pub type QueuedEvent = (Event, Vec<ObjectReference>);

/// The receiving end of the queue.
pub type EventQueue = mpsc::Receiver<QueuedEvent>;

/// The sending end of the queue.
#[derive(Debug)]
pub struct Events(mpsc::Sender<QueuedEvent>);

impl Events {
    pub fn new() -> (Self, EventQueue) {
        let (sender, receiver) = mpsc::channel(QUEUED);
        (Self(sender), receiver)
    }

    /// Appends an Event; `false` when the queue is full and the Event is dropped.
    pub fn push(&self, event: Event, objects: Vec<ObjectReference>) -> bool {
        self.0.try_send((event, objects)).is_ok()
    }
}
