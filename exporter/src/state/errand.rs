//! Questions to a disk that may never answer: nobody waits for long, and one that is out is not followed by a second, so that a dead
//! file system costs one thread and not one each minute. Knows no question.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer may take.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

/// One kind of question.
#[derive(Debug)]
pub struct Errand<T>(Mutex<Option<JoinHandle<T>>>);

impl<T> Default for Errand<T> {
    fn default() -> Errand<T> {
        Errand(Mutex::new(None))
    }
}

impl<T: Send + 'static> Errand<T> {
    /// The answer. `None` if it takes too long, or an earlier one still does.
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
    async fn an_errand_that_is_out_is_not_followed_by_a_second() {
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
