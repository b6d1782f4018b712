//! The last refused eviction of each node, to be shown to people. Decides nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last refused evictions, by node. Not persisted: a restart of the controller clears them.
#[derive(Debug, Default)]
pub struct Evictions(Mutex<HashMap<String, String>>);

impl Evictions {
    /// Returns why the node's last eviction was refused; `None` if it was not.
    pub fn refused(&self, node: &str) -> Option<String> {
        self.lock().get(node).cloned()
    }

    /// Stores the result of the node's last evictions; `None` clears the refusal.
    pub fn note(&self, node: &str, refused: Option<String>) {
        match refused {
            Some(refused) => drop(self.lock().insert(node.to_owned(), refused)),
            None => drop(self.lock().remove(node)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
