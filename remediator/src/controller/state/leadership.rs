//! Leadership of this replica. It expires by the monotonic clock, even when the API server does not
//! answer. Sends no request.

use std::time::Instant;

use tokio::sync::watch;

use ossci_base::clock;

/// Until when this replica leads.
#[derive(Debug, Default)]
pub struct Leadership {
    until: watch::Sender<Option<Instant>>,
    began: watch::Sender<bool>,
}

impl Leadership {
    /// Whether this replica may act now.
    pub fn leads(&self) -> bool {
        self.until.borrow().is_some_and(|until| clock::monotonic() < until)
    }

    /// Returns a channel that changes when leadership begins or ends.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.began.subscribe()
    }

    /// Sets until when this replica leads. Returns whether leadership begins: also with a late
    /// renewal, because nodes that were due before it were not reconciled.
    pub fn set(&self, until: Option<Instant>) -> bool {
        let led = self.leads();
        self.until.send_replace(until);
        let leads = self.leads();
        self.began.send_if_modified(|led| std::mem::replace(led, leads) != leads);
        leads && !led
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_late_renewal_begins_leadership_again() {
        let (leadership, now) = (Leadership::default(), clock::monotonic());
        let renewed = |until| leadership.set(Some(until));
        assert!(renewed(now + Duration::from_secs(60)), "first renewal");
        assert!(!renewed(now + Duration::from_secs(61)), "renewed in time");
        assert!(!renewed(now), "expired");
        assert!(renewed(now + Duration::from_secs(62)), "renewed too late");
    }
}
