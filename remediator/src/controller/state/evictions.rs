//! The evictions of each node that were not accepted, to be shown to people. Decides nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The answers to the last evictions that were not accepted, by pod.
type Refused = BTreeMap<String, String>;

/// The last refused evictions, by node. Not persisted: a restart of the controller clears them.
#[derive(Debug, Default)]
pub struct Evictions(Mutex<HashMap<String, Refused>>);

impl Evictions {
    /// Returns why the node's last evictions were not accepted, by pod.
    pub fn refused(&self, node: &str) -> Refused {
        self.lock().get(node).cloned().unwrap_or_default()
    }

    /// Stores the result of the node's last evictions; an empty one clears it.
    pub fn note(&self, node: &str, refused: Refused) {
        if refused.is_empty() {
            self.lock().remove(node);
        } else {
            self.lock().insert(node.to_owned(), refused);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Refused>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
