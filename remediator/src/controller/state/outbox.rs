//! The outbox of this process, which reconciles and notices fill and the sender empties. Decides
//! nothing.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::core::outbox;
use crate::core::outbox::{Accepted, Answer, Due, Next, Refusal, Standing};
use ossci_base::clock;

/// The mails that are due. Not persisted: the records are.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Mutex<outbox::Outbox>,
    /// Something was posted, or the waits ended.
    changed: Notify,
}

impl Outbox {
    /// Adds a mail unless it is known; returns what is known of it.
    pub fn post(&self, due: Due) -> Answer {
        let answer = self.lock().post(due, clock::monotonic());
        self.changed.notify_one();
        answer
    }

    /// Removes a mail that its record does not want any more.
    pub fn withdraw(&self, message_id: &str) {
        self.lock().withdraw(message_id);
    }

    /// Removes the notice of this key.
    pub fn withdraw_notice(&self, about: &str) {
        self.lock().withdraw_notice(about);
    }

    /// Forgets everything: another replica leads.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Ends all waits: the policy has changed.
    pub fn try_now(&self) {
        self.lock().try_now();
        self.changed.notify_one();
    }

    /// Returns what to send now, or how long to wait.
    pub fn next(&self) -> Next {
        self.lock().next(clock::monotonic())
    }

    /// Records what the server answered; returns whether that is news to any node.
    pub fn answered(&self, mails: &[Due], answer: &Result<Accepted, Refusal>) -> bool {
        let (mut queue, at) = (self.lock(), clock::monotonic());
        match answer {
            Ok(accepted) => {
                queue.accepted(mails, accepted, at);
                true
            }
            Err(refusal) => queue.refused(mails, refusal, at),
        }
    }

    /// Returns the mails that no server has accepted.
    pub fn waiting(&self) -> Vec<Due> {
        self.lock().waiting().cloned().collect()
    }

    pub fn standing(&self) -> Standing {
        self.lock().standing()
    }

    /// Waits until something was posted or the waits ended; at most this long.
    pub async fn changed(&self, at_most: Duration) {
        // Both ends are the same to the sender: it looks again.
        let _ = tokio::time::timeout(at_most, self.changed.notified()).await;
    }

    fn lock(&self) -> MutexGuard<'_, outbox::Outbox> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
