//! Speed of a lab's simulated world: the times that are not in the policy.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Duration of the remediator's Lease, in whole seconds.
    pub lease_seconds: u32,
    /// How long a simulated reboot keeps a machine dark.
    pub downtime: Duration,
    /// Time between the first status of a new boot, NotReady, and the next one, Ready.
    pub not_ready: Duration,
}

impl Pace {
    /// For stories that a person watches, or that run beside a compiler.
    pub const ORDINARY: Self =
        Self { lease_seconds: 3, downtime: Duration::from_millis(2500), not_ready: Duration::from_millis(800) };
    /// For stories that are played hundreds of times.
    pub const BRISK: Self =
        Self { lease_seconds: 2, downtime: Duration::from_millis(600), not_ready: Duration::from_millis(300) };
}
