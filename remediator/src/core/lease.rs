//! Leader election by client-go's rules. A Lease counts as held for its duration after we saw it
//! change, on our own monotonic clock. Times that others wrote are never compared with ours. The
//! leader stops acting before its Lease can expire.

use std::time::{Duration, Instant};

/// The durations of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Others may take the lease this long after its last renewal.
    pub duration: Duration,
    /// The holder stops acting this long after its last renewal; shorter than `duration`.
    pub acts_for: Duration,
    /// How often the lease is renewed, or read.
    pub retry: Duration,
}

/// The fields of a Lease object that distinguish one renewal from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Empty: released.
    pub holder: String,
    pub duration: Duration,
    pub resource_version: String,
}

/// A replica that takes part in the election.
#[derive(Debug)]
pub struct Candidate {
    me: String,
    terms: Terms,
    /// The lease as last seen, and when it was first seen with this content.
    seen: Option<(Held, Instant)>,
    /// When the last accepted renewal was sent.
    renewed: Option<Instant>,
}

impl Candidate {
    pub fn new(me: String, terms: Terms) -> Self {
        Self { me, terms, seen: None, renewed: None }
    }

    pub fn me(&self) -> &str {
        &self.me
    }

    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// Records the lease that was read. If another replica holds it, this one does not lead any
    /// more.
    pub fn saw(&mut self, held: Held, now: Instant) {
        if held.holder != self.me {
            self.renewed = None;
        }
        if self.seen.as_ref().is_none_or(|(known, _)| *known != held) {
            self.seen = Some((held, now));
        }
    }

    /// Whether to write our name into the lease that was last seen: it is ours or free, or was not
    /// renewed in time.
    pub fn may_take(&self, now: Instant) -> bool {
        match &self.seen {
            None => true,
            Some((held, _)) if held.holder.is_empty() || held.holder == self.me => true,
            Some((held, since)) => now.duration_since(*since) >= held.duration,
        }
    }

    /// Records that our write, sent at `sent`, was accepted. `held` is the lease now.
    pub fn took(&mut self, held: Held, sent: Instant) {
        self.seen = Some((held, sent));
        self.renewed = Some(sent);
    }

    /// Returns until when this replica may act as leader.
    pub fn leads_until(&self) -> Option<Instant> {
        self.renewed.map(|sent| sent + self.terms.acts_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms =
        Terms { duration: Duration::from_secs(15), acts_for: Duration::from_secs(10), retry: Duration::from_secs(2) };

    fn held(holder: &str, version: &str) -> Held {
        Held { holder: holder.into(), duration: TERMS.duration, resource_version: version.into() }
    }

    /// An instant to count from.
    #[allow(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn only_a_lease_that_is_not_renewed_is_taken() {
        let (mut b, t) = (Candidate::new("b".into(), TERMS), start());
        b.saw(held("a", "1"), t);
        assert!(!b.may_take(after(t, 14)));
        b.saw(held("a", "2"), after(t, 14));
        assert!(!b.may_take(after(t, 28)));
        assert!(b.may_take(after(t, 29)), "the holder is gone, and no replica ever leads again");
    }

    #[test]
    fn a_new_candidate_waits_a_whole_lease() {
        let (mut b, t) = (Candidate::new("b".into(), TERMS), start());
        b.saw(held("a", "1"), t);
        assert!(!b.may_take(t));
    }

    #[test]
    fn the_leader_stops_before_another_can_begin() {
        let (mut a, mut b, t) = (Candidate::new("a".into(), TERMS), Candidate::new("b".into(), TERMS), start());
        assert!(a.may_take(t));
        // The write was sent at 0 and answered late: the time to act counts from the sending.
        a.took(held("a", "1"), t);
        b.saw(held("a", "1"), after(t, 1));
        let stops = a.leads_until().unwrap();
        assert!(!b.may_take(stops) && b.may_take(after(t, 16)));
        assert_eq!(stops, after(t, 10));
    }

    #[test]
    fn a_released_lease_is_taken_without_a_wait() {
        let (mut b, t) = (Candidate::new("b".into(), TERMS), start());
        b.saw(held("", "3"), t);
        assert!(b.may_take(t));
    }

    #[test]
    fn a_leader_that_sees_another_holder_stops() {
        let (mut a, t) = (Candidate::new("a".into(), TERMS), start());
        a.took(held("a", "1"), t);
        a.saw(held("b", "2"), after(t, 1));
        assert_eq!(a.leads_until(), None);
        assert!(!a.may_take(after(t, 2)));
    }
}
