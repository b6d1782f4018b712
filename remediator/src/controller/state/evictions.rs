//! The last refusal of an eviction on each node, for people; forgotten when this process ends.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What refused the last evictions, by node: for people, and only while this process lives.
#[derive(Debug, Default)]
pub struct Evictions(Mutex<HashMap<String, String>>);

impl Evictions {
    pub fn refused(&self, node: &str) -> Option<String> {
        self.lock().get(node).cloned()
    }

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
