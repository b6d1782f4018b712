//! The inputs of one decision, and the opinion of one track on them.

use std::time::Duration;

use jiff::Timestamp;

use crate::core::complaints::LastEnd;
use crate::core::observation::{NodeView, Observation};
use crate::core::policy::{Policy, Pool, Reimages};
use crate::core::record::{Complaint, Episode, Record};
use crate::core::why::Reason;

/// The inputs of one decision.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) record: &'a Record,
    pub(super) seen: &'a Observation,
    pub(super) now: Timestamp,
    pub(super) policy: &'a Policy,
}

/// What one track proposes. `next` is its own part of the record; the caller puts it into `Repair`.
pub(super) struct Opinion<T> {
    pub(super) next: Option<T>,
    pub(super) why: Reason,
    pub(super) look_again: Option<Duration>,
}

impl<'a> Moment<'a> {
    /// Returns the pool of the node: by its open episode, else by its labels.
    pub(super) fn pool(&self, node: &NodeView) -> Option<&'a Pool> {
        let open = self.record.repair.episode.as_ref().filter(|episode| !episode.phase.is_over());
        self.policy.pool_for(open.and_then(|episode| episode.pool.as_deref()), node)
    }

    /// Returns how the node of this episode is reimaged.
    pub(super) fn reimages(&self, episode: &Episode) -> &'a Reimages {
        let mut pools = self.policy.pools.iter();
        pools
            .find(|pool| Some(&pool.name) == episode.pool.as_ref())
            .map_or(&self.policy.reimages, |pool| &pool.reimages)
    }

    /// Returns the complaints that are not silenced.
    pub(super) fn board(&self) -> Vec<Complaint> {
        let complaints = self.record.complaints.iter();
        complaints.filter(|complaint| !self.seen.silenced.contains(&complaint.fingerprint)).cloned().collect()
    }

    /// Whether the alert is active by Alertmanager's last answer; always where none is configured.
    pub(super) fn is_active(&self, complaint: &Complaint) -> bool {
        self.seen.active.as_ref().is_none_or(|active| active.contains(&complaint.fingerprint))
    }

    /// How long a boot may take: the policy's time, or half as long again as the slowest boot that
    /// we saw in the pool. At most three times the policy's, for a boot that a person helped.
    pub(super) fn boot_time(&self) -> Duration {
        let boot = self.policy.times.boot;
        let learned = self.seen.slowest_boot.map_or(Duration::ZERO, |slowest| slowest.saturating_mul(3) / 2);
        boot.max(learned.min(boot.saturating_mul(3)))
    }

    /// Returns when a boot that began at `since` has taken too long.
    pub(super) fn boot_ends(&self, since: Timestamp) -> Timestamp {
        since.saturating_add(self.boot_time()).unwrap_or(Timestamp::MAX)
    }

    /// How long the kernel of this node may take to dump after a panic, by its agent's last report.
    pub(super) fn dump_time(&self) -> Duration {
        let dumps = self.record.agent.as_ref().is_some_and(|report| report.crash_kernel);
        if dumps { self.policy.times.dump } else { Duration::ZERO }
    }

    /// Returns the time after `wait`, for deadlines; saturates.
    pub(super) fn after(&self, wait: Duration) -> Timestamp {
        self.now.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }

    /// Returns the end of an episode, with the complaint grace that follows it.
    pub(super) fn last_end(&self, ended_at: Option<Timestamp>) -> Option<LastEnd> {
        let grace = self.policy.times.complaint_grace;
        ended_at.map(|at| LastEnd { at, grace_ends: at.saturating_add(grace).unwrap_or(at) })
    }

    /// How long until `time`; zero when it is past.
    pub(super) fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.now)).unwrap_or(Duration::ZERO)
    }
}
