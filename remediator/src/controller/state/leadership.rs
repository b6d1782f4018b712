//! Until when this process leads. A lost lease ends leadership by the monotonic clock, also when no request is answered.

use std::time::Instant;

use tokio::sync::watch;

use ossci_base::clock;

/// Until when this process leads.
#[derive(Debug, Default)]
pub struct Leadership {
    until: watch::Sender<Option<Instant>>,
    began: watch::Sender<bool>,
}

impl Leadership {
    /// Whether this process may act now.
    pub fn leads(&self) -> bool {
        self.until.borrow().is_some_and(|until| clock::monotonic() < until)
    }

    /// Changes when leadership begins or ends.
    pub fn changes(&self) -> watch::Receiver<bool> {
        self.began.subscribe()
    }

    /// Leads until then. Whether it begins with this: a renewal that came too late is a beginning too, since whoever had a turn
    /// before it did not take it.
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
    fn a_renewal_that_came_too_late_begins_anew() {
        let (leadership, now) = (Leadership::default(), clock::monotonic());
        let renewed = |until| leadership.set(Some(until));
        assert!(renewed(now + Duration::from_secs(60)), "the first");
        assert!(!renewed(now + Duration::from_secs(61)), "in time");
        assert!(!renewed(now), "it is over");
        assert!(renewed(now + Duration::from_secs(62)), "too late");
    }
}
