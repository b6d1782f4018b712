//! Publishes the queued Events, one after the other.

use kube::runtime::events::{Recorder, Reporter};

use crate::controller::state::events::EventQueue;

/// Runs until the queue is closed. An Event that the API server refuses is logged and dropped.
pub async fn follow(client: kube::Client, mut queue: EventQueue) -> anyhow::Result<()> {
    let reporter = Reporter { controller: "ossci-remediator".to_owned(), instance: None };
    let recorder = Recorder::new(client, reporter);
    while let Some((event, objects)) = queue.recv().await {
        for object in &objects {
            if let Err(error) = recorder.publish(&event, object).await {
                tracing::warn!(node = object.name, %error, "cannot publish an Event, it is dropped");
            }
        }
    }
    Ok(())
}
