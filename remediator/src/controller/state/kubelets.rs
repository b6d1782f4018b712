//! How long the Lease of each kubelet has been unchanged, as far as this process has seen. Decides
//! nothing.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The last Lease of each node that was read: its resourceVersion, and when it was first seen.
#[derive(Debug, Default)]
pub struct Kubelets(Mutex<HashMap<String, (String, Instant)>>);

impl Kubelets {
    /// Returns for how long the Lease has had this resourceVersion; zero when it is new to us.
    pub fn unchanged_for(&self, node: &str, version: &str, now: Instant) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(node) {
            Some((known, since)) if known == version => now.saturating_duration_since(*since),
            _ => {
                seen.insert(node.to_owned(), (version.to_owned(), now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_is_silent_from_the_time_at_which_we_saw_its_lease() {
        let (kubelets, begin) = (Kubelets::default(), ossci_base::clock::monotonic());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(kubelets.unchanged_for("n1", "7", begin), Duration::ZERO);
        assert_eq!(kubelets.unchanged_for("n1", "7", after(300)), Duration::from_secs(300));
        assert_eq!(kubelets.unchanged_for("n1", "8", after(310)), Duration::ZERO, "it was renewed");
        assert_eq!(kubelets.unchanged_for("n1", "8", after(320)), Duration::from_secs(10));
    }
}
