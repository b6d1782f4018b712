//! Blocking file-system calls with a timeout of 2 s and at most one in flight, so that a hung file
//! system costs one thread, not one per call. Knows no particular call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Timeout of a call.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// One kind of call.
#[derive(Debug)]
pub struct Errand<T>(Mutex<Option<JoinHandle<T>>>);

impl<T> Default for Errand<T> {
    fn default() -> Errand<T> {
        Errand(Mutex::new(None))
    }
}

impl<T: Send + 'static> Errand<T> {
    /// Returns the result of the call. `None` if it times out, or if an earlier call is still in
    /// flight.
    pub async fn ask(&self, question: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        if self.out().as_ref().is_some_and(|earlier| !earlier.is_finished()) {
            return None;
        }
        let mut asking = tokio::task::spawn_blocking(question);
        match timeout(DISK_PATIENCE, &mut asking).await {
            Ok(answer) => answer.ok(),
            Err(_) => {
                *self.out() = Some(asking);
                None
            }
        }
    }

    fn out(&self) -> MutexGuard<'_, Option<JoinHandle<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn no_second_call_starts_while_one_is_in_flight() {
        let errand = Errand::default();
        assert_eq!(errand.ask(|| 1).await, Some(1));
        let (release, wait) = channel::<()>();
        assert_eq!(errand.ask(move || wait.recv().map_or(2, |()| 3)).await, None);
        assert_eq!(errand.ask(|| panic!("asked beside the first")).await, None);
        drop(release);
        let back = async {
            while errand.ask(|| 4).await != Some(4) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), back).await.unwrap();
    }
}
